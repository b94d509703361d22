#include "data/infer.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/nearest.hpp"
#include "base/text.hpp"
#include "data/leak_internal.hpp"
#include "table/value.hpp"

namespace millrace::data {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  while (!out.empty() && (out.back() == '.' || out.back() == ' ')) out.pop_back();
  return out;
}

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}
bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

bool is_number(const ColumnProfile& column) { return column.type == "int64" || column.type == "float64"; }

// "id", "customer_id", "CustomerId", "uuid", "row_number", "index", ...
bool sounds_like_id(std::string_view name) {
  const std::string l = lower(name);
  constexpr std::string_view whole[] = {"id",     "uuid", "guid",    "key", "index", "rowid",
                                        "rownum", "row",  "instant", "nr",  "no",    "number"};
  if (contains(whole, l)) return true;
  for (const std::string_view end : {"_id", "-id", " id", ".id", "_uuid", "_key", "_no", "_nr", "_number", "_index"}) {
    if (l.ends_with(end)) return true;
  }
  return name.size() > 2 && (name.ends_with("Id") || name.ends_with("ID")) && name[name.size() - 3] >= 'a' &&
         name[name.size() - 3] <= 'z';
}

bool all_distinct(const ColumnProfile& c, std::int64_t rows) {
  if (c.nulls > 0 || c.count < 2) return false;
  return c.distinct_exact ? c.distinct == rows : static_cast<double>(c.distinct) > 0.97 * static_cast<double>(rows);
}

bool numbers_rows(const ColumnProfile& c, std::int64_t rows) {
  if (c.type != "int64" || rows < 5) return false;
  return all_distinct(c, rows) && (c.increasing || sounds_like_id(c.name));
}

// A short word of its own in every row: an e-mail address, a UUID, an order number.
bool names_rows(const ColumnProfile& c, std::int64_t rows) {
  if (c.type != "text" || rows < 5 || !all_distinct(c, rows) || c.mean_length.value_or(0) > 50) return false;
  return sounds_like_id(c.name) ||
         std::ranges::none_of(c.top, [](const ValueCount& v) { return v.value.contains(' '); });
}

bool is_long_text(const ColumnProfile& c) { return c.type == "text" && c.mean_length.value_or(0) > 50; }
bool is_mostly_distinct_text(const ColumnProfile& c) {
  return c.type == "text" && c.distinct > 20 && 2 * c.distinct > c.count;
}

// "31/12/2020", "1.2.99", "12-31-2020", "2020/12/31": dates, but which number is the day is anybody's guess.
bool is_local_date(std::string_view text) {
  std::vector<std::size_t> digits(1);
  char separator = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      digits.back()++;
    } else if ((c == '/' || c == '.' || c == '-') && (separator == 0 || c == separator)) {
      separator = c;
      digits.push_back(0);
    } else {
      return false;
    }
  }
  const auto few = [](std::size_t n) { return n == 1 || n == 2; };
  if (digits.size() != 3 || !few(digits[1])) return false;
  return (few(digits[0]) && (digits[2] == 2 || digits[2] == 4)) || (digits[0] == 4 && few(digits[2]));
}

// "3,5", "1.234,50": a number as it is written where the comma separates decimals.
bool is_decimal_comma(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const auto comma = text.find(',');
  if (comma == text.npos || comma == 0 || comma + 1 == text.size()) return false;
  const auto digits = [](std::string_view part, std::string_view more) {
    return std::ranges::all_of(part, [&](char c) { return (c >= '0' && c <= '9') || more.contains(c); });
  };
  return digits(text.substr(0, comma), ".") && digits(text.substr(comma + 1), "");
}

bool holds_decimal_commas(const ColumnProfile& c) {
  if (c.type != "text" || c.top.empty()) return false;
  const auto whole = [](std::string_view text) { return table::from_text(text, table::Type::int64).has_value(); };
  return std::ranges::any_of(c.top, [](const ValueCount& v) { return is_decimal_comma(v.value); }) &&
         std::ranges::all_of(c.top, [&](const ValueCount& v) { return is_decimal_comma(v.value) || whole(v.value); });
}

bool holds_local_dates(const ColumnProfile& c) {
  return c.type == "text" && !c.top.empty() &&
         std::ranges::all_of(c.top, [](const ValueCount& v) { return is_local_date(v.value); });
}

