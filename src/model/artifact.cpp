#include "model/artifact.hpp"

#include "base/digest.hpp"
#include "model/zip_internal.hpp"

namespace millrace::model {
namespace {
constexpr std::string_view kManifest = "manifest.json";
}  // namespace

Result<std::string> write_artifact(Manifest manifest, std::string_view engine_file) {
  manifest.engine.digest = sha256(engine_file).hex();
  manifest.engine.bytes = engine_file.size();
  TRY_VOID(check_manifest(manifest));
  if (manifest.engine.file == kManifest) {
    return fail(Code::invalid_argument, "model.bad_artifact", "the engine's file can't be called manifest.json");
  }
  const std::string text = render_manifest(manifest);
  return write_zip({{std::string(kManifest), text}, {manifest.engine.file, engine_file}});
}

Result<Artifact> read_artifact(std::string_view bytes) {
  TRY(auto entries, read_zip(bytes));
  if (entries.size() != 2 || entries[0].name != kManifest) {
    return fail(Code::data_loss, "model.bad_artifact",
                "the artifact must hold manifest.json and then the engine's file, nothing else");
  }
  TRY(auto manifest, parse_manifest(entries[0].data));
  if (entries[1].name != manifest.engine.file) {
    return fail(Code::data_loss, "model.bad_artifact",
                "the manifest names the engine file '" + manifest.engine.file + "', the artifact holds '" +
                    entries[1].name + "'");
  }
  if (manifest.engine.bytes != entries[1].data.size() || manifest.engine.digest != sha256(entries[1].data).hex()) {
    return fail(Code::data_loss, "model.bad_artifact",
                "the digest of the engine file '" + entries[1].name + "' does not fit");
  }
  return Artifact{std::move(manifest), entries[1].data};
}

}  // namespace millrace::model
