#include <algorithm>
#include <array>
#include <optional>

#include "model/encoder.hpp"
#include "model/rows_internal.hpp"

namespace millrace::model {
namespace {

constexpr std::array<std::string_view, 8> kNulls = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"};

struct Cell {
  std::string text;
  bool is_quoted = false;
};

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : lead >= 0xE0 && lead < 0xF0 ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F))
      return false;
    i += length;
  }
  return true;
}

// One record from `at` on. False when a quote is never closed or something follows a closing quote.
bool read_record(std::string_view text, char delimiter, std::size_t& at, std::vector<Cell>& cells) {
  const char stops[] = {delimiter, '\n', '\r'};
  cells.clear();
  while (true) {
    Cell cell;
    if (at < text.size() && text[at] == '"') {
      cell.is_quoted = true;
      ++at;
      while (true) {
        const std::size_t quote = text.find('"', at);
        if (quote == std::string_view::npos) return false;
        cell.text.append(text.substr(at, quote - at));
        at = quote + 1;
        if (at >= text.size() || text[at] != '"') break;
        cell.text.push_back('"');
        ++at;
      }
      if (at < text.size() && text[at] != delimiter && text[at] != '\n' && text[at] != '\r') return false;
    } else {
      const std::size_t end = std::min(text.find_first_of(std::string_view(stops, sizeof stops), at), text.size());
      cell.text = text.substr(at, end - at);
      // Blanks around bare cells go, as when a file is read.
      const std::size_t from = cell.text.find_first_not_of(" \t");
      cell.text = from == std::string::npos ? "" : cell.text.substr(from, cell.text.find_last_not_of(" \t") - from + 1);
      at = end;
    }
    cells.push_back(std::move(cell));
    if (at >= text.size()) return true;
    const char stop = text[at++];
    if (stop == delimiter) continue;
    if (stop == '\r' && at < text.size() && text[at] == '\n') ++at;
    return true;
  }
}

// What separates the cells of a header line: a comma, unless there is none and one of the others.
char delimiter_of(std::string_view text) {
  const auto line = text.substr(0, text.find_first_of("\n\r"));
  for (const char one : {',', ';', '\t', '|'}) {
    if (line.contains(one)) return one;
  }
  return ',';
}

}  // namespace

class CsvReader {
 public:
  CsvReader(const RowParser& parser, const ParseLimits& limits, Problem* problem)
      : p_(parser), limits_(limits), complain_(problem) {}

  Result<ParsedRows> read(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    if (!is_utf8(text)) return complain_("model.bad_csv", "", "UTF-8 text", "bytes that are no UTF-8");
    std::size_t at = 0;
    std::vector<Cell> cells;
    if (text.empty()) return complain_("model.bad_csv", "", "a header line", "nothing");
    // One line alone, with the quotes of several: a client that took the line ends out.
    const bool joined = text.find('\n') == text.npos;
    const char delimiter = delimiter_of(text);
    if (!read_record(text, delimiter, at, cells)) {
      return complain_(
          "model.bad_csv", "", "a header line",
          joined ? "one line with an open quote (curl -d takes line ends out: use --data-binary)" : "an open quote");
    }
    TRY_VOID(read_header(cells));
    while (at < text.size()) {
      if (!read_record(text, delimiter, at, cells))
        return complain_("model.bad_csv", row_path(), "closed quotes", "an open quote or text after one");
      if (cells.size() == 1 && cells[0].text.empty() && !cells[0].is_quoted && fields_.size() > 1)
        continue;  // an empty line
      if (out_.rows.size() >= limits_.rows_max) {
        return complain_("model.too_many_rows", "", "at most " + std::to_string(limits_.rows_max) + " rows", "more",
                         Code::resource_exhausted);
      }
      TRY_VOID(read_row(cells));
    }
    if (out_.rows.empty()) {
      return complain_("model.no_rows", "", "at least one row",
                       joined ? "one line (curl -d takes line ends out: use --data-binary)" : "none");
    }
    return std::move(out_);
  }

 private:
  std::string row_path() const { return "rows[" + std::to_string(out_.rows.size()) + "]"; }

  Result<void> read_header(const std::vector<Cell>& cells) {
    std::vector<bool> seen(p_.names_.size());
    for (std::size_t i = 0; i < cells.size(); ++i) {
      // Names as they were given when the file was read: a doubled one got a number, a missing one its place.
      Cell cell = cells[i];
      if (cell.text.empty()) cell.text = "column_" + std::to_string(i + 1);
      int number = p_.find(cell.text);
      for (int n = 2; number >= 0 && seen[static_cast<std::size_t>(number)]; ++n) {
        const int next = p_.find(cell.text + "_" + std::to_string(n));
        if (next < 0) break;
        number = next;
      }
      if (number < 0) {
        const std::string near = p_.nearest_name(cell.text);
        return complain_("model.unknown_column", cell.text,
                         near.empty() ? "one of the model's inputs" : "one of the model's inputs ('" + near + "'?)",
                         "an unknown name");
      }
      if (seen[static_cast<std::size_t>(number)])
        return complain_("model.duplicate_column", cell.text, "each name once", "it twice");
      seen[static_cast<std::size_t>(number)] = true;
      fields_.push_back(number);
    }
    for (std::size_t i = 0; i < p_.inputs_; ++i) {
      if (p_.required_[i] && !seen[i]) {
        return complain_("model.missing_input", p_.names_[i], "a column of this name", "none");
      }
    }
    return {};
  }

  Result<void> read_row(const std::vector<Cell>& cells) {
    if (cells.size() != fields_.size()) {
      return complain_("model.bad_csv", row_path(), std::to_string(fields_.size()) + " cells",
                       std::to_string(cells.size()));
    }
    table::Row row(p_.inputs_);
    std::string key;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const Cell& cell = cells[i];
      if (!cell.is_quoted && std::ranges::find(kNulls, cell.text) != kNulls.end()) continue;
      if (fields_[i] == p_.key_) key = cell.text;
      const auto at = static_cast<std::size_t>(fields_[i]);
      if (at >= p_.inputs_) continue;
      if (p_.types_[at] == table::Type::text) {
        row[at] = cell.text;
        continue;
      }
      auto value = table::from_text(cell.text, p_.types_[at]);
      if (!value || table::is_null(*value)) {
        return complain_("model.wrong_type", row_path() + "." + p_.names_[at],
                         std::string(expected_text(p_.types_[at])), quoted(cell.text));
      }
      row[at] = std::move(*value);
    }
    out_.rows.push_back(std::move(row));
    if (p_.key_ >= 0) out_.keys.push_back(std::move(key));
    return {};
  }

  const RowParser& p_;
  const ParseLimits& limits_;
  Complaint complain_;
  std::vector<int> fields_;
  ParsedRows out_;
};

Result<ParsedRows> RowParser::parse_csv(std::string_view text, const ParseLimits& limits, Problem* problem) const {
  if (text.size() > limits.bytes_max) {
    return Complaint(problem)("model.too_large", "", "at most " + std::to_string(limits.bytes_max) + " bytes",
                              std::to_string(text.size()), Code::resource_exhausted);
  }
  return CsvReader(*this, limits, problem).read(text);
}

}  // namespace millrace::model
