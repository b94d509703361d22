#include "api/mlflow/scoring.hpp"

#include <simdjson.h>

#include <algorithm>
#include <format>
#include <optional>
#include <utility>
#include <vector>

#include "api/json_reader_internal.hpp"
#include "base/text.hpp"
#include "table/value.hpp"

namespace millrace::api::mlflow {

namespace {

using Kind = JsonReader::Kind;

constexpr std::string_view kForms = "one of dataframe_split, dataframe_records, instances and inputs";

std::unexpected<Error> bad(std::string message) {
  return fail(Code::invalid_argument, "mlflow.bad_form", std::move(message));
}

std::string excerpt_of(std::string_view text) { return table::excerpt(text, 40); }

// One value of a row as JSON text.
Result<std::string_view> cell(JsonReader& json) {
  switch (json.peek()) {
    case Kind::nan:
      TRY_VOID(json.nan());
      return "null";
    case Kind::array: {
      std::optional<std::string_view> one;
      TRY_VOID(json.array([&]() -> Result<void> {
        if (one) return json.wrong("one value in the list");
        TRY(one, cell(json));
        return {};
      }));
      return one ? Result<std::string_view>(*one) : json.wrong("one value before the end of the list");
    }
    case Kind::object:
      return json.wrong("a value");
    default:
      return json.raw();
  }
}

// Writes rows, and stops where they become too many.
class RowsText {
 public:
  RowsText(const model::Manifest& manifest, const model::ParseLimits& limits)
      : columns_max(manifest.inputs.size() + manifest.ignored.size() + 1), limits_(limits) {
    for (const auto& input : manifest.inputs) names_.push_back(input.name);
  }
  const std::size_t columns_max;  // that a request may carry: its inputs, its key and what is ignored

  const std::vector<std::string>& names() const { return names_; }

  Result<void> begin_row() {
    if (++rows_ > limits_.rows_max)
      return fail(Code::resource_exhausted, "model.too_many_rows",
                  std::format("more than {} rows in one request; send them in parts", limits_.rows_max));
    out_ += rows_ == 1 ? "{" : ",{";
    first_ = true;
    return {};
  }
  Result<void> put(std::string_view name, std::string_view value) {
    if (!std::exchange(first_, false)) out_ += ',';
    append_json_text(out_, name);
    out_ += ':';
    out_ += value;
    if (out_.size() <= limits_.bytes_max) return {};
    return fail(Code::resource_exhausted, "model.too_large",
                std::format("these rows are more than {} bytes with their columns' names; send them in parts",
                            limits_.bytes_max));
  }
  void end_row() { out_ += '}'; }
  std::size_t rows() const { return rows_; }
  std::string take() { return std::exchange(out_, {}) + ']'; }

 private:
  model::ParseLimits limits_;
  std::vector<std::string> names_;
  std::string out_ = "[";
  std::size_t rows_ = 0;
  bool first_ = true;
};

Result<void> put_record(JsonReader& json, RowsText& out) {
  TRY_VOID(out.begin_row());
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    TRY(const auto value, cell(json));
    return out.put(name, value);
  }));
  out.end_row();
  return {};
}

// A list of values, or a value that stands alone, in the order of `names`.
Result<void> put_list(JsonReader& json, const std::vector<std::string>& names, std::string_view names_are,
                      RowsText& out) {
  TRY_VOID(out.begin_row());
  std::size_t count = 0;
  const auto next = [&]() -> Result<void> {
    TRY(const auto value, cell(json));
    if (count++ < names.size()) return out.put(names[count - 1], value);
    return {};
  };
  if (json.peek() == Kind::array) {
    TRY_VOID(json.array(next));
  } else {
    TRY_VOID(next());
  }
  if (count != names.size())
    return bad(
        std::format("row {} has {} values, and there are {} {}", out.rows() - 1, count, names.size(), names_are));
  out.end_row();
  return {};
}

Result<std::string> records(std::string_view text, RowsText& out) {
  JsonReader json(text);
  TRY_VOID(json.array([&] { return put_record(json, out); }));
  return out.take();
}

Result<std::string> list_of_rows(std::string_view text, RowsText& out) {
  JsonReader json(text);
  TRY_VOID(json.array([&]() -> Result<void> {
    if (json.peek() == Kind::object) return put_record(json, out);
    return put_list(json, out.names(), "inputs", out);
  }));
  return out.take();
}

Result<std::string> split(std::string_view text, RowsText& out) {
  std::optional<std::vector<std::string>> columns;
  std::optional<std::string_view> data;
  JsonReader json(text);
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    if (name == "columns") {
      columns.emplace();
      return json.array([&]() -> Result<void> {
        TRY(columns->emplace_back(), json.string());
        return {};
      });
    }
    if (name == "index") return json.skip();
    if (name != "data")
      return bad(std::format("dataframe_split has columns, data and index, and no '{}'", excerpt_of(name)));
    TRY(data, json.raw());
    return {};
  }));
  if (!columns || !data) return bad(std::format("dataframe_split wants '{}'", columns ? "data" : "columns"));
  JsonReader rows(*data);
  TRY_VOID(rows.array([&] { return put_list(rows, *columns, "columns", out); }));
  return out.take();
}

