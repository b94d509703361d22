#include "cli/scrape.hpp"

#include <charconv>
#include <cmath>
#include <limits>

namespace millrace::cli {

namespace {

std::optional<double> value_of(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  if (text == "NaN" || text == "Nan") return std::nan("");
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || (end != text.data() + text.size() && *end != ' ')) return std::nullopt;
  return value;
}

// {a="x",b="y\"z"}, beginning after the brace; `at` ends behind the closing one.
bool read_labels(std::string_view line, std::size_t& at, std::map<std::string, std::string>& out) {
  while (at < line.size() && line[at] != '}') {
    const auto equals = line.find('=', at);
    if (equals == line.npos || equals + 1 >= line.size() || line[equals + 1] != '"') return false;
    auto& value = out[std::string(line.substr(at, equals - at))];
    for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] != '\\' || at + 1 >= line.size()) {
        value += line[at];
        continue;
      }
      ++at;
      value += line[at] == 'n' ? '\n' : line[at];
    }
    if (at >= line.size()) return false;
    if (++at < line.size() && line[at] == ',') ++at;
  }
  if (at >= line.size()) return false;
  ++at;
  return true;
}

}  // namespace

std::vector<Sample> read_samples(std::string_view text) {
  std::vector<Sample> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    auto at = line.find_first_of("{ ");
    if (at == line.npos || at == 0) continue;
    Sample sample{.name = std::string(line.substr(0, at)), .labels = {}, .value = 0};
    if (line[at] == '{' && !read_labels(line, ++at, sample.labels)) continue;
    at = line.find_first_not_of(' ', at);
    if (at == line.npos) continue;
    const auto value = value_of(line.substr(at));
    if (!value) continue;
    sample.value = *value;
    out.push_back(std::move(sample));
  }
  return out;
}

std::optional<ServerCounters> read_server_counters(std::string_view metrics) {
  ServerCounters out;
  bool known = false;
  for (const auto& sample : read_samples(metrics)) {
    if (sample.name == "process_cpu_seconds_total") {
      out.cpu_s = sample.value;
      known = true;
    } else if (sample.name == "process_resident_memory_bytes") {
      out.memory_bytes = sample.value;
    } else if (sample.name == "millrace_app_processors") {
      out.cores = sample.value;
    }
  }
  return known && out.cores > 0 ? std::optional(out) : std::nullopt;
}

std::optional<ServerUse> server_use(const ServerCounters& before, const ServerCounters& after) {
  if (after.at_s <= before.at_s || after.cpu_s < before.cpu_s) return std::nullopt;
  return ServerUse{(after.cpu_s - before.cpu_s) / (after.at_s - before.at_s), after.cores};
}

}  // namespace millrace::cli
