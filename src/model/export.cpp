#include "model/export.hpp"

#include "model/artifact.hpp"
#include "model/onnx_export_internal.hpp"
#include "model/runtime_internal.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model {
namespace {

bool is_ubj(const EngineInfo& engine) { return engine.file.ends_with(".ubj"); }

Result<std::string> xgboost_file(const Artifact& read, std::string_view format, const Libraries& libraries) {
  const auto& engine = read.manifest.engine;
  if (engine.name != "xgboost")
    return fail(Code::failed_precondition, "model.other_engine",
                "the engine of " + read.manifest.name + " is " + engine.name +
                    ", which has no XGBoost file; export the archive instead: --format archive");
  if (is_ubj(engine) == (format == "ubj")) return std::string(read.engine_file);
  TRY(auto library, XgboostLibrary::open(libraries.xgboost));
  TRY(auto booster, Booster::create(library, {}));
  TRY_VOID(booster.set("nthread", "1"));
  TRY_VOID(booster.set("verbosity", "0"));
  TRY_VOID(library->check(
      library->XGBoosterLoadModelFromBuffer(booster.get(), read.engine_file.data(), read.engine_file.size()),
      "loading the trees"));
  return booster.save(format == "ubj" ? "ubj" : "json");
}

Result<std::string> onnx_file(const Artifact& read, const Libraries& libraries) {
  const auto& engine = read.manifest.engine;
  if (engine.name != "xgboost" || is_ubj(engine)) return onnx_model(read.manifest, read.engine_file);
  TRY(const auto ubj, xgboost_json_to_ubj(read.engine_file, {.libraries = libraries}));
  return onnx_model(read.manifest, ubj);
}

}  // namespace

Result<std::string> export_model(std::string_view artifact, std::string_view format, const Libraries& libraries) {
  const bool xgboost = format == "ubj" || format == "xgboost-json";
  if (!xgboost && format != "onnx" && format != "manifest")
    return fail(Code::invalid_argument, "model.bad_format",
                "'" + std::string(format) + "' is no format; there are archive, onnx, ubj, xgboost-json and manifest");
  TRY(const auto read, read_artifact(artifact));
  if (xgboost) return xgboost_file(read, format, libraries);
  if (format == "onnx") return onnx_file(read, libraries);
  return render_manifest(read.manifest);
}

}  // namespace millrace::model
