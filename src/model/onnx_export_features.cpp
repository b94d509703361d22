#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "model/encoder.hpp"
#include "model/onnx_export_internal.hpp"

namespace millrace::model {
namespace {

constexpr std::string_view kOnnxMl = "ai.onnx.ml";
constexpr std::int64_t kNoWhole = std::numeric_limits<std::int64_t>::min();  // numpy's "not a time"
constexpr std::int64_t kOnnxColumn[] = {-1, 1};

float missing_feature(const Input& input) {
  return input.fill ? to_feature(*input.fill) : std::numeric_limits<float>::quiet_NaN();
}

bool by_number(const Input& input) { return input.encoding == Encoding::number || input.encoding == Encoding::boolean; }

// Values of int64 tensors; division rounds down.
class WholeNumbers {
 public:
  explicit WholeNumbers(OnnxGraph& graph) : graph_(graph) {}

  std::string plus(const std::string& a, std::int64_t b) { return graph_.node("Add", {a, graph_.whole(b)}); }
  std::string minus(const std::string& a, const std::string& b) { return graph_.node("Sub", {a, b}); }
  std::string plus(const std::string& a, const std::string& b) { return graph_.node("Add", {a, b}); }
  std::string times(const std::string& a, std::int64_t b) { return graph_.node("Mul", {a, graph_.whole(b)}); }
  std::string rest(const std::string& a, std::int64_t b) { return graph_.node("Mod", {a, graph_.whole(b)}); }
  std::string over(const std::string& a, std::int64_t b) {
    return graph_.node("Div", {minus(a, rest(a, b)), graph_.whole(b)});
  }
  std::string below(const std::string& a, std::int64_t b) { return graph_.node("Less", {a, graph_.whole(b)}); }
  std::string choose(const std::string& condition, const std::string& a, const std::string& b) {
    return graph_.node("Where", {condition, a, b});
  }

