#include <simdjson.h>

#include <cmath>
#include <cstring>

#include "model/encoder.hpp"
#include "model/rows_internal.hpp"

namespace millrace::model {
namespace {

using namespace simdjson;

// What a token is, for a message. Scalars are shown, cut short.
std::string got_token(std::string_view raw) {
  while (!raw.empty() && std::strchr(" \t\r\n,", raw.back())) raw.remove_suffix(1);
  if (raw.empty()) return "nothing";
  switch (raw.front()) {
    case '{':
      return "an object";
    case '[':
      return "an array";
    case '"':
      return "the text " + quoted(raw.size() >= 2 && raw.back() == '"' ? raw.substr(1, raw.size() - 2) : raw.substr(1));
    default: {
      const std::string shown = quoted(raw);
      return shown.substr(1, shown.size() - 2);
    }
  }
}

bool is_no_number(std::string_view raw) {
  if (!raw.empty() && (raw.front() == '-' || raw.front() == '+')) raw.remove_prefix(1);
  return raw.starts_with("NaN") || raw.starts_with("nan") || raw.starts_with("Inf") || raw.starts_with("inf");
}

bool is_envelope(std::string_view name) { return name == "rows" || name == "inputs" || name == "instances"; }

// The parser and the padded copy of the text that it needs, kept by each thread: no allocation in the steady state.
struct Scratch {
  ondemand::parser parser;
  std::string buffer;
};

constexpr std::size_t kKeptBytes = 1u << 20;

}  // namespace

// Reads one document. Walks it once, in order, as simdjson's on-demand interface wants.
class JsonReader {
 public:
  JsonReader(const RowParser& parser, const ParseLimits& limits, Problem* problem)
      : p_(parser), limits_(limits), complain_(problem), seen_(parser.names_.size()) {}

  Result<ParsedRows> read(Scratch& scratch, std::string_view text) {
    scratch.buffer.reserve(text.size() + SIMDJSON_PADDING);
    scratch.buffer.assign(text);
    auto document = scratch.parser.iterate(scratch.buffer.data(), text.size(), scratch.buffer.capacity());
    if (document.error()) return broken(document.error());
    document_ = &document.value_unsafe();
    ondemand::json_type type;
    if (auto error = document.type().get(type)) return broken(error);
    if (type == ondemand::json_type::object) {
      ondemand::object object;
      if (auto error = document.get_object().get(object)) return broken(error);
      TRY_VOID(read_object(object, -1));
    } else if (type == ondemand::json_type::array) {
      ondemand::array array;
      if (auto error = document.get_array().get(array)) return broken(error);
      TRY_VOID(read_array(array, true));
    } else {
      return complain_("model.bad_json", "", "an object or an array of objects", "a single value");
    }
    if (!document.at_end()) return complain_("model.bad_json", "", "one JSON document", "more text after its end");
    if (out_.rows.empty()) return complain_("model.no_rows", "", "at least one row", "none");
    return std::move(out_);
  }

 private:
  std::string path(std::int64_t row, std::string_view name) const {
    std::string shown = quoted(name);
    shown = shown.substr(1, shown.size() - 2);
    return row < 0 ? shown : "rows[" + std::to_string(row) + "]." + shown;
  }

  std::unexpected<Error> broken(error_code error) const {
    std::string where;
    const char* at = nullptr;
    if (document_ && !document_->current_location().get(at))
      where = " near " + quoted(std::string_view(at).substr(0, 30));
    if (error == UTF8_ERROR) return complain_("model.bad_json", "", "UTF-8 text", "bytes that are no UTF-8");
    // "CODE: What is wrong. More about it.": the middle is for people.
    std::string_view what = error_message(error);
    if (const auto colon = what.find(": "); colon != what.npos) what.remove_prefix(colon + 2);
    return complain_("model.bad_json", "", "valid JSON",
                     "broken JSON (" + std::string(what.substr(0, what.find('.'))) + ")" + where);
  }

  bool is_element(ondemand::json_type type) const {
    return p_.arrays_ && (type == ondemand::json_type::number || type == ondemand::json_type::null);
  }

