// The file of XGBoost in an artifact: the walk that stands before XGBoost's own reader.
#include "fuzz/fuzz.hpp"
#include "model/ubj_internal.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string file(fuzz::as_text(data, size));
  if (!fuzz::answered(model::check_ubj(file, 13))) return 0;
  fuzz::require(!model::check_ubj(std::string_view(file).substr(0, file.size() - 1), 13), "cut by a byte it is not whole");
  fuzz::require(!model::check_ubj(file + "}", 13), "nor with a byte more");
  return 0;
}
