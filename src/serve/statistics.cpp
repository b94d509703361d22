#include "serve/statistics.hpp"

#include <sched.h>

#include <algorithm>
#include <format>

#include "base/tracing.hpp"

namespace millrace::serve {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

template <class T>
void add_to(std::atomic<T>& sum, T value) {
  sum.fetch_add(value, relaxed);
}

std::size_t bucket_of(Duration spent) {
  std::size_t i = 0;
  while (i < kPhaseBounds_us.size() && spent.count() > kPhaseBounds_us[i]) ++i;
  return i;
}

}  // namespace

std::size_t detail::stripe() {
  const int cpu = ::sched_getcpu();
  return cpu < 0 ? 0 : static_cast<std::size_t>(cpu) % kStripes;
}

void VersionStatistics::succeeded(std::size_t rows, const PhaseTimes& times, TimePoint now) {
  auto& mine = stripes_[detail::stripe()];
  add_to(mine.succeeded, std::uint64_t{1});
  add_to(mine.rows, static_cast<std::uint64_t>(rows));
  for (std::size_t i = 0; i < times.spent.size(); ++i) add_to(mine.times[i], times.spent[i].count());
  mine.last.store(now.time_since_epoch().count(), relaxed);
}

void VersionStatistics::failed(Duration took) {
  auto& mine = stripes_[detail::stripe()];
  add_to(mine.failed, std::uint64_t{1});
  add_to(mine.failed_time, took.count());
}

VersionCounts VersionStatistics::counts() const {
  VersionCounts out;
  Duration::rep last = 0;
  for (const auto& each : stripes_) {
    out.succeeded += each.succeeded.load(relaxed);
    out.failed += each.failed.load(relaxed);
    out.rows += each.rows.load(relaxed);
    for (std::size_t i = 0; i < each.times.size(); ++i) out.times.spent[i] += Duration(each.times[i].load(relaxed));
    out.failed_time += Duration(each.failed_time.load(relaxed));
    last = std::max(last, each.last.load(relaxed));
  }
  out.broke = broke_.load(relaxed);
  out.shadowed = shadowed_.load(relaxed);
  out.joined = joined_.load(relaxed);
  if (last != 0) out.last = TimePoint(Duration(last));
  return out;
}

void PhaseHistograms::add(const PhaseTimes& times) {
  auto& mine = stripes_[detail::stripe()];
  for (std::size_t i = 0; i < times.spent.size(); ++i) {
    add_to(mine.buckets[i][bucket_of(times.spent[i])], std::uint64_t{1});
    add_to(mine.sums[i], times.spent[i].count());
  }
}

PhaseCounts PhaseHistograms::counts() const {
  PhaseCounts out;
  for (const auto& each : stripes_) {
    for (std::size_t i = 0; i < out.buckets.size(); ++i) {
      for (std::size_t k = 0; k < out.buckets[i].size(); ++k) out.buckets[i][k] += each.buckets[i][k].load(relaxed);
      out.sums.spent[i] += Duration(each.sums[i].load(relaxed));
    }
  }
  return out;
}

Result<void> Measure::check_in_time(std::optional<Duration> timeout) const {
  const auto waited = began_ - came_;
  if (!timeout || waited <= *timeout) return {};
  return fail(Code::deadline_exceeded, "serve.too_late",
              std::format("it waited {} for its turn, longer than its timeout of {}", format_duration(waited),
                          format_duration(*timeout)));
}

void Measure::succeeded() {
  const auto done = clock_.steady();
  const PhaseTimes times{
      {infers_ - began_, inferred_ - infers_ - waited_, done - inferred_, done - came_, began_ - came_ + waited_}};
  cost_.add(bytes_, done - began_ - waited_ - spare_);
  if (joined_) version_->joined();
  version_->succeeded(rows_, times, now_);
  phases_.add(times);
  counted_ = true;
  if (auto* trace = current_trace()) [[unlikely]] {
    if (began_ > came_) trace->add("queue", came_, began_);
    trace->add("parse", began_, infers_);
    trace->add("compute", infers_, inferred_, {{"millrace.rows", static_cast<std::int64_t>(rows_)}});
    trace->add("serialise", inferred_, done);
  }
}

}  // namespace millrace::serve
