#include "loop/again.hpp"

#include <format>

namespace millrace::loop {

namespace {

Result<void> no(const char* reason, std::string message) {
  return fail(Code::failed_precondition, reason, std::move(message));
}

Result<void> over_training(const AgainSnapshot& run) {
  if (run.kind != "train")
    return no("loop.not_a_training",
              std::format("run {} is no training but an {}: there is nothing to train again", run.run, run.kind));
  if (run.state == track::RunState::queued || run.state == track::RunState::running)
    return no("loop.run_not_over", std::format("run {} is {} still; watch it with: millrace runs follow {}", run.run,
                                               track::state_name(run.state), run.run));
  return {};
}

}  // namespace

Result<void> may_resume(const AgainSnapshot& run) {
  TRY_VOID(over_training(run));
  if (run.state == track::RunState::finished)
    return no("loop.run_finished", std::format("run {} finished{}; to train the same again: millrace runs repeat {}",
                                               run.run, run.version.empty() ? "" : " as " + run.version, run.run));
  if (!run.checkpoint && !run.trained) {
    return no("loop.no_checkpoint",
              run.rows_settled
                  ? std::format("run {} ended before its first checkpoint; to start it over with the same rows: "
                                "millrace runs repeat {}",
                                run.run, run.run)
                  : std::format("run {} ended before it began to train; start a new one: millrace train", run.run));
  }
  return {};
}

Result<void> may_repeat(const AgainSnapshot& run) {
  TRY_VOID(over_training(run));
  if (!run.rows_settled)
    return no("loop.rows_not_settled",
              std::format("run {} ended before its rows were put together, so there is nothing to repeat; start a new "
                          "one: millrace train",
                          run.run));
  return {};
}

}  // namespace millrace::loop