std::string_view encoding_of(std::string_view type) {
  if (type == "boolean") return "boolean";
  if (type == "text") return "category";
  return type == "date" || type == "timestamp" ? "date_parts" : "number";
}

Result<const ColumnProfile*> find(const std::vector<ColumnProfile>& columns, const std::string& name,
                                  std::string_view as) {
  const auto found = std::ranges::find(columns, name, &ColumnProfile::name);
  if (found != columns.end()) return &*found;
  std::vector<std::string> names;
  for (const ColumnProfile& column : columns) names.push_back(column.name);
  const std::string near = nearest(name, names);
  return fail(Code::not_found, "data.no_column",
              "there is no column '" + name + "' for the " + std::string(as) +
                  (near.empty() ? "" : "; did you mean '" + near + "'?"));
}

std::unexpected<Error> bad_target(const std::string& message) {
  return fail(Code::invalid_argument, "data.bad_target", message);
}

// Which rule makes which task of the target; empty task when none does.
struct TargetTask {
  std::string name, why;
};
TargetTask task_of(const ColumnProfile& t) {
  const std::string distinct = with_thousands(t.distinct);
  if (t.type == "boolean") return {"binary", "the target is true or false"};
  if (t.distinct == 2) return {"binary", "the target has two values"};
  if (t.type == "text") return {"multiclass", "the target has " + distinct + " words"};
  if (!is_number(t)) return {};
  if (2 * t.distinct > t.count && t.distinct > 10) {
    return {"regression", "more than half of the target's numbers are distinct (" + distinct + " of " +
                              with_thousands(t.count) + ")"};
  }
  const bool fractions = t.type == "float64" && std::ranges::any_of(t.top, [](const ValueCount& v) {
                           const auto value = table::from_text(v.value, table::Type::float64);
                           return value && std::get<double>(*value) != std::trunc(std::get<double>(*value));
                         });
  if (fractions && t.distinct > 10) return {"regression", "the target has fractions and " + distinct + " values"};
  if (t.distinct > 50) return {"regression", "the target has " + distinct + " different numbers, more than 50"};
  return {"multiclass", "the target has " + distinct + " different numbers, no more than 50"};
}

// By value: numbers in their order, words in that of their bytes.
std::vector<TargetClass> classes_of(const ColumnProfile& target) {
  std::vector<TargetClass> out;
  for (const ValueCount& v : target.top) out.push_back({v.value, v.count});
  std::ranges::sort(out, [&](const TargetClass& a, const TargetClass& b) {
    if (!is_number(target)) return a.value < b.value;
    return std::get<double>(*table::from_text(a.value, table::Type::float64)) <
           std::get<double>(*table::from_text(b.value, table::Type::float64));
  });
  return out;
}

void note_small_classes(Inference& out) {
  constexpr std::size_t named_max = 5;
  std::vector<const TargetClass*> small;
  for (const TargetClass& c : out.classes) {
    if (c.rows < 5) small.push_back(&c);
  }
  for (std::size_t i = 0; i < std::min(small.size(), named_max); i++) {
    out.notes.push_back("class '" + small[i]->value + "' has only " + std::to_string(small[i]->rows) +
                        (small[i]->rows == 1 ? " row" : " rows") + ": too few to learn or to measure");
  }
  if (small.size() > named_max)
    out.notes.push_back("and " + std::to_string(small.size() - named_max) + " more classes with fewer than 5 rows");
}

