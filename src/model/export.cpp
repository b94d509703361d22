#include "model/export.hpp"

#include "model/artifact.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model {

Result<std::string> export_engine_file(std::string_view artifact, std::string_view format, const Libraries& libraries) {
  if (format != "ubj" && format != "xgboost-json")
    return fail(Code::invalid_argument, "model.bad_format",
                "'" + std::string(format) + "' is no format of an engine file; there are ubj and xgboost-json");
  TRY(const auto read, read_artifact(artifact));
  const auto& engine = read.manifest.engine;
  if (engine.name != "xgboost")
    return fail(Code::failed_precondition, "model.other_engine",
                "the engine of " + read.manifest.name + " is " + engine.name +
                    ", which has no XGBoost file; export the archive instead: --format archive");
  const bool is_ubj = engine.file.ends_with(".ubj");
  if (is_ubj == (format == "ubj")) return std::string(read.engine_file);
  TRY(auto library, XgboostLibrary::open(libraries.xgboost));
  TRY(auto booster, Booster::create(library, {}));
  TRY_VOID(booster.set("nthread", "1"));
  TRY_VOID(booster.set("verbosity", "0"));
  TRY_VOID(library->check(
      library->XGBoosterLoadModelFromBuffer(booster.get(), read.engine_file.data(), read.engine_file.size()),
      "loading the trees"));
  return booster.save(format == "ubj" ? "ubj" : "json");
}

}  // namespace millrace::model
