#include "train/command_reports_internal.hpp"

#include <cmath>
#include <map>

#include "base/json.hpp"
#include "base/text.hpp"

namespace millrace::train {
namespace stored {

struct Report {
  std::int64_t step = 0;
  double done = -1;
  std::map<std::string, double> metrics;
  std::string note;
};

}  // namespace stored

using namespace stored;

namespace {

constexpr std::size_t kLookBytes = 65'536, kMetricsMax = 100, kNameBytes = 200;

}  // namespace

std::optional<TaskProgress> parse_report(std::string_view line) {
  auto report = json::parse_lenient<Report>(line, "a report");
  if (!report || report->metrics.size() > kMetricsMax || report->step < 0) return {};
  TaskProgress out{
      .phase = "train", .step = report->step, .note = printable(std::string_view(report->note).substr(0, kNameBytes))};
  if (report->done >= 0 && report->done <= 1) out.done = report->done;
  for (const auto& [name, value] : report->metrics)
    if (!name.empty() && name.size() <= kNameBytes && std::isfinite(value))
      out.metrics.emplace_back(printable(name), value);
  return out;
}

std::vector<TaskProgress> CommandReports::take() {
  std::vector<TaskProgress> out;
  auto file = fs_.open_read(path_);
  if (!file || (*file)->size() <= read_) return out;
  std::string text(std::min<std::uint64_t>((*file)->size() - read_, kLookBytes), '\0');
  const auto got = (*file)->read(read_, std::as_writable_bytes(std::span(text.data(), text.size())));
  text.resize(got.value_or(0));
  const auto end = text.rfind('\n');
  if (end == std::string::npos) {
    if (text.size() == kLookBytes) read_ += text.size();
    return out;
  }
  read_ += end + 1;
  for (std::size_t at = 0; at <= end;) {
    const auto line = std::string_view(text).substr(at, text.find('\n', at) - at);
    at += line.size() + 1;
    if (auto report = parse_report(line)) out.push_back(*std::move(report));
  }
  return out;
}

}  // namespace millrace::train
