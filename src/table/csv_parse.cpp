#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "table/csv_internal.hpp"
#include "table/parse_internal.hpp"

namespace millrace::table {

namespace {

bool is_blank(char c, char delimiter) { return (c == ' ' || c == '\t') && c != delimiter; }

std::string_view trimmed(std::string_view text, char delimiter) {
  while (!text.empty() && is_blank(text.front(), delimiter)) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back(), delimiter)) text.remove_suffix(1);
  return text;
}

// Where the record parser stands in its text.
struct Cursor {
  std::string_view text;
  bool at_end;
  char delimiter;
  std::size_t at = 0;

  bool done() const { return at == text.size(); }
  void skip_blanks() {
    while (!done() && is_blank(text[at], delimiter)) at++;
  }
};

CsvParse parse_quoted(Cursor& cursor, CsvRecord& record) {
  cursor.at++;
  std::size_t start = cursor.at;
  std::string* joined = nullptr;
  while (true) {
    const auto* quote =
        static_cast<const char*>(std::memchr(cursor.text.data() + cursor.at, '"', cursor.text.size() - cursor.at));
    if (!quote) return cursor.at_end ? CsvParse::open_quote : CsvParse::need_more;
    const std::size_t end = static_cast<std::size_t>(quote - cursor.text.data());
    if (end + 1 == cursor.text.size() && !cursor.at_end) return CsvParse::need_more;
    const std::string_view piece = cursor.text.substr(start, end - start);
    record.lines += std::count(piece.begin(), piece.end(), '\n');
    const bool doubled = end + 1 < cursor.text.size() && cursor.text[end + 1] == '"';
    if (doubled || joined) {
      if (!joined) joined = &record.unescaped.emplace_back();
      joined->append(piece);
    }
    if (!doubled) {
      record.cells.push_back(trimmed(joined ? std::string_view(*joined) : piece, '\0'));
      cursor.at = end + 1;
      break;
    }
    joined->push_back('"');
    cursor.at = start = end + 2;
  }
  cursor.skip_blanks();
  if (cursor.done()) return cursor.at_end ? CsvParse::record : CsvParse::need_more;
  const char next = cursor.text[cursor.at];
  return next == cursor.delimiter || next == '\n' || next == '\r' ? CsvParse::record : CsvParse::after_quote;
}

CsvParse parse_plain(Cursor& cursor, CsvRecord& record) {
  const std::size_t start = cursor.at;
  while (!cursor.done()) {
    const char c = cursor.text[cursor.at];
    if (c == cursor.delimiter || c == '\n' || c == '\r') break;
    cursor.at++;
  }
  if (cursor.done() && !cursor.at_end) return CsvParse::need_more;
  record.cells.push_back(trimmed(cursor.text.substr(start, cursor.at - start), cursor.delimiter));
  return CsvParse::record;
}

bool is_typed(std::string_view cell) {
  TypeGuess guess;
  guess.see(cell);
  return guess.type() != Type::text;
}

}  // namespace

CsvParse parse_csv_record(std::string_view text, bool at_end, char delimiter, CsvRecord& record) {
  record.cells.clear();
  record.unescaped.clear();
  record.consumed = 0;
  record.lines = 0;
  record.blank = false;
  Cursor cursor{text, at_end, delimiter};
  while (true) {
    cursor.skip_blanks();
    if (cursor.done() && !at_end) return CsvParse::need_more;
    const bool quoted = !cursor.done() && text[cursor.at] == '"';
    const CsvParse cell = quoted ? parse_quoted(cursor, record) : parse_plain(cursor, record);
    if (cell != CsvParse::record) {
      record.consumed = cursor.at;
      return cell;
    }
    if (cursor.done() || text[cursor.at] != delimiter) {
      record.blank = record.cells.size() == 1 && !quoted && record.cells.front().empty();
      break;
    }
    cursor.at++;
  }
  if (!cursor.done()) {
    const bool carriage = text[cursor.at] == '\r';
    if (carriage && cursor.at + 1 == text.size() && !at_end) return CsvParse::need_more;
    cursor.at += carriage && cursor.at + 1 < text.size() && text[cursor.at + 1] == '\n' ? 2 : 1;
    record.lines++;
  }
  record.consumed = cursor.at;
  return CsvParse::record;
}

namespace {

constexpr std::size_t sample_records_max = 500;

// Records of the sample that are whole; stops at the first that cannot be parsed (clean = false).
struct Sample {
  std::vector<std::vector<std::string>> records;
  bool clean = true;
};

Sample sample_records(std::string_view text, bool at_end, char delimiter) {
  Sample out;
  CsvRecord record;
  while (!text.empty() && out.records.size() < sample_records_max) {
    const CsvParse state = parse_csv_record(text, at_end, delimiter, record);
    if (state != CsvParse::record) {
      out.clean = state == CsvParse::need_more;
      break;
    }
    if (!record.blank) out.records.emplace_back(record.cells.begin(), record.cells.end());
    text.remove_prefix(record.consumed);
  }
  return out;
}

}  // namespace

