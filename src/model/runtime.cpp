#include "model/runtime.hpp"

#include "model/onnx_tensors_internal.hpp"
#include "model/runtime_internal.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model {

std::unexpected<Error> bad_engine_file(const Manifest& manifest, std::string why) {
  return fail(Code::data_loss, "model.bad_engine_file",
              "the engine '" + manifest.engine.name + "' can't use " + manifest.engine.file + ": " + std::move(why));
}

Result<void> check_libraries(const Libraries& libraries) {
  if (!libraries.xgboost.empty()) TRY_VOID(XgboostLibrary::open(libraries.xgboost));
  if (!libraries.onnxruntime.empty()) TRY_VOID(check_onnx_library(libraries.onnxruntime));
  return {};
}

Result<std::unique_ptr<Runtime>> open_runtime(const Manifest& manifest, std::string_view engine_file,
                                              const RuntimeOptions& options) {
  const std::string& engine = manifest.engine.name;
  if (engine == "xgboost") return open_xgboost(manifest, engine_file, options);
  if (engine == "onnx") return open_onnx(manifest, engine_file, options);
  if (engine == "constant") return open_constant(manifest, engine_file);
  return fail(Code::unimplemented, "model.unknown_engine",
              "no engine '" + engine + "' in this build; engines: xgboost, onnx, constant");
}

}  // namespace millrace::model
