// Golden files that somebody puts beside a model: rows for XGBoost's, tensors for ONNX.
#include "fuzz/models.hpp"
#include "model/bare_internal.hpp"
#include "model/onnx_proof_internal.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  const bool rows = fuzz::take_choice(text) & 1;
  const std::string file(text);
  if (rows) {
    const auto golden = model::parse_golden(file);
    if (fuzz::answered(golden))
      fuzz::require(!golden->inputs.empty() && golden->inputs.size() == golden->outputs.size(), "as many inputs as outputs");
    return 0;
  }
  const auto cases = model::parse_golden_tensors(file);
  if (!fuzz::answered(cases)) return 0;
  fuzz::require(!cases->empty(), "at least one");
  for (const auto& one : *cases) {
    fuzz::require_tensors(one.inputs.views);
    fuzz::require_tensors(one.outputs.views);
  }
  return 0;
}
