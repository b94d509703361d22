#include <algorithm>
#include <array>
#include <cctype>

#include "meta/sql_internal.hpp"

namespace millrace::meta {

namespace {

// The text without what stands in quotes and comments, so that a word or a ';' found in it is one. Same length.
std::string blank_quoted(std::string_view sql) {
  std::string out(sql);
  for (std::size_t i = 0; i < out.size();) {
    if (out[i] == '\'' || out[i] == '"') {
      const char quote = out[i];
      for (++i; i < out.size() && out[i] != quote; ++i) out[i] = 'q';
      ++i;
    } else if (out.compare(i, 2, "--") == 0) {
      for (; i < out.size() && out[i] != '\n'; ++i) out[i] = ' ';
    } else {
      ++i;
    }
  }
  return out;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool has_phrase(std::string_view text, std::string_view phrase) {
  for (auto at = text.find(phrase); at != text.npos; at = text.find(phrase, at + 1)) {
    const auto end = at + phrase.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

// What we might write by habit and PostgreSQL would refuse, or would read in another way.
constexpr std::array foreign = {"INSERT OR", "UPDATE OR",     "REPLACE INTO", "AUTOINCREMENT", "PRAGMA",    "ROWID",
                                "IFNULL",    "WITHOUT ROWID", "STRFTIME",     "DATETIME",      "JULIANDAY", "UNIXEPOCH",
                                "GLOB",      "REAL",          "INTEGER",      "INDEXED BY",    "ATTACH"};

}  // namespace

std::vector<std::string> split_statements(std::string_view sql) {
  const std::string plain = blank_quoted(sql);
  std::string text(sql);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] == ' ') text[i] = ' ';  // a comment
  }
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= plain.size();) {
    const auto end = std::min(plain.find(';', begin), plain.size());
    const auto first = plain.find_first_not_of(" \t\r\n", begin);
    if (first < end) {
      const auto last = plain.find_last_not_of(" \t\r\n", end - 1);
      out.push_back(text.substr(first, last + 1 - first));
    }
    begin = end + 1;
  }
  return out;
}

Result<void> check_statement(std::string_view sql) {
  std::string plain = blank_quoted(sql);
  std::ranges::transform(plain, plain.begin(),
                         [](unsigned char c) { return c == '\n' ? ' ' : static_cast<char>(std::toupper(c)); });
  for (const char* phrase : foreign) {
    if (has_phrase(plain, phrase))
      return fail(Code::invalid_argument, "meta.not_portable",
                  std::string(phrase) + " is not for every backend: " + std::string(sql));
  }
  if (plain.find_first_of("?`@[") != plain.npos)
    return fail(Code::invalid_argument, "meta.not_portable", "placeholders are $1, $2, ...: " + std::string(sql));
  if (split_statements(sql).size() != 1)
    return fail(Code::invalid_argument, "meta.bad_sql", "not exactly one statement: " + std::string(sql));
  return {};
}

Result<void> check_event(const Event& event) {
  bool word = false;  // in one
  for (const char c : event.subject) {
    if (c == '.' ? !word : !is_word(c) && c != '-')
      return fail(Code::invalid_argument, "meta.bad_event",
                  "an event's subject is words joined by dots, not \"" + event.subject + "\"");
    word = c != '.';
  }
  if (!word || event.subject.size() > 200)
    return fail(Code::invalid_argument, "meta.bad_event",
                "an event's subject is words joined by dots, not \"" + event.subject + "\"");
  if (event.payload.empty() || event.payload.size() > 256 * 1024)
    return fail(Code::invalid_argument, "meta.bad_event",
                "the payload of " + event.subject + " has " + std::to_string(event.payload.size()) +
                    " bytes; 1 to 262,144 are taken");
  return {};
}

}  // namespace millrace::meta
