// One listing of a struct's keys that both reads them from a checked tree and writes them into a new one.
// Internal to loop's project*.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/tree.hpp"
#include "loop/project.hpp"

namespace millrace::loop {

// A table of the file. Reading leaves what is absent as it is (the struct's own default); writing leaves out what says
// "nothing": an empty text or optional, but no empty list. A default table reads nothing.
class Fields {
 public:
  static Fields reader(const Tree* from) { return Fields(from, nullptr); }
  static Fields writer(Tree& to) { return Fields(nullptr, &to); }
  bool writing() const { return to_ != nullptr; }

  Fields table(std::string_view key, bool inline_table = false);
  const Tree* find(std::string_view key) const { return from_ ? from_->find(key) : nullptr; }
  void put(std::string_view key, Tree value) { to_->set(key, std::move(value)); }

  void text(std::string_view key, std::string& value);  // also reads numbers and truth values as they are written
  void flag(std::string_view key, bool& value);
  void whole(std::string_view key, int& value);
  void whole(std::string_view key, std::int64_t& value);
  void whole(std::string_view key, std::optional<std::int64_t>& value);
  void number(std::string_view key, double& value);
  void number(std::string_view key, std::optional<double>& value);
  void number_or(std::string_view key, std::string_view word, std::optional<double>& value);  // `word`: nothing
  void duration(std::string_view key, Duration& value);
  void size(std::string_view key, std::int64_t& bytes);  // 0: nothing
  void texts(std::string_view key, std::vector<std::string>& value);
  void wholes(std::string_view key, std::vector<std::size_t>& value);  // none below 0
  void comparison(std::string_view key, std::optional<Comparison>& value);
  // `all` stands for nothing.
  void count_or_all(std::string_view key, std::optional<std::int64_t>& value);
  void duration_or_all(std::string_view key, std::optional<Duration>& value);

 private:
  Fields(const Tree* from, Tree* to) : from_(from), to_(to) {}
  const Tree* from_ = nullptr;
  Tree* to_ = nullptr;
};

std::string scalar_text(const Tree& value);  // "Yes", "1", "true"
std::string exact_size(std::int64_t bytes);  // "8GB", "512MiB", "1000001"

}  // namespace millrace::loop
