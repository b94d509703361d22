// What is over and may be forgotten, and what is not and needs things. For whoever keeps the store small.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "flow/job.hpp"
#include "meta/meta.hpp"

namespace millrace::flow {

// Shows each text in which work may name what it needs: input, result and checkpoint of unfinished jobs and of all jobs
// of unfinished pipeline runs; checkpoints and results of those that failed or were cancelled, because they may be
// taken up again for as long as they are remembered.
Result<void> texts_in_use(meta::Reader& reader, const std::function<void(std::string_view)>& visit);

// The keys of the pipeline runs that are not over. What their next steps need may stand in records of whoever started
// them, and in no text above as long as the first step is not planned.
Result<std::set<std::string>> keys_under_way(meta::Reader& reader);

// When the running attempt began that has run longest; nullopt when none runs.
Result<std::optional<TimePoint>> oldest_attempt(meta::Reader& reader);

// All of them, oldest first.
Result<std::vector<Job>> running_jobs(meta::Reader& reader);

struct Forgotten {
  std::int64_t jobs = 0;
  std::int64_t runs = 0;  // of pipelines
  bool more = false;      // there is more of that age
};
// Pipeline runs and jobs that were over before `before`, with their histories: at most `max` of each in one
// transaction. A job of a pipeline run goes with it.
Result<Forgotten> forget_over(meta::Tx& tx, TimePoint before, std::size_t max);
// How many of them there are.
Result<Forgotten> count_over(meta::Reader& reader, TimePoint before);

}  // namespace millrace::flow
