#include "cli/print.hpp"

#include <algorithm>
#include <cmath>
#include <format>

namespace millrace::cli {

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  auto widen = [&](const std::vector<std::string>& cells) {
    widths.resize(std::max(widths.size(), cells.size()));
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], display_width(cells[i]));
  };
  widen(header_);
  for (const auto& row : rows_) widen(row);
  std::string out;
  auto put = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      std::string pad(widths[i] - display_width(cells[i]), ' ');
      bool right = i < right_.size() && right_[i];
      line += (i ? "  " : "") + (right ? pad + cells[i] : cells[i] + pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  put(header_);
  for (const auto& row : rows_) put(row);
  return out;
}

std::string short_number(double value) { return std::isnan(value) ? "-" : std::format("{:.4g}", value); }

std::string short_time(std::string_view rfc3339) {
  std::string out(rfc3339.substr(0, 19));
  if (out.size() > 10) out[10] = ' ';
  return out;
}

std::string short_digest(std::string_view hex) { return std::string(hex.substr(0, 12)); }

std::vector<std::string> condensed(const std::vector<std::string>& events) {
  auto what = [](std::string_view line) { return line.substr(std::min<std::size_t>(line.size(), 19)); };
  std::vector<std::string> out;
  for (std::size_t at = 0, end; at < events.size(); at = end) {
    end = at + 1;
    while (end < events.size() && what(events[end]) == what(events[at])) ++end;
    out.push_back(events[at]);
    if (end - at > 2) out.push_back(std::format("{:20}... {} more", "", end - at - 2));
    if (end - at > 1) out.push_back(events[end - 1]);
  }
  return out;
}

std::string error_text(const Error& error) {
  return std::format("error: {}\n  reason  {}\n", error.message, error.reason);
}

}  // namespace millrace::cli