Result<void> judge_target(const ColumnProfile& target, const InferRequest& request, Inference& out) {
  const std::string name = "the target '" + target.name + "'";
  if (target.count == 0) return bad_target(name + " has no value in any row");
  if (target.distinct < 2) return bad_target(name + " has the same value in every row: " + target.min);
  if (holds_decimal_commas(target) && target.distinct > 2) {
    return bad_target(name + " looks like numbers with a decimal comma ('" + target.top.front().value +
                      "'); write them with a decimal point");
  }
  if (is_mostly_distinct_text(target)) {
    return bad_target(name + " has another word in most rows (" + with_thousands(target.distinct) + " in " +
                      with_thousands(target.count) + "): nothing can be learned from it; is it the right column?");
  }
  const bool automatic = request.task.empty() || request.task == "auto";
  TargetTask task = task_of(target);
  if (automatic && task.name.empty()) {
    return bad_target(name + " is a " + target.type + "; a target is numbers, words, or true/false");
  }
  if (!automatic) {
    if (request.task == "regression" && !is_number(target))
      return bad_target(name + " holds no numbers: it can't be a regression");
    if (request.task == "binary" && target.distinct != 2) {
      return bad_target(name + " has " + with_thousands(target.distinct) + " values: it can't be a binary task");
    }
    task = {request.task, "given"};
  }
  out.task = task.name;
  out.task_why = task.why;
  if (out.task == "regression") return {};
  if (static_cast<std::size_t>(target.distinct) != target.top.size()) {
    return bad_target(name + " has " + with_thousands(target.distinct) +
                      " classes, too many to learn; is it the right column?");
  }
  out.classes = classes_of(target);
  note_small_classes(out);
  if (out.task != "binary") return {};
  if (request.positive.empty()) {
    out.positive = positive_class(out.classes[0], out.classes[1], target.type, out.positive_why);
    return {};
  }
  if (std::ranges::find(out.classes, request.positive, &TargetClass::value) == out.classes.end()) {
    return bad_target("positive = '" + request.positive + "' is no value of " + name + "; it has '" +
                      out.classes[0].value + "' and '" + out.classes[1].value + "'");
  }
  out.positive = request.positive;
  out.positive_why = "given";
  return {};
}

std::string propose_key(const std::vector<ColumnProfile>& columns, std::int64_t rows, const InferRequest& request) {
  for (const auto& fits : {numbers_rows, names_rows}) {
    for (const ColumnProfile& c : columns) {
      if (c.name != request.target && fits(c, rows)) return c.name;
    }
  }
  return {};
}

// Role and reason of a column that is neither target nor key.
InputColumn judge_column(const ColumnProfile& c, std::int64_t rows, const InferRequest& request) {
  const auto left_out = [&](std::string why) { return InputColumn{c.name, c.type, "", "left out", std::move(why)}; };
  const bool asked = contains(request.inputs, c.name);
  if (contains(request.exclude, c.name)) return left_out("excluded");
  if (!request.inputs.empty() && !asked) return left_out("not among the inputs");
  if (c.count == 0) return left_out("empty");
  if (c.distinct == 1 && c.nulls == 0) return left_out("the same in every row: " + table::excerpt(c.min, 40));
  if (!asked) {  // who names a column wants it
    if (numbers_rows(c, rows)) return left_out("names rows: " + with_thousands(c.distinct) + " distinct whole numbers");
    if (names_rows(c, rows)) return left_out("names rows: another word in each");
    if (is_long_text(c))
      return left_out("long text: " + with_thousands(std::llround(*c.mean_length)) + " characters on average");
    if (is_mostly_distinct_text(c)) {
      return left_out("mostly distinct text: " + with_thousands(c.distinct) + " values in " + with_thousands(c.count) +
                      " rows");
    }
  }
  std::string why = c.type == "text"      ? with_thousands(c.distinct) + " categories"
                    : c.type == "boolean" ? "true or false"
                    : is_number(c)        ? "numbers"
                                          : "a date, in parts";
  if (asked) why = "named as an input";
  return {c.name, c.type, std::string(encoding_of(c.type)), "input", std::move(why)};
}

// "a", "b", "c" and 12 more
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t most = 8;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), most); i++) out += (i ? ", \"" : "\"") + names[i] + "\"";
  return names.size() > most ? out + " and " + std::to_string(names.size() - most) + " more" : out;
}

