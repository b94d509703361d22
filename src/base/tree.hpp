// A document of tables, arrays and scalars with the place of each node in its text: TOML read once, or JSON of the same
// shape, so that one checker serves both. Values only; copies are deep; no threads of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace {

// 1-based, columns in code points; 0 means unknown (JSON, or made by a program).
struct Position {
  int line = 0;
  int column = 0;
  auto operator<=>(const Position&) const = default;
};

class Tree {
 public:
  enum class Kind { null, table, array, text, integer, real, boolean, time };
  struct Member;

  Tree() = default;  // an empty table
  static Tree table();
  static Tree array();
  static Tree text(std::string value);
  static Tree integer(std::int64_t value);
  static Tree real(double value);
  static Tree boolean(bool value);
  static Tree time(std::string rfc3339);  // TOML's date-time, date or time, as text
  static Tree null();                     // JSON only

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return kind_ == Kind::integer || kind_ == Kind::real; }

  // Text, or a date-time as RFC 3339 text; empty for the other kinds.
  const std::string& as_text() const { return text_; }
  std::int64_t as_integer() const { return integer_; }  // 0 unless an integer
  double as_number() const { return kind_ == Kind::integer ? static_cast<double>(integer_) : real_; }
  bool as_boolean() const { return boolean_; }

  // Members of a table, in the order of the text; items of an array. Empty for the other kinds.
  const std::vector<Member>& members() const { return members_; }
  const std::vector<Tree>& items() const { return items_; }

  const Tree* find(std::string_view key) const;  // in a table; nullptr when absent
  // find() along several keys; an empty path is this node.
  const Tree* find_path(const std::vector<std::string>& keys) const;

  // Puts or replaces a member; `set_path` makes the tables on the way. Only for tables.
  Tree& set(std::string_view key, Tree value, Position key_at = {});
  Tree& set_path(const std::vector<std::string>& keys, Tree value);
  Tree& append(Tree item);  // only for arrays

  Position at{};              // where the value begins; of a [table], its header
  bool inline_table = false;  // written as { ... }

  // Same kinds and values, members in any order; places do not count.
  bool same_as(const Tree& other) const;

 private:
  Kind kind_ = Kind::table;
  std::string text_;
  std::int64_t integer_ = 0;
  double real_ = 0;
  bool boolean_ = false;
  std::vector<Member> members_;
  std::vector<Tree> items_;
};

struct Tree::Member {
  std::string key;
  Position at{};  // of the key; of a [table], its header
  Tree value;
};

// A document of at most 1 MiB, nested at most 64 deep. Fails with invalid_argument `tree.malformed` (what, line, column
// and the line itself, in the message) or `tree.too_large`. `what` names the document for the message: "millrace.toml".
Result<Tree> parse_toml(std::string_view text, std::string_view what);
// The same for JSON; places stay unknown. The outermost value must be an object.
Result<Tree> parse_json_tree(std::string_view text, std::string_view what);

// Text that reads back as the same tree; the same tree gives the same bytes. Scalars of a table first, then inline
// tables of scalars, then its sub-tables as [a.b] sections. Nulls are left out.
std::string render_toml(const Tree& tree);
std::string render_json(const Tree& tree);
std::string render_toml_value(const Tree& tree);  // one value on one line: "x", 3, [1, 2], { a = 1 }

// `key` as TOML writes it: bare where it may be, else quoted.
std::string toml_key(std::string_view key);
std::string toml_string(std::string_view text);
// "retrain.resources.cpu", "gates.\"auc - current.auc\"".
std::string toml_path(const std::vector<std::string>& keys);

std::string_view kind_name(Tree::Kind kind);  // "a table", "a string", "a whole number", ...
// The line `at` points into and a caret below its column: "    scedule = 1\n    ^". Empty when unknown.
std::string excerpt(std::string_view text, Position at);

}  // namespace millrace
