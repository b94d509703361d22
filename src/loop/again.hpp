// Whether a run can go on, or be done again. Pure.
#pragma once

#include <string>

#include "base/result.hpp"
#include "track/track.hpp"

namespace millrace::loop {

struct AgainSnapshot {
  std::string run;
  std::string kind;  // "train", "import"
  track::RunState state = track::RunState::queued;
  std::string version;        // "churn:3" when it made one
  bool rows_settled = false;  // its rows were put together: what it learned, or would have learned from, is known
  bool checkpoint = false;    // the training left one
  bool trained = false;       // the training itself was done, only what follows was not
};

// Success, or failed_precondition: `loop.not_a_training`, `loop.run_not_over`, `loop.run_finished` (a finished run is
// repeated, not resumed), `loop.no_checkpoint`, `loop.rows_not_settled`. Each says what to do instead.
Result<void> may_resume(const AgainSnapshot& run);
Result<void> may_repeat(const AgainSnapshot& run);

}  // namespace millrace::loop