 private:
  OnnxGraph& graph_;
};

// Year, month, day and weekday of days since 1970-01-01, each [N,1]; the encoder's own arithmetic.
std::vector<std::string> date_parts(const std::string& days, OnnxGraph& graph) {
  WholeNumbers n(graph);
  const auto z = n.plus(days, 719'468);
  const auto era = n.over(z, 146'097);
  const auto doe = n.minus(z, n.times(era, 146'097));
  const auto leap = n.minus(n.plus(n.minus(doe, n.over(doe, 1'460)), n.over(doe, 36'524)), n.over(doe, 146'096));
  const auto yoe = n.over(leap, 365);
  const auto before = n.minus(n.plus(n.times(yoe, 365), n.over(yoe, 4)), n.over(yoe, 100));
  const auto doy = n.minus(doe, before);
  const auto mp = n.over(n.plus(n.times(doy, 5), 2), 153);
  const auto day = n.plus(n.minus(doy, n.over(n.plus(n.times(mp, 153), 2), 5)), 1);
  const auto month = n.choose(n.below(mp, 10), n.plus(mp, 3), n.plus(mp, -9));
  const auto march_year = n.plus(yoe, n.times(era, 400));
  const auto year = n.choose(n.below(month, 3), n.plus(march_year, 1), march_year);
  const auto weekday = n.plus(n.rest(n.plus(days, 3), 7), 1);
  return {year, month, day, weekday};
}

std::string date_features(const Input& input, OnnxGraph& graph) {
  constexpr std::int64_t kDayUs = 86'400'000'000, kHourUs = 3'600'000'000;
  const bool timestamp = input.type == table::Type::timestamp;
  graph.input(onnx_value(input.name, OnnxType::int64, kOnnxColumn,
                         timestamp ? "microseconds since 1970-01-01T00:00:00Z; missing: -9223372036854775808"
                                   : "days since 1970-01-01; missing: -9223372036854775808"));
  WholeNumbers n(graph);
  const auto missing = graph.node("Equal", {input.name, graph.whole(kNoWhole)});
  const auto value = n.choose(missing, graph.whole(0), input.name);
  auto parts = date_parts(timestamp ? n.over(value, kDayUs) : value, graph);
  if (timestamp) parts.push_back(n.over(n.rest(value, kDayUs), kHourUs));
  const auto known = graph.cast(graph.columns(parts), OnnxType::fp32);
  return graph.node("Where", {missing, graph.single(missing_feature(input)), known});
}

// Columns of numbers that lie beside each other, at once.
std::string number_features(std::span<const Input> inputs, OnnxGraph& graph) {
  std::vector<std::string> names;
  std::vector<float> fills;
  for (const auto& input : inputs) {
    graph.input(
        onnx_value(input.name, OnnxType::fp64, kOnnxColumn,
                   input.encoding == Encoding::boolean ? "true: 1, false: 0; missing: NaN" : "a number; missing: NaN"));
    names.push_back(input.name);
    fills.push_back(missing_feature(input));
  }
  constexpr double kMax = std::numeric_limits<float>::max();
  const auto all = graph.columns(names);
  const auto low = graph.node("Where", {graph.node("Greater", {all, graph.real(kMax)}), graph.real(kMax), all});
  const auto held = graph.node("Where", {graph.node("Less", {low, graph.real(-kMax)}), graph.real(-kMax), low});
  const auto features = graph.cast(held, OnnxType::fp32);
  if (std::ranges::none_of(inputs, [](const Input& input) { return input.fill.has_value(); })) return features;
  const auto width = static_cast<std::int64_t>(fills.size());
  return graph.node("Where", {graph.node("IsNaN", {features}), graph.constant<float>({1, width}, fills), features});
}

std::optional<std::int64_t> whole_category(const std::string& category) {
  std::int64_t value = 0;
  const auto* end = category.data() + category.size();
  const auto [at, error] = std::from_chars(category.data(), end, value);
  if (error != std::errc() || at != end || std::to_string(value) != category || value == kNoWhole) return std::nullopt;
  return value;
}

std::string category_features(const Input& input, OnnxGraph& graph) {
  const auto count = input.categories.size();
  const float unseen =
      input.unseen == UnseenRule::other ? static_cast<float>(count) : std::numeric_limits<float>::quiet_NaN();
  const auto code = [&](std::string_view text) {
    const auto found = std::ranges::lower_bound(input.categories, text);
    return found != input.categories.end() && *found == text ? static_cast<float>(found - input.categories.begin())
                                                             : unseen;
  };
  if (input.type == table::Type::boolean) {
    graph.input(onnx_value(input.name, OnnxType::fp64, kOnnxColumn, "true: 1, false: 0; missing: NaN"));
    const auto no = graph.node("Equal", {input.name, graph.real(0)});
    const auto known = graph.node("Where", {no, graph.single(code("false")), graph.single(code("true"))});
    return graph.node("Where", {graph.node("IsNaN", {input.name}), graph.single(missing_feature(input)), known});
  }
  std::vector<float> codes;
  OnnxGraph::Attributes attributes;
  if (input.type == table::Type::int64) {
    graph.input(onnx_value(input.name, OnnxType::int64, kOnnxColumn, "a category; missing: -9223372036854775808"));
    std::vector<std::int64_t> keys;
    for (const auto& category : input.categories) {
      const auto whole = whole_category(category);
      if (!whole) continue;
      keys.push_back(*whole);
      codes.push_back(code(category));
    }
    keys.push_back(kNoWhole);
    attributes.push_back(onnx_attribute("keys_int64s", keys));
  } else {
    const auto missing = onnx_missing_text(input);
    graph.input(onnx_value(input.name, OnnxType::text, kOnnxColumn, "a category; missing: \"" + missing + "\""));
    auto keys = input.categories;
    for (std::size_t i = 0; i < count; ++i) codes.push_back(static_cast<float>(i));
    keys.push_back(missing);
    attributes.push_back(onnx_attribute("keys_strings", keys));
  }
  codes.push_back(missing_feature(input));
  attributes.push_back(onnx_attribute("values_floats", codes));
  attributes.push_back(onnx_attribute("default_float", unseen));
  return graph.node("LabelEncoder", {input.name}, attributes, kOnnxMl);
}

}  // namespace

std::string onnx_missing_text(const Input& input) {
  std::string text;
  while (std::ranges::binary_search(input.categories, text)) text = text.empty() ? "<missing>" : "<" + text + ">";
  return text;
}

Result<std::string> onnx_features(const std::vector<Input>& inputs, OnnxGraph& graph) {
  if (inputs.empty()) return no_onnx_form("the model has no inputs, so that no graph can know its number of rows");
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < inputs.size();) {
    if (by_number(inputs[i])) {
      const auto run =
          std::ranges::find_if_not(inputs.begin() + static_cast<std::ptrdiff_t>(i), inputs.end(), by_number);
      const auto end = static_cast<std::size_t>(run - inputs.begin());
      parts.push_back(number_features(std::span(inputs).subspan(i, end - i), graph));
      i = end;
    } else {
      parts.push_back(inputs[i].encoding == Encoding::category ? category_features(inputs[i], graph)
                                                               : date_features(inputs[i], graph));
      ++i;
    }
  }
  return graph.columns(parts);
}

}  // namespace millrace::model
