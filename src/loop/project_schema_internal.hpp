// How a key of the project file is declared, and the walk over all of them. Internal to loop's project*.cpp.
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tree.hpp"
#include "loop/project.hpp"

namespace millrace::loop::schema {

// What a value may be; several may be joined with |.
enum Form : unsigned {
  text = 1,
  integer = 2,
  number = 4,  // whole or not
  boolean = 8,
  duration = 16,  // "30d"
  size = 32,      // "8GB"
  date = 64,      // 2026-12-25
  list = 128,     // of `items`
  table = 256,
};

// What a value says beyond its form. `later`: right, but not built yet.
struct Verdict {
  enum Kind { good, bad, later } kind = good;
  std::string expected = {};  // bad: "expected ..." without the word
};
using Judge = Verdict (*)(const Tree& value);

struct Key {
  std::string_view path;  // "source.*.uri": `*` is a name that the person chooses
  unsigned forms = 0;
  unsigned forms_later = 0;        // right, but not built yet
  unsigned items = 0;              // forms of a list's items; words, bounds and judge are theirs then
  std::string_view fallback = {};  // what holds when it is absent, as TOML; empty: nothing
  std::string_view words = {};  // a text must be one of these, split by '|', or be what `judge` or another form allows
  std::string_view words_later = {};
  std::string_view also = {};  // what other programs call it, split by '|': hints, never accepted
  double min = -std::numeric_limits<double>::infinity();  // of numbers; of durations in seconds, of sizes in bytes
  double max = std::numeric_limits<double>::infinity();
  Judge judge = nullptr;  // of texts and dates; of the name where the path ends in `*` and the value is a table
  bool needed = false;    // the table that it stands in can't do without it
  bool later = false;     // not built yet
  Effect effect = Effect::nothing;
  std::string_view help = {};
  std::string_view example = {};
};

// Whether [model.trainer] says name = "command": what stands in it besides the command's own keys goes to the command.
bool is_command_trainer(const Tree& trainer);
bool is_command_key(std::string_view key);  // name, command, files, seed, threads

std::span<const Key> keys();  // in the order of the page; a table before its keys

// The keys as a tree of names.
struct Node {
  const Key* key = nullptr;
  std::map<std::string_view, Node, std::less<>> names;
  std::vector<std::string_view> order;  // of `names`, as declared
  std::unique_ptr<Node> any;            // `*`
  const Node* find(std::string_view name) const;
};
const Node& root();
const Key* find_key(const std::vector<std::string>& path);  // nullptr: unknown

std::vector<std::string_view> split(std::string_view text, char separator);
std::string describe_forms(const Key& key);  // "a duration such as \"30d\" or \"all\""

// Kinds, bounds, words, unknown and missing keys, by one walk.
void check_keys(const Tree& tree, std::vector<Problem>& problems);
// What one key alone does not show: names that must exist elsewhere in the file, keys that exclude each other.
void check_whole(const Tree& tree, std::vector<Problem>& problems);

// Judges; each says what it expected.
Verdict judge_name(const Tree& value);
Verdict judge_zone(const Tree& value);
Verdict judge_uri(const Tree& value);
Verdict judge_target(const Tree& value);
Verdict judge_target_expr(const Tree& value);
Verdict judge_comparison(const Tree& value);
Verdict judge_plain_comparison(const Tree& value);  // without `error`
Verdict judge_condition(const Tree& value);
Verdict judge_schedule(const Tree& value);
Verdict judge_time_of_day(const Tree& value);
Verdict judge_listen(const Tree& value);
Verdict judge_grpc(const Tree& value);
Verdict judge_seal(const Tree& value);
Verdict judge_origin(const Tree& value);
Verdict judge_access_log(const Tree& value);
Verdict judge_character(const Tree& value);
Verdict judge_release_step(const Tree& value);
Verdict judge_not_empty(const Tree& value);
Verdict judge_collector(const Tree& value);
Verdict judge_version_name(const Tree& value);
Verdict judge_batch_in(const Tree& value);
Verdict judge_batch_out(const Tree& value);
Verdict judge_holidays(const Tree& value);

// Shared by the judges and the reader.
Result<RetrainRule> parse_rule(std::string_view text);  // unimplemented for what comes later, else invalid_argument
std::pair<std::string_view, std::string_view> split_target(
    std::string_view text);  // at the first dot; {} when there is none

}  // namespace millrace::loop::schema
