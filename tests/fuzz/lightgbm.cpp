// LightGBM's text models: what is read is walked with rows of every kind, and stays within itself.
#include <array>
#include <limits>

#include "fuzz/fuzz.hpp"
#include "model/lightgbm_internal.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(fuzz::as_text(data, size));
  const auto model = model::read_lightgbm(text);
  if (!fuzz::answered(model)) return 0;
  fuzz::require(model->features > 0 && model->outputs > 0 && model->names.size() == model->features, "features and outputs");
  if (model->features > 1000) return 0;
  constexpr std::array<double, 7> kValues = {0, 1, -1, 33, 1e300, -std::numeric_limits<double>::infinity(),
                                             std::numeric_limits<double>::quiet_NaN()};
  std::vector<double> out(model->outputs);
  for (const double value : kValues) {
    const std::vector<double> row(model->features, value);
    model::lightgbm_margins(*model, row.data(), out.data());
    model::lightgbm_transform(*model, out);
  }
  return 0;
}
