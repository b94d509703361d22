// Promise: a job that was asked for is there until it is over; its token only grows; what is over stays as it ended;
// its effects are committed once, by the newest token, together with its end.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "flow/jobs.hpp"

namespace millrace::simulator {

class ExpectJobs {
 public:
  // Claimed, and told so.
  std::string claimed(const flow::Job& job);
  // As they are now; the first thing that can't follow from what they were, or "". Jobs that were forgotten are left
  // out.
  std::string compare(const std::vector<flow::Job>& jobs);

 private:
  struct Known {
    flow::JobState state = flow::JobState::queued;
    std::int64_t token = 0;
    std::string result;
  };
  std::map<std::string, Known> known_;
};

// Whether a lease may still finish its job, by what is recorded of it.
bool holds(const flow::Job& job, std::int64_t token);

}  // namespace millrace::simulator
