#include "model/fit.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/rng.hpp"

namespace millrace::model {
namespace {

std::string category_text(const ValueView& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return std::string(*text);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  return std::to_string(std::get<std::int64_t>(value));
}

double number_of(const ValueView& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* date = std::get_if<table::Date>(&value)) return date->days;
  if (const auto* time = std::get_if<table::Timestamp>(&value)) return static_cast<double>(time->us);
  return 0;
}

double three_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  double rounded = 0;
  std::from_chars(text, text + std::char_traits<char>::length(text), rounded);
  return rounded;
}

std::int64_t whole(double value, double bound) { return static_cast<std::int64_t>(std::clamp(value, -bound, bound)); }

table::Value made_up(const Input& input, const Spread& spread, double z, double pick, bool unseen) {
  const double drawn = spread.mean + z * spread.deviation;
  const double finite = std::isfinite(drawn) ? drawn : 0;
  switch (input.encoding) {
    case Encoding::boolean:
      return pick < 0.5;
    case Encoding::category: {
      const auto& table = input.categories;
      const auto at = static_cast<std::size_t>(pick * static_cast<double>(table.size()));
      const bool known = !unseen && at < table.size();
      if (input.type == table::Type::boolean) return known ? table[at] == "true" : false;
      if (input.type == table::Type::int64) {
        std::int64_t value = -987'654'321;
        if (known) std::from_chars(table[at].data(), table[at].data() + table[at].size(), value);
        return value;
      }
      return known ? table[at] : std::string("(never seen)");
    }
    case Encoding::date_parts:
      if (input.type == table::Type::date)
        return table::Date{static_cast<std::int32_t>(whole(std::round(finite), 2e9))};
      return table::Timestamp{whole(std::round(finite / 3.6e9), 2e9) * 3'600'000'000};
    case Encoding::number:
      if (input.type == table::Type::int64) return whole(std::round(three_digits(finite)), 9e18);
      return three_digits(finite);
  }
  return std::monostate{};
}

}  // namespace

Encoding default_encoding(table::Type type) {
  switch (type) {
    case table::Type::boolean:
      return Encoding::boolean;
    case table::Type::int64:
    case table::Type::float64:
      return Encoding::number;
    case table::Type::text:
      return Encoding::category;
    case table::Type::date:
    case table::Type::timestamp:
      return Encoding::date_parts;
  }
  return Encoding::number;
}

Result<EncoderFitter> EncoderFitter::open(std::vector<InputSpec> specs, const FitOptions& options) {
  EncoderFitter fitter;
  std::set<std::string_view> names;
  for (const auto& spec : specs) {
    const Encoding encoding = spec.encoding.value_or(default_encoding(spec.type));
    // One place knows what fits: the manifest's own check.
    const Manifest probe{.task = TaskType::regression,
                         .inputs = {{.name = spec.name, .type = spec.type, .encoding = encoding, .fill = spec.fill}},
                         .engine = {.name = "probe", .file = "probe"}};
    if (auto checked = check_manifest(probe); !checked) {
      return fail(Code::invalid_argument, "model.bad_input", checked.error().message);
    }
    if (!names.insert(spec.name).second) {
      return fail(Code::invalid_argument, "model.bad_input", "the input '" + spec.name + "' is named twice");
    }
    fitter.encodings_.push_back(encoding);
  }
  fitter.specs_ = std::move(specs);
  fitter.options_ = options;
  fitter.seen_.resize(fitter.specs_.size());
  return fitter;
}

void EncoderFitter::add_value(std::size_t input, const ValueView& value) {
  Seen& seen = seen_[input];
  ++seen.rows;
  const auto* number = std::get_if<double>(&value);
  if (value.index() == 0 || (number && std::isnan(*number))) {
    ++seen.nulls;
    return;
  }
  if (encodings_[input] == Encoding::category) {
    std::string text = category_text(value);
    if (auto found = seen.categories.find(text); found != seen.categories.end()) {
      ++found->second;
    } else if (seen.categories.size() < options_.distinct_max) {
      seen.categories.emplace(std::move(text), 1);
    }
    return;
  }
  const double x = number_of(value);
  if (!std::isfinite(x)) return;
  const double delta = x - seen.mean;
  seen.mean += delta / static_cast<double>(seen.rows - seen.nulls);
  seen.squares += delta * (x - seen.mean);
}

Result<void> EncoderFitter::add(const table::Row& row) {
  if (row.size() != specs_.size()) {
    return fail(Code::invalid_argument, "model.wrong_width",
                "a row of " + std::to_string(row.size()) + " values for " + std::to_string(specs_.size()) + " inputs");
  }
  for (std::size_t i = 0; i < row.size(); ++i) add_value(i, view_of(row[i]));
  return {};
}

FittedInputs EncoderFitter::finish() const {
  FittedInputs fitted;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const Seen& seen = seen_[i];
    const std::int64_t count = seen.rows - seen.nulls;
    Input input{.name = specs_[i].name,
                .type = specs_[i].type,
                .encoding = encodings_[i],
                .unseen = specs_[i].unseen,
                .required = seen.rows > 0 && seen.nulls == 0,
                .fill = specs_[i].fill};
    std::vector<std::pair<std::int64_t, std::string>> frequent;
    for (const auto& [text, rows] : seen.categories) {
      if (rows >= options_.category_rows_min) frequent.emplace_back(-rows, text);
    }
    std::ranges::sort(frequent);
    if (frequent.size() > options_.categories_max) frequent.resize(options_.categories_max);
    std::int64_t known = 0;
    for (auto& [rows, text] : frequent) {
      known -= rows;
      input.categories.push_back(std::move(text));
    }
    std::ranges::sort(input.categories);
    fitted.other_rows.push_back(input.encoding == Encoding::category ? static_cast<std::uint64_t>(count - known) : 0);
    fitted.inputs.push_back(std::move(input));
    const double variance = count > 1 ? seen.squares / static_cast<double>(count - 1) : 0;
    fitted.spreads.push_back({count, seen.mean, std::isfinite(variance) && variance > 0 ? std::sqrt(variance) : 0});
  }
  return fitted;
}

std::vector<table::Row> make_golden_rows(const FittedInputs& fitted, std::uint64_t seed, int count) {
  SeededRng rng(seed);
  std::vector<table::Row> rows;
  for (int r = 0; r < count; ++r) {
    table::Row row;
    for (std::size_t i = 0; i < fitted.inputs.size(); ++i) {
      // Drawn in every row, used or not, so that one rule does not shift the draws of the next.
      const double z = (rng.unit() + rng.unit() + rng.unit() - 1.5) * 2;
      const double pick = rng.unit();
      const double chance = rng.unit();
      const bool missing = r == 1 || (r > 2 && chance < 0.1);
      const bool unseen = r == 2 || (r > 2 && chance > 0.9);
      if (missing) {
        row.emplace_back(std::monostate{});
      } else {
        row.push_back(made_up(fitted.inputs[i], fitted.spreads[i], r == 0 ? 0 : z, pick, unseen));
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace millrace::model
