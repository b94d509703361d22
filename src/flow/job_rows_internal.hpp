// Jobs as rows and as event payloads.
#pragma once

#include <string>

#include "flow/job.hpp"
#include "meta/meta.hpp"

namespace millrace::flow {

// The columns that read_job() reads, in its order.
inline constexpr const char* job_columns =
    "id, kind, job_key, state, input, priority, attempts, attempts_max, timeout_us, resources, cause, pipeline_run, "
    "step, "
    "queued_at, run_after, started_at, ended_at, worker, token, lease_us, heard_at, cancel_by, progress, checkpoint, "
    "result, "
    "failure_kind, failure_message, failure_detail";

Job read_job(const meta::Row& row);

// {"id":...,"kind":...,"key":...,"state":...,"pipeline_run":...,"step":...}
std::string event_payload(const Job& job, JobState state);

// At most `bytes_max` bytes: the end of it, which is where an error stands, cut between characters.
std::string tail(std::string text, std::size_t bytes_max);

}  // namespace millrace::flow
