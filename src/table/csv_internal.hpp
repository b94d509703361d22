// CSV as pure functions over text: one record, the dialect, the type of a column. The reader around them is csv.cpp.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "table/table.hpp"
#include "table/value.hpp"

namespace millrace::table {

// Cells point into the text they were parsed from, or into `unescaped`.
struct CsvRecord {
  std::vector<std::string_view> cells;  // blanks around them trimmed, quotes removed
  std::size_t consumed = 0;             // bytes of the text, line end included
  std::int64_t lines = 0;               // line ends in them
  bool blank = false;                   // nothing on the line at all
  std::deque<std::string> unescaped;
};

enum class CsvParse {
  record,
  need_more,    // the text stops before the record does
  open_quote,   // a quoted cell is still open at the end of the file
  after_quote,  // something other than blanks stands between a closing quote and the next delimiter
};

// The first record of `text`. RFC 4180, and: blanks around cells and around quotes are trimmed, a quote inside an
// unquoted cell is itself, a line ends with LF, CRLF or CR. `at_end`: no more text will come.
CsvParse parse_csv_record(std::string_view text, bool at_end, char delimiter, CsvRecord& record);

// From the beginning of a file. Delimiter: of , ; tab and |, the one which gives most records of the same number of
// cells, the larger number on a tie. Header: csv_has_header.
CsvFound sniff_csv(std::string_view sample, bool at_end, const CsvOptions& options);

// Is the first record a header? Yes when no cell of it is a number, truth value or date, and either some column holds
// only such things below it, or none of its cells appears again in its own column.
// A first record with numbers is a header only when the columns that turn from a word to numbers below outnumber them.
bool csv_has_header(const std::vector<std::vector<std::string>>& records, const CsvOptions& options);

bool is_null_marker(std::string_view cell, const CsvOptions& options);

// Which type holds all values seen. Starts with none (text when nothing but nulls came).
class TypeGuess {
 public:
  void see(std::string_view cell);
  bool any() const { return state_ != State::none; }
  Type type() const;

 private:
  enum class State { none, boolean, int64, float64, date, timestamp, text } state_ = State::none;
  bool big_ = false;  // a whole number beyond 64 bits came
};

// Names made usable: empty ones become column_<n>, later doubles get _2, _3, ...
std::vector<std::string> unique_names(std::vector<std::string> names);

}  // namespace millrace::table