  // The next element of a row that is an array.
  Result<void> read_element(ondemand::value& value, std::size_t at, std::int64_t index, table::Row& row) {
    if (at >= p_.inputs_) return wrong_width(index, "more");
    std::string key;
    return read_value(value, static_cast<int>(at), index, row, key);
  }
  std::unexpected<Error> wrong_width(std::int64_t index, std::string got) const {
    return complain_("model.wrong_width", index < 0 ? "" : "rows[" + std::to_string(index) + "]",
                     std::to_string(p_.inputs_) + " numbers, one for each feature", std::move(got));
  }
  Result<void> end_elements(std::size_t count, std::int64_t index, table::Row row) {
    if (count != p_.inputs_) return wrong_width(index, std::to_string(count));
    out_.rows.push_back(std::move(row));
    return {};
  }
  Result<void> read_row(ondemand::array& array, std::int64_t index) {
    table::Row row(p_.inputs_);
    std::size_t count = 0;
    for (auto item : array) {
      if (item.error()) return broken(item.error());
      ondemand::value value = item.value_unsafe();
      TRY_VOID(read_element(value, count++, index, row));
    }
    return end_elements(count, index, std::move(row));
  }
  Result<void> read_array(ondemand::array& array, bool outermost) {
    std::int64_t index = 0;
    table::Row flat;  // an outermost array of numbers is one row
    std::size_t elements = 0;
    for (auto item : array) {
      if (item.error()) return broken(item.error());
      if (elements == 0 && static_cast<std::size_t>(index) >= limits_.rows_max) {
        return complain_("model.too_many_rows", "", "at most " + std::to_string(limits_.rows_max) + " rows", "more",
                         Code::resource_exhausted);
      }
      ondemand::value value = item.value_unsafe();
      ondemand::json_type type;
      if (auto error = value.type().get(type)) return broken(error);
      if (type == ondemand::json_type::unknown) return broken(TAPE_ERROR);
      if (outermost && index == 0 && is_element(type)) {
        if (elements == 0) flat.resize(p_.inputs_);
        TRY_VOID(read_element(value, elements++, -1, flat));
        continue;
      }
      if (elements > 0) return wrong_width(-1, "a row within it");
      if (p_.arrays_ && type == ondemand::json_type::array) {
        ondemand::array row;
        if (auto error = value.get_array().get(row)) return broken(error);
        TRY_VOID(read_row(row, index++));
        continue;
      }
      if (type != ondemand::json_type::object) {
        return complain_("model.wrong_type", "rows[" + std::to_string(index) + "]", "an object with the inputs by name",
                         got_token(value.raw_json_token()));
      }
      ondemand::object object;
      if (auto error = value.get_object().get(object)) return broken(error);
      TRY_VOID(read_object(object, index));
      ++index;
    }
    if (elements == 0) return {};
    out_.single = true;
    return end_elements(elements, -1, std::move(flat));
  }

