// The file of XGBoost in an artifact: the walk that stands before XGBoost's own reader, and our own trees made of it,
// which answer rows made for them.
#include <vector>

#include "fuzz/fuzz.hpp"
#include "model/trees_proof_internal.hpp"
#include "model/ubj_internal.hpp"

using namespace millrace;

namespace {

// Whatever the trees say: two ways to one answer, and no step outside.
void evaluate(std::string_view file) {
  const auto forest = model::read_forest(file);
  if (!fuzz::answered(forest) || forest->features > 1'000 || forest->base.size() > 1'000) return;
  const auto trees = model::TreesEngine::build(*forest);
  if (!fuzz::answered(trees)) return;
  constexpr std::size_t rows = 14;
  const auto features = model::proof_rows(*forest, rows, 1);
  std::vector<float> block(rows * trees->outputs()), alone(block.size());
  trees->predict(features.data(), rows, block.data());
  for (std::size_t i = 0; i < rows; ++i) {
    trees->predict(features.data() + i * trees->features(), 1, alone.data() + i * trees->outputs(), model::trees_kernels_here().back());
  }
  for (std::size_t i = 0; i < block.size(); ++i) {
    fuzz::require(block[i] == alone[i] || (block[i] != block[i] && alone[i] != alone[i]), "a block answers as its rows do");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string file(fuzz::as_text(data, size));
  evaluate(file);
  if (!fuzz::answered(model::check_ubj(file, 13))) return 0;
  fuzz::require(!model::check_ubj(std::string_view(file).substr(0, file.size() - 1), 13), "cut by a byte it is not whole");
  fuzz::require(!model::check_ubj(file + "}", 13), "nor with a byte more");
  return 0;
}
