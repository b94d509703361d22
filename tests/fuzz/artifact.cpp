// A model artifact that somebody imports: archive, manifest, and the digest of the engine's file.
#include "fuzz/fuzz.hpp"
#include "model/artifact.hpp"
#include "model/zip_internal.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(fuzz::as_text(data, size));
  if (auto entries = model::read_zip(bytes); fuzz::answered(entries)) {
    const auto again = model::write_zip(*entries);
    const auto entries_again = again ? model::read_zip(*again) : decltype(entries)(fail(again.error()));
    fuzz::require(entries_again && entries_again->size() == entries->size(), "entries that were read can be written");
  }
  auto artifact = model::read_artifact(bytes);
  if (!fuzz::answered(artifact)) return 0;
  fuzz::require(artifact->engine_file.size() == artifact->manifest.engine.bytes, "the engine's file has its size");
  auto again = model::write_artifact(artifact->manifest, artifact->engine_file);
  fuzz::require(again.has_value(), "what was read can be written");
  return 0;
}
