// A graph of steps, as a value, and what is to be done next in a run of it, decided. Pure; pipelines.hpp acts.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "flow/job.hpp"

namespace millrace::flow {

enum class StepState { waiting, running, done, skipped, failed, cancelled };
enum class RunState { running, done, failed, cancelled };

std::string_view to_text(StepState state);
std::string_view to_text(RunState state);
std::optional<StepState> parse_step_state(std::string_view text);
std::optional<RunState> parse_run_state(std::string_view text);

struct Step {
  std::string name;
  std::string kind;                // of its job
  std::vector<std::string> needs;  // names of steps that are done or skipped before it begins
  // An earlier step of this kind, done with the same input, is taken instead of doing it again. Right for steps whose
  // result follows from their input; wrong for those that act on the world.
  bool reusable = true;
  int priority = 0;
  int attempts_max = 3;
  Duration timeout{};  // zero: none
  std::string resources = "{}";
  bool operator==(const Step&) const = default;
};

struct Pipeline {
  std::string name;
  std::vector<Step> steps;
  bool operator==(const Pipeline&) const = default;
};

// invalid_argument `flow.bad_pipeline`: a name empty or twice, a need that is no step, a circle.
Result<void> check_pipeline(const Pipeline& pipeline);

// A step as it stands: its own state, and its job's while it runs.
struct StepView {
  std::string name;
  StepState state = StepState::waiting;
  std::optional<JobState> job;
};

struct Settled {
  std::string step;
  StepState state = StepState::done;
  bool operator==(const Settled&) const = default;
};

struct NextSteps {
  std::vector<Settled> settled;    // their jobs are over
  std::vector<std::string> ready;  // all needs are met
  std::vector<std::string> stop;   // not over, and the run is: stop their jobs, call them cancelled
  std::optional<RunState> end;
  bool nothing() const { return settled.empty() && ready.empty() && stop.empty() && !end; }
};

// One failed step ends the run as failed, one cancelled job as cancelled. `views` has one entry per step.
NextSteps next_steps(const Pipeline& pipeline, std::span<const StepView> views);

// For people: "train (running), check (waiting)"; empty when it waits for nothing.
std::string waits_for(const Step& step, std::span<const StepView> views);

}  // namespace millrace::flow