CsvFound sniff_csv(std::string_view sample, bool at_end, const CsvOptions& options) {
  CsvFound out;
  Sample best;
  if (options.delimiter) {
    out.delimiter = *options.delimiter;
    best = sample_records(sample, at_end, out.delimiter);
  } else {
    std::pair<double, std::size_t> best_score{-1, 0};
    for (const char candidate : {',', ';', '\t', '|'}) {
      Sample parsed = sample_records(sample, at_end, candidate);
      std::map<std::size_t, std::size_t> widths;
      for (const auto& record : parsed.records) widths[record.size()]++;
      std::size_t width = 1, rows = 0;
      for (const auto& [w, count] : widths) {
        if (count > rows) std::tie(width, rows) = std::pair(w, count);
      }
      // One cell a record says nothing for a delimiter.
      const double share = width < 2 || !parsed.clean ? 0 : double(rows) / double(parsed.records.size());
      const std::pair score{share, share > 0 ? width : 0};
      if (score > best_score) {
        best_score = score;
        out.delimiter = candidate;
        best = std::move(parsed);
      }
    }
  }
  out.header_likely = csv_has_header(best.records, options);
  out.header = options.header.value_or(out.header_likely);
  return out;
}

bool csv_has_header(const std::vector<std::vector<std::string>>& records, const CsvOptions& options) {
  if (records.empty()) return false;
  const auto& first = records.front();
  if (!options.names.empty() && first == options.names) return true;
  std::size_t typed_first = 0, turns = 0;
  bool repeats = false;
  for (std::size_t c = 0; c < first.size(); c++) {
    const bool typed = !is_null_marker(first[c], options) && is_typed(first[c]);
    typed_first += typed;
    bool any = false, all_typed = true;
    for (std::size_t r = 1; r < records.size(); r++) {
      if (c >= records[r].size() || is_null_marker(records[r][c], options)) continue;
      any = true;
      all_typed = all_typed && is_typed(records[r][c]);
      repeats = repeats || (!first[c].empty() && records[r][c] == first[c]);
    }
    turns += any && all_typed && !typed && !is_null_marker(first[c], options);
  }
  if (typed_first > 0) return turns > typed_first;
  return turns > 0 || !repeats;
}

bool is_null_marker(std::string_view cell, const CsvOptions& options) {
  for (const std::string& marker : options.nulls) {
    if (cell == marker) return true;
  }
  return false;
}

void TypeGuess::see(std::string_view cell) {
  std::int64_t whole = 0;
  switch (state_) {
    case State::text:
      return;
    case State::none:
      switch (parse_integer(cell, whole)) {
        case IntegerParse::ok:
          state_ = State::int64;
          return;
        case IntegerParse::too_big:
          state_ = State::int64;
          big_ = true;
          return;
        case IntegerParse::leading_zero:
          state_ = State::text;
          return;
        case IntegerParse::not_integer:
          break;
      }
      if (parse_float(cell)) {
        state_ = State::float64;
      } else if (parse_boolean_word(cell)) {
        state_ = State::boolean;
      } else if (parse_date(cell)) {
        state_ = State::date;
      } else {
        state_ = parse_timestamp(cell) ? State::timestamp : State::text;
      }
      return;
    case State::boolean:
      if (!parse_boolean_word(cell)) state_ = State::text;
      return;
    case State::int64:
    case State::float64:
      switch (parse_integer(cell, whole)) {
        case IntegerParse::ok:
          return;
        case IntegerParse::too_big:
          big_ = true;
          return;
        case IntegerParse::leading_zero:
          state_ = State::text;
          return;
        case IntegerParse::not_integer:
          state_ = parse_float(cell) ? State::float64 : State::text;
          return;
      }
      return;
    case State::date:
      if (parse_date(cell)) return;
      state_ = parse_timestamp(cell) ? State::timestamp : State::text;
      return;
    case State::timestamp:
      if (!parse_timestamp(cell) && !parse_date(cell)) state_ = State::text;
      return;
  }
}

Type TypeGuess::type() const {
  switch (state_) {
    case State::boolean:
      return Type::boolean;
    // Whole numbers beyond 64 bits are names (order numbers, hashes): as text they stay distinct.
    case State::int64:
      return big_ ? Type::text : Type::int64;
    case State::float64:
      return Type::float64;
    case State::date:
      return Type::date;
    case State::timestamp:
      return Type::timestamp;
    default:
      return Type::text;
  }
}

std::vector<std::string> unique_names(std::vector<std::string> names) {
  std::set<std::string> given(names.begin(), names.end());
  std::set<std::string> taken;
  for (std::size_t i = 0; i < names.size(); i++) {
    std::string name = names[i].empty() ? "column_" + std::to_string(i + 1) : names[i];
    for (int n = 2; taken.contains(name) || (name != names[i] && given.contains(name)); n++) {
      name = (names[i].empty() ? "column_" + std::to_string(i + 1) : names[i]) + "_" + std::to_string(n);
    }
    taken.insert(name);
    names[i] = std::move(name);
  }
  return names;
}

}  // namespace millrace::table
