// What a person reads: tables, numbers, errors. Pure: text out, the caller prints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::cli {

// Columns as wide as their widest cell, two spaces between; numbers to the right when `right` says so.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::vector<bool> right = {})
      : header_(std::move(header)), right_(std::move(right)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  std::string text() const;

 private:
  std::vector<std::string> header_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

std::string short_number(double value);            // 4 significant digits; "-" for NaN
std::string short_time(std::string_view rfc3339);  // "2026-11-20 09:40:12"
std::string short_digest(std::string_view hex);    // first 12
// Lines that begin with a time of 19 characters: of several in a row that say the same, the first and the last, and how
// many were between.
std::vector<std::string> condensed(const std::vector<std::string>& events);
// "error: <message>\n  (<reason>)\n", lines of the message kept.
std::string error_text(const Error& error);
// How many terminal columns UTF-8 text takes, counting code points.
std::size_t display_width(std::string_view text);

}  // namespace millrace::cli
