// [batch.NAME]: when one is due, and what its paths come to. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "flow/schedule.hpp"

namespace millrace::loop {

enum class BatchPath { in, out };
// What was expected instead; "" for a path that is fine.
std::string bad_batch_path(std::string_view path, BatchPath which);

struct BatchMoment {
  TimePoint due_at{};  // the due time, or when it was asked for by hand
  flow::Zone zone;
  std::string model;    // "churn"
  std::string version;  // "3"
};
// {date} is 2026-11-23 and {time} 0200 in the zone, {model} and {version} say who answers.
std::string fill_batch_path(std::string_view path, const BatchMoment& moment);

struct BatchSnapshot {
  TimePoint now{};
  TimePoint since{};        // when it was last started by its schedule, or the schedule was taken up
  bool unfinished = false;  // an earlier run of it
};
struct BatchDecision {
  std::optional<TimePoint> due_at;  // start it now, for this moment: the newest one that was missed
  std::uint32_t missed = 0;         // further ones that this one stands for
  TimePoint next{};                 // the next one after now
  std::string waits;                // it is due and does not start: why
};
BatchDecision decide_batch(const flow::Schedule& schedule, const flow::Zone& zone, const BatchSnapshot& snapshot);

}  // namespace millrace::loop
