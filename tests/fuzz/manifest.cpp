// The manifest of an artifact, and requests for a model that it describes.
#include "fuzz/fuzz.hpp"
#include "model/manifest.hpp"
#include "model/rows.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto manifest = model::parse_manifest(fuzz::as_text(data, size));
  if (!fuzz::answered(manifest)) return 0;
  auto again = model::parse_manifest(model::render_manifest(*manifest));
  fuzz::require(again && *again == *manifest, "a manifest reads back");
  fuzz::require(model::feature_names(manifest->inputs).size() ==
                    static_cast<std::size_t>(model::feature_count(manifest->inputs)),
                "a name for each feature");
  (void)model::input_schema(*manifest);
  fuzz::require(model::output_count(*manifest) > 0, "a model answers something");
  const model::RowParser parser(*manifest);
  (void)fuzz::answered(parser.parse_json("{}"));
  return 0;
}