  // `index` -1: the outermost object, which is a row or holds the rows.
  Result<void> read_object(ondemand::object& object, std::int64_t index) {
    table::Row row(p_.inputs_);
    std::string key;
    std::fill(seen_.begin(), seen_.end(), 0);
    int guess = 0;  // clients mostly send the inputs in their order
    bool first = true, envelope = false;
    for (auto field : object) {
      std::string_view name;
      if (auto error = field.unescaped_key().get(name)) return broken(error);
      ondemand::value value = field.value();
      if (envelope) return complain_("model.unknown_column", path(-1, name), "nothing beside the rows", "this field");
      int number = guess < static_cast<int>(p_.names_.size()) && p_.names_[static_cast<std::size_t>(guess)] == name
                       ? guess
                       : p_.find(name);
      if (number < 0) {
        ondemand::json_type type;
        if (index < 0 && first && is_envelope(name) && !value.type().get(type) && type == ondemand::json_type::array) {
          ondemand::array rows;
          if (auto error = value.get_array().get(rows)) return broken(error);
          TRY_VOID(read_array(rows, false));
          envelope = true;
          continue;
        }
        const std::string near = p_.nearest_name(name);
        return complain_("model.unknown_column", path(index, name),
                         near.empty() ? "one of the model's inputs" : "one of the model's inputs ('" + near + "'?)",
                         "an unknown name");
      }
      first = false;
      guess = number + 1;
      const auto at = static_cast<std::size_t>(number);
      if (seen_[at]) return complain_("model.duplicate_column", path(index, name), "each name once", "it twice");
      seen_[at] = 1;
      TRY_VOID(read_value(value, number, index, row, key));
    }
    if (envelope) return {};
    for (std::size_t i = 0; i < p_.inputs_; ++i) {
      if (p_.required_[i] && !seen_[i]) {
        return complain_("model.missing_input", path(index, p_.names_[i]), std::string(expected_text(p_.types_[i])),
                         "nothing");
      }
    }
    out_.single = index < 0;
    out_.rows.push_back(std::move(row));
    if (p_.key_ >= 0) out_.keys.push_back(std::move(key));
    return {};
  }

  Result<void> read_value(ondemand::value& value, int number, std::int64_t index, table::Row& row, std::string& key) {
    const auto at = static_cast<std::size_t>(number);
    const std::string_view raw = value.raw_json_token();
    const bool input = at < p_.inputs_;
    const auto wrong = [&](std::string_view expected) {
      return complain_("model.wrong_type", path(index, p_.names_[at]), std::string(expected),
                       got_token(raw) + (is_no_number(raw) ? " (JSON has no such number; send null for missing)" : ""));
    };
    const std::string_view expected = input ? expected_text(p_.types_[at]) : "a single value";
    ondemand::json_type type;
    if (is_no_number(raw)) return wrong(expected);
    if (auto error = value.type().get(type)) return broken(error);
    if (type == ondemand::json_type::unknown) {
      return complain_("model.bad_json", path(index, p_.names_[at]), std::string(expected),
                       "broken JSON: " + got_token(raw));
    }
    if (type == ondemand::json_type::null) {
      bool null = false;
      if (auto error = value.is_null().get(null)) return broken(error);
      return null ? Result<void>{} : wrong(expected);
    }
    if (number == p_.key_) {
      if (type == ondemand::json_type::string) {
        std::string_view text;
        if (auto error = value.get_string().get(text)) return broken(error);
        key = text;
        if (input) return take_text(text, number, index, row);
        return {};
      }
      if (type != ondemand::json_type::number && type != ondemand::json_type::boolean) return wrong(expected);
      key = got_token(raw);
    }
    if (!input) return check_scalar(value, type, [&] { return wrong(expected); });
    table::Value& to = row[at];
    switch (p_.types_[at]) {
      case table::Type::boolean: {
        bool flag = false;
        if (type != ondemand::json_type::boolean) return wrong(expected);
        if (auto error = value.get_bool().get(flag)) return broken(error);
        to = flag;
        return {};
      }
      case table::Type::float64: {
        double x = 0;
        if (type != ondemand::json_type::number) return wrong(expected);
        if (auto error = value.get_double().get(x)) return number_error(error, raw, number, index);
        if (!std::isfinite(x)) return number_error(NUMBER_OUT_OF_RANGE, raw, number, index);
        to = x;
        return {};
      }
      case table::Type::int64: {
        if (type != ondemand::json_type::number) return wrong(expected);
        return take_whole(value, raw, number, index, to);
      }
      case table::Type::text:
      case table::Type::date:
      case table::Type::timestamp: {
        if (type != ondemand::json_type::string) return wrong(expected);
        std::string_view text;
        if (auto error = value.get_string().get(text)) return broken(error);
        return take_text(text, number, index, row);
      }
    }
    return {};
  }

