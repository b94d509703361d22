#include <variant>

#include "base/json.hpp"
#include "model/bare_internal.hpp"

namespace millrace::model {

// As it is written. Not in an unnamed namespace: clang finds no names of its members there.
struct StoredGolden {
  std::vector<std::vector<std::optional<double>>> inputs;
  std::vector<std::variant<double, std::vector<double>>> outputs;
  double tolerance = 0;
};

Result<GoldenFile> parse_golden(std::string_view text) {
  const auto bad = [](std::string why) {
    return fail(Code::invalid_argument, "model.bad_golden",
                R"(the golden file is {"inputs":[[..],..],"outputs":[[..],..],"tolerance":0}: )" + std::move(why));
  };
  auto stored = json::parse<StoredGolden>(text, "the golden file");
  if (!stored) return bad(stored.error().message);
  if (stored->inputs.empty() || stored->inputs.size() != stored->outputs.size())
    return bad("it needs at least one row, and as many outputs as inputs");
  if (!(stored->tolerance >= 0)) return bad("tolerance is not negative");
  GoldenFile out{.inputs = std::move(stored->inputs), .outputs = {}, .tolerance = stored->tolerance};
  for (auto& output : stored->outputs) {
    if (const auto* one = std::get_if<double>(&output))
      out.outputs.push_back({*one});
    else
      out.outputs.push_back(std::get<std::vector<double>>(std::move(output)));
  }
  return out;
}

}  // namespace millrace::model
