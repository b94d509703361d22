// Job side: from a kind and JSON to the function that does it.
#include "loop/job_run.hpp"

#include <format>

#include "data/checkout.hpp"
#include "data/ingest.hpp"
#include "data/query.hpp"

namespace millrace::loop {

namespace {

template <class Input, class Output>
Result<std::string> run_as(std::string_view input, JobContext& context,
                           Result<Output> (*function)(const Input&, JobContext&)) {
  TRY(auto parsed, parse_job<Input>(input));
  TRY(auto result, function(parsed, context));
  return render_job(result);
}

}  // namespace

Result<std::string> run_job(std::string_view kind, std::string_view input, JobContext& context) {
  if (kind == job_kind::ingest) {
    TRY(auto parsed, parse_job<ReadJob>(input));
    TRY(auto output, data::ingest(context.task, context.blobs, parsed.input));
    return data::render(output);
  }
  if (kind == job_kind::assemble) return run_as<AssembleJob, AssembleResult>(input, context, run_assemble);
  if (kind == job_kind::live) return run_as<AssembleJob, LiveResult>(input, context, run_live);
  if (kind == job_kind::roll) return run_as<RollJob, RollResult>(input, context, run_roll);
  if (kind == job_kind::batch) return run_as<BatchJob, BatchResult>(input, context, run_batch);
  if (kind == job_kind::train) return run_as<TrainJob, TrainResult>(input, context, run_train);
  if (kind == job_kind::rebuild) return run_as<RebuildJob, RebuildResult>(input, context, run_rebuild);
  if (kind == job_kind::evaluate) return run_as<EvaluateJob, EvaluateResult>(input, context, run_evaluate);
  if (kind == job_kind::query) {
    TRY(auto query, data::parse_query_input(input));
    query.threads = context.threads;
    TRY(auto output, data::query(context.task, context.blobs, query));
    return data::render(output);
  }
  if (kind == job_kind::checkout) {
    TRY(auto asked, data::parse_checkout_input(input));
    TRY(auto output, data::checkout(context.task, context.blobs, asked));
    return data::render(output);
  }
  if (kind == job_kind::check) {
    TRY(auto asked, data::parse_check_input(input));
    TRY(auto report, data::check_rows(context.task, context.blobs, asked));
    return data::render(report);
  }
  return fail(Code::invalid_argument, "loop.unknown_job",
              std::format("this program does not know jobs of kind '{}'", kind));
}

}  // namespace millrace::loop