  Result<void> take_text(std::string_view text, int number, std::int64_t index, table::Row& row) {
    const auto at = static_cast<std::size_t>(number);
    const table::Type type = p_.types_[at];
    if (type == table::Type::text) {
      row[at] = std::string(text);
      return {};
    }
    const auto got = [&] { return "the text " + quoted(text); };
    if (type != table::Type::date && type != table::Type::timestamp) {
      return complain_("model.wrong_type", path(index, p_.names_[at]), std::string(expected_text(type)), got());
    }
    auto value = table::from_text(text, type);
    if (!value || table::is_null(*value)) {
      return complain_("model.wrong_type", path(index, p_.names_[at]), std::string(expected_text(type)), got());
    }
    row[at] = std::move(*value);
    return {};
  }

  Result<void> take_whole(ondemand::value& value, std::string_view raw, int number, std::int64_t index,
                          table::Value& to) {
    ondemand::number parsed;
    if (auto error = value.get_number().get(parsed)) return number_error(error, raw, number, index);
    if (parsed.is_int64()) {
      to = parsed.get_int64();
      return {};
    }
    const double x = parsed.is_uint64() ? 1e19 : parsed.get_double();
    if (!(std::fabs(x) < 9.2233720368547758e18)) return number_error(NUMBER_OUT_OF_RANGE, raw, number, index);
    if (x != std::trunc(x)) {
      return complain_("model.wrong_type", path(index, p_.names_[static_cast<std::size_t>(number)]), "a whole number",
                       got_token(raw));
    }
    to = static_cast<std::int64_t>(x);
    return {};
  }

  Result<void> number_error(error_code error, std::string_view raw, int number, std::int64_t index) {
    const auto at = static_cast<std::size_t>(number);
    // simdjson tells a malformed number from one that is too large only by how it looks.
    const std::string token = got_token(raw);
    const bool shaped = token.find_first_not_of("0123456789+-.eE") == std::string::npos;
    const bool out = error == NUMBER_OUT_OF_RANGE || error == BIGINT_ERROR ||
                     (shaped && (token.size() >= 19 || token.find_first_of("eE") != std::string::npos));
    if (!out) return broken(error);
    const bool whole = p_.types_[at] == table::Type::int64;
    return complain_(
        "model.out_of_range", path(index, p_.names_[at]),
        whole ? "a whole number between -9223372036854775808 and 9223372036854775807" : "a number below 1.8e308",
        token);
  }

  template <class Wrong>
  Result<void> check_scalar(ondemand::value& value, ondemand::json_type type, Wrong wrong) {
    switch (type) {
      case ondemand::json_type::boolean:
        if (auto error = value.get_bool().error()) return broken(error);
        return {};
      case ondemand::json_type::string:
        if (auto error = value.get_string().error()) return broken(error);
        return {};
      case ondemand::json_type::number:
        if (auto error = value.get_double().error(); error && error != NUMBER_OUT_OF_RANGE) return broken(error);
        return {};
      default:
        return wrong();
    }
  }

  const RowParser& p_;
  const ParseLimits& limits_;
  Complaint complain_;
  std::vector<char> seen_;
  ondemand::document* document_ = nullptr;
  ParsedRows out_;
};

Result<ParsedRows> RowParser::parse_json(std::string_view text, const ParseLimits& limits, Problem* problem) const {
  if (text.size() > limits.bytes_max) {
    return Complaint(problem)("model.too_large", "", "at most " + std::to_string(limits.bytes_max) + " bytes",
                              std::to_string(text.size()), Code::resource_exhausted);
  }
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return Complaint(problem)("model.bad_json", "", "a JSON object or a list of them", "nothing");
  if (const char c = text[first]; c != '{' && c != '[' && static_cast<unsigned char>(c) < 0x80) {
    return Complaint(problem)("model.bad_json", "", "a JSON object or a list of them",
                              quoted(text.substr(first, 30)) + " (CSV is sent with Content-Type: text/csv)");
  }
  thread_local Scratch scratch;
  auto result = JsonReader(*this, limits, problem).read(scratch, text);
  if (scratch.buffer.capacity() > kKeptBytes) {
    scratch.parser = ondemand::parser();
    scratch.buffer = std::string();
  }
  return result;
}

}  // namespace millrace::model