// {column: [..]}: the columns side by side.
Result<std::string> columns(std::string_view text, RowsText& out) {
  std::vector<std::pair<std::string, std::vector<std::string_view>>> all;
  JsonReader json(text);
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    if (all.size() == out.columns_max)
      return bad(std::format("inputs: the model takes {} columns, and '{}' is one more", all.size(), excerpt_of(name)));
    auto& values = all.emplace_back(name, std::vector<std::string_view>()).second;
    const auto next = [&]() -> Result<void> {
      TRY(values.emplace_back(), cell(json));
      return {};
    };
    if (json.peek() != Kind::array) return next();
    return json.array(next);
  }));
  for (const auto& [name, values] : all) {
    if (values.size() != all.front().second.size())
      return bad(std::format("inputs: '{}' has {} values, '{}' has {}", excerpt_of(all.front().first),
                             all.front().second.size(), excerpt_of(name), values.size()));
  }
  for (std::size_t row = 0; !all.empty() && row < all.front().second.size(); ++row) {
    TRY_VOID(out.begin_row());
    for (const auto& [name, values] : all) TRY_VOID(out.put(name, values[row]));
    out.end_row();
  }
  return out.take();
}

}  // namespace

Result<std::string> rows_of(std::string_view body, const model::Manifest& manifest, const model::ParseLimits& limits) {
  if (!simdjson::validate_utf8(body.data(), body.size()))
    return fail(Code::invalid_argument, "api.bad_json", "the body is not UTF-8");
  std::optional<std::pair<std::string, std::string_view>> form;
  JsonReader json(body);
  TRY_VOID(json.object([&](const std::string& name) -> Result<void> {
    if (name == "params") {
      TRY(const auto params, json.raw());
      if (params == "null" || std::ranges::none_of(params, [](char c) { return c == ':'; })) return {};
      return bad("params: this model takes none; leave them out");
    }
    if (form) return bad(std::format("the body has '{}' and '{}'; it takes {}", form->first, excerpt_of(name), kForms));
    if (name != "dataframe_split" && name != "dataframe_records" && name != "instances" && name != "inputs")
      return bad(std::format("the body has '{}'; it takes {}", excerpt_of(name), kForms));
    TRY(const auto value, json.raw());
    form = {name, value};
    return {};
  }));
  TRY_VOID(json.end());
  if (!form) return bad(std::format("the body is empty; it takes {}", kForms));
  RowsText out(manifest, limits);
  const auto& [name, text] = *form;
  if (name == "dataframe_split") return split(text, out);
  if (name == "dataframe_records") return records(text, out);
  if (name == "inputs" && JsonReader(text).peek() == Kind::object) return columns(text, out);
  return list_of_rows(text, out);
}

std::string render_answer(const model::Manifest& manifest, const serve::Answered& answered,
                          std::string_view name_and_version) {
  std::string out = "{\"predictions\":[";
  for (std::size_t i = 0; i < answered.answers.size(); ++i) {
    if (i) out += ',';
    if (const auto& many = answered.answers[i].probabilities; manifest.bare_outputs > 0 && !many.empty()) {
      for (std::size_t k = 0; k < many.size(); ++k) {
        out += k ? ',' : '[';
        append_json_float(out, static_cast<float>(many[k]));
      }
      out += ']';
    } else if (manifest.task == model::TaskType::regression) {
      append_json_number(out, answered.answers[i].score);
    } else {
      append_json_text(out, answered.answers[i].label);
    }
  }
  out += "],\"ids\":[";
  for (std::size_t i = 0; i < answered.ids.size(); ++i) {
    if (i) out += ',';
    append_json_text(out, answered.ids[i].text());
  }
  out += "],\"model\":";
  append_json_text(out, name_and_version);
  if (!answered.unlogged.empty()) out += ",\"logged\":false";
  if (answered.fallback) out += ",\"fallback\":true";
  return out + "}";
}

std::string render_error(const Error& error) {
  const std::string_view code = error.code == Code::not_found          ? "RESOURCE_DOES_NOT_EXIST"
                                : error.code == Code::invalid_argument ? "BAD_REQUEST"
                                : error.code == Code::unavailable      ? "TEMPORARILY_UNAVAILABLE"
                                                                       : "INVALID_STATE";
  std::string out = std::format("{{\"error_code\":\"{}\",\"message\":", code);
  append_json_text(out, error.message);
  return out + '}';
}

}  // namespace millrace::api::mlflow
