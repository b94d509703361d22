// Job side: the prediction log as one stream of lines, wherever they are: Parquet parts first, then segments.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.hpp"
#include "loop/job_run.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::loop {

// Every line of the view's model, without its inputs: what a join needs, a small part of the bytes.
Result<std::int64_t> read_log_lines(const LogView& view, JobContext& context, const serve::OnLine& on_line);
// Those of `ids` (sorted), with their inputs, in the order of the log. A batch of rows is in memory at a time.
Result<void> read_log_inputs(const LogView& view, const std::vector<Id>& ids, JobContext& context,
                             const serve::OnLine& on_line);

}  // namespace millrace::loop