void add_notes(const std::vector<ColumnProfile>& columns, Inference& out) {
  if (out.rows_without_target > 0) {
    out.notes.push_back(with_thousands(out.rows_without_target) + " rows have no target: kept for prediction only");
  }
  if (out.key_proposed) out.notes.push_back("\"" + out.key + "\" taken as the key: it has another value in every row");
  std::map<std::string, std::vector<std::string>> left_out;  // by the kind of reason: what stands before the colon
  std::string missing;
  for (std::size_t i = 0; i < columns.size(); i++) {
    const InputColumn& role = out.columns[i];
    if (role.role == "input" && columns[i].nulls > 0) {
      missing += (missing.empty() ? "" : ", ") + role.name + " " + with_thousands(columns[i].nulls);
    }
    if (role.role != "target" && holds_local_dates(columns[i])) {
      out.notes.push_back("\"" + role.name + "\" looks like dates ('" + columns[i].top.front().value +
                          "') but was read as text: written as 2020-12-31 they would be used as dates");
    }
    if (role.role != "target" && holds_decimal_commas(columns[i])) {
      out.notes.push_back("\"" + role.name + "\" looks like numbers with a decimal comma ('" +
                          columns[i].top.front().value +
                          "') but was read as text: written with a decimal point they would be used as numbers");
    }
    // What somebody left out on purpose needs no note.
    const bool silent = role.why == "excluded" || role.why == "not among the inputs";
    if (role.role == "left out" && !silent) left_out[role.why.substr(0, role.why.find(':'))].push_back(role.name);
  }
  for (const auto& [why, names] : left_out) out.notes.push_back("left out (" + why + "): " + listed(names));
  if (!missing.empty()) out.notes.push_back("missing values, treated as such: " + missing);
  for (const std::string& leak : out.leaks) {
    out.notes.push_back("\"" + leak +
                        "\" alone tells the target almost perfectly: is it known when a prediction is made? If not, "
                        "exclude it");
  }
}

}  // namespace

std::string positive_class(const TargetClass& a, const TargetClass& b, std::string_view type, std::string& why) {
  if (type == "boolean") {
    why = "it is true";
    return "true";
  }
  if (type == "int64" || type == "float64") {
    why = "it is the larger number";
    return b.value;  // classes come in their order
  }
  constexpr std::string_view yes[] = {"1", "true", "yes", "y", "t", "on", "positive", "pos", ">50k"};
  constexpr std::string_view no[] = {"0", "false", "no", "n", "f", "off", "negative", "neg", "<=50k"};
  const std::string la = lower(a.value), lb = lower(b.value);
  const auto negates = [](std::string_view not_word, std::string_view word) {
    for (const std::string_view prefix : {"not ", "not_", "not-", "no ", "no_", "no-", "non ", "non_", "non-", "non"}) {
      if (not_word.starts_with(prefix) && not_word.substr(prefix.size()) == word) return true;
    }
    return false;
  };
  const bool first = contains(yes, la) != contains(yes, lb) ? contains(yes, la)
                     : contains(no, la) != contains(no, lb) ? contains(no, lb)
                     : negates(la, lb) || negates(lb, la)   ? negates(lb, la)
                     : a.rows != b.rows                     ? a.rows < b.rows
                                                            : false;
  const bool by_word = contains(yes, la) != contains(yes, lb) || contains(no, la) != contains(no, lb) ||
                       negates(la, lb) || negates(lb, la);
  why = by_word            ? "the word says so"
        : a.rows != b.rows ? "it has fewer rows"
                           : "both have as many rows; it is the later word";
  return first ? a.value : b.value;
}

Result<Inference> infer(const std::vector<ColumnProfile>& columns, std::int64_t rows,
                        const std::vector<table::Batch>& sample, const InferRequest& request) {
  Inference out;
  out.target = request.target;
  out.rows = rows;
  for (const std::string& name : request.inputs) TRY_VOID(find(columns, name, "inputs").transform([](auto*) {}));
  for (const std::string& name : request.exclude)
    TRY_VOID(find(columns, name, "excluded ones").transform([](auto*) {}));
  if (!request.key.empty()) TRY_VOID(find(columns, request.key, "key").transform([](auto*) {}));
  if (!request.target.empty()) {
    TRY(const ColumnProfile* target, find(columns, request.target, "target"));
    out.rows_without_target = target->nulls;
    TRY_VOID(judge_target(*target, request, out));
  }
  out.key = request.key.empty() ? propose_key(columns, rows, request) : request.key;
  out.key_proposed = request.key.empty() && !out.key.empty();
  for (const ColumnProfile& column : columns) {
    if (column.name == request.target) {
      out.columns.push_back({column.name, column.type, "", "target", out.task});
    } else if (column.name == out.key && !contains(request.inputs, column.name)) {
      out.columns.push_back(
          {column.name, column.type, "", "key", out.key_proposed ? "proposed: another value in every row" : "given"});
    } else {
      out.columns.push_back(judge_column(column, rows, request));
    }
  }
  if (!out.task.empty()) out.leaks = find_leaks(sample, out);
  add_notes(columns, out);
  return out;
}

}  // namespace millrace::data
