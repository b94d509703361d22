#include "loop/log_decide.hpp"

#include <algorithm>
#include <format>

namespace millrace::loop {

namespace chr = std::chrono;

RollDecision decide_roll(const RollSnapshot& now) {
  RollDecision decision;
  if (now.segments.empty()) return decision;
  std::uint64_t closed_bytes = 0;
  bool all_closed = now.segments.back().number <= now.closed_through;
  for (const auto& segment : now.segments) {
    if (segment.number <= now.closed_through) closed_bytes += segment.bytes;
  }
  bool old = now.oldest && now.now - *now.oldest >= roll_age_max;
  if (now.asked) {
    decision.cause = "by hand";
  } else if (closed_bytes >= (now.bytes_max ? std::min(roll_bytes_min, now.bytes_max / 2) : roll_bytes_min)) {
    decision.cause = std::format("{} of closed log segments", format_size(static_cast<long long>(closed_bytes)));
  } else if (old) {
    decision.cause = "the oldest line is a day old";
  } else {
    return decision;
  }
  if (!now.asked && now.failed_ago && *now.failed_ago < roll_retry) {
    decision.waiting = std::format("the log is rolled again in {}: the last roll failed",
                                   format_duration(chr::ceil<chr::minutes>(roll_retry - *now.failed_ago)));
    return decision;
  }
  if (!all_closed && (now.asked || (old && closed_bytes == 0))) {
    decision.close = true;
    return decision;
  }
  std::uint64_t bytes = 0;
  for (const auto& segment : now.segments) {
    if (segment.number > now.closed_through) break;
    bytes += segment.bytes;
    if (bytes > roll_bytes_max && decision.through > 0) break;
    decision.through = segment.number;
  }
  return decision;
}

std::uint64_t removable_through(std::uint64_t rolled_through, const std::vector<std::uint64_t>& readers) {
  auto through = rolled_through;
  for (auto reader : readers) through = std::min(through, reader);
  return through;
}

std::vector<std::size_t> parts_to_let_go(const std::vector<RolledPart>& parts, Duration keep, TimePoint now) {
  std::vector<std::size_t> gone;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (TimePoint(Duration(parts[i].last_us)) < now - keep) gone.push_back(i);
  }
  return gone;
}

flow::HourlyRequests requests_by_hour(const std::vector<HourRows>& hours, const flow::Zone& zone) {
  flow::HourlyRequests out;
  if (hours.empty()) return out;
  auto [first, last] = std::ranges::minmax(hours, {}, &HourRows::hour);
  out.days = static_cast<int>(std::min<std::int64_t>((last.hour + 1 - first.hour) / 24, quiet_days_max));
  for (const auto& one : hours) {
    if (one.hour <= last.hour - out.days * 24) continue;
    auto local = zone.local(TimePoint(chr::duration_cast<Duration>(chr::hours(one.hour))));
    auto hour = chr::duration_cast<chr::hours>(local - chr::floor<chr::days>(local)).count();
    out.count[static_cast<std::size_t>(hour)] += static_cast<std::uint64_t>(one.rows);
  }
  return out;
}

flow::QuietHours quiet_hours(const flow::HourlyRequests& requests) {
  if (requests.days >= quiet_days_min) return flow::quietest(requests);
  flow::QuietHours out;
  out.reason = std::format("03:00 until the log in Parquet has {} days, {} so far", quiet_days_min, requests.days);
  return out;
}

}  // namespace millrace::loop
