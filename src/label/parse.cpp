#include "label/parse.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/nearest.hpp"

namespace millrace::label {

namespace {

constexpr std::size_t text_max = 1024;

std::optional<double> number_in(std::string_view text) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

class RowParser {
 public:
  RowParser(const RawLabel& row, std::size_t index, const LabelRules& rules, TimePoint now)
      : row_(row), index_(index), rules_(rules), now_(now) {}

  Result<Label> parse() const {
    Label label{
        .model = rules_.model, .id = row_.id, .origin = rules_.origin, .author = row_.author.value_or(rules_.author)};
    TRY_VOID(check_lengths());
    TRY_VOID(read_target(label));
    TRY_VOID(read_time(label));
    if (row_.origin) {
      auto origin = parse_origin(*row_.origin);
      if (!origin) return bad("origin", origin.error().reason, origin.error().message);
      label.origin = *origin;
    }
    TRY(label.value, read_value());
    return label;
  }

 private:
  std::unexpected<Error> bad(std::string_view field, std::string_view reason, const std::string& what) const {
    return fail(Code::invalid_argument, reason,
                fmt::format("labels[{}]{}{}: {}", index_, field.empty() ? "" : ".", field, what));
  }

  Result<void> check_lengths() const {
    const std::pair<std::string_view, const std::optional<std::string>*> texts[] = {
        {"key", &row_.key}, {"id", &row_.id}, {"author", &row_.author}, {"value", &row_.value}};
    for (const auto& [field, text] : texts) {
      if (*text && (*text)->size() > text_max) {
        return bad(field, "label.bad_row", fmt::format("{} bytes, at most {} are taken", (*text)->size(), text_max));
      }
    }
    if (row_.id && row_.id->empty()) return bad("id", "label.bad_row", "is empty; leave it out");
    return {};
  }

  Result<void> read_target(Label& label) const {
    if (row_.prediction.has_value() == row_.key.has_value()) {
      return bad("", "label.bad_row",
                 row_.key ? "has both 'prediction' and 'key'; send one of them"
                          : "needs 'prediction' (the id that came with the answer) or 'key' (the row's entity key)");
    }
    if (row_.key) {
      if (row_.key->empty()) return bad("key", "label.bad_row", "is empty");
      label.key = row_.key;
      return {};
    }
    auto id = Id::parse(*row_.prediction);
    if (!id) return bad("prediction", "label.bad_row", id.error().message);
    label.prediction = *id;
    return {};
  }

  Result<void> read_time(Label& label) const {
    label.time_given = row_.time.has_value();
    if (!row_.time) {
      label.time = now_;
      return {};
    }
    auto time = parse_time(*row_.time);
    if (!time) return bad("time", "label.bad_row", time.error().message);
    if (*time > now_ + rules_.ahead_max) {
      return bad("time", "label.time_ahead",
                 fmt::format("{} is in the future, it is {} here", *row_.time, format_time(now_)));
    }
    label.time = *time;
    return {};
  }

  Result<std::optional<std::string>> read_value() const {
    if (!row_.value_given) {
      return bad("value", "label.bad_row", "is missing; null takes back what was said before");
    }
    if (!row_.value) return std::optional<std::string>();
    const std::string& text = *row_.value;
    const auto number = number_in(text);
    if (rules_.classes.empty()) {
      if (!number) return bad("value", "label.bad_value", fmt::format("'{}' is not a number", text));
      return std::optional(fmt::format("{}", *number));
    }
    if (std::ranges::find(rules_.classes, text) != rules_.classes.end()) return std::optional(text);
    if (number) {  // 1 and 1.0 are one class
      for (const std::string& name : rules_.classes) {
        if (number_in(name) == number) return std::optional(name);
      }
    }
    if (rules_.new_classes && !text.empty()) return std::optional(text);
    const std::string close = nearest(text, rules_.classes);
    return bad("value", "label.bad_value",
               fmt::format("'{}' is not a class of {}{}", text, rules_.model,
                           close.empty() ? "; expected one of " + listed() : "; did you mean '" + close + "'?"));
  }

  std::string listed() const {
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(rules_.classes.size(), 10); ++i) {
      text += (i == 0 ? "'" : ", '") + rules_.classes[i] + "'";
    }
    return rules_.classes.size() > 10 ? text + ", ..." : text;
  }

  const RawLabel& row_;
  std::size_t index_;
  const LabelRules& rules_;
  TimePoint now_;
};

}  // namespace

Result<std::vector<Label>> parse_labels(std::span<const RawLabel> rows, const LabelRules& rules, TimePoint now) {
  if (rows.size() > rules.rows_max) {
    return fail(Code::invalid_argument, "label.too_many",
                fmt::format("{} labels in one batch, at most {} are taken; nothing was kept, send several batches",
                            rows.size(), rules.rows_max));
  }
  std::vector<Label> labels;
  labels.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    TRY(Label label, RowParser(rows[i], i, rules, now).parse());
    labels.push_back(std::move(label));
  }
  return labels;
}

}  // namespace millrace::label
