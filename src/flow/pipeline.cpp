#include "flow/pipeline.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace millrace::flow {

namespace {

constexpr std::array<std::string_view, 6> step_states = {"waiting", "running", "done",
                                                         "skipped", "failed",  "cancelled"};
constexpr std::array<std::string_view, 4> run_states = {"running", "done", "failed", "cancelled"};

template <class E, std::size_t N>
std::optional<E> parse(const std::array<std::string_view, N>& names, std::string_view text) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<E>(found - names.begin());
}

bool is_met(StepState state) { return state == StepState::done || state == StepState::skipped; }

std::unexpected<Error> bad(const Pipeline& pipeline, const std::string& why) {
  return fail(Code::invalid_argument, "flow.bad_pipeline", "pipeline " + pipeline.name + ": " + why);
}

// The state that a running step's job gives it, if any.
std::optional<StepState> settle(const StepView& view) {
  if (view.state != StepState::running || !view.job) return std::nullopt;
  switch (*view.job) {
    case JobState::done:
      return StepState::done;
    case JobState::failed:
      return StepState::failed;
    case JobState::cancelled:
      return StepState::cancelled;
    case JobState::queued:
    case JobState::running:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_text(StepState state) { return step_states.at(static_cast<std::size_t>(state)); }
std::string_view to_text(RunState state) { return run_states.at(static_cast<std::size_t>(state)); }
std::optional<StepState> parse_step_state(std::string_view text) { return parse<StepState>(step_states, text); }
std::optional<RunState> parse_run_state(std::string_view text) { return parse<RunState>(run_states, text); }

Result<void> check_pipeline(const Pipeline& pipeline) {
  if (pipeline.name.empty() || pipeline.steps.empty()) return bad(pipeline, "it needs a name and a step");
  std::set<std::string> names;
  for (const auto& step : pipeline.steps) {
    if (step.name.empty() || step.kind.empty()) return bad(pipeline, "a step needs a name and a kind");
    if (!names.insert(step.name).second) return bad(pipeline, "two steps are called " + step.name);
  }
  for (const auto& step : pipeline.steps) {
    for (const auto& need : step.needs) {
      if (!names.contains(need)) return bad(pipeline, step.name + " needs " + need + ", which is no step of it");
    }
  }
  // Takes away what waits for nothing, again and again; what stays goes in a circle.
  std::set<std::string> met;
  for (std::size_t before = 1; before != met.size();) {
    before = met.size();
    for (const auto& step : pipeline.steps) {
      if (std::ranges::all_of(step.needs, [&](const auto& need) { return met.contains(need); })) met.insert(step.name);
    }
    if (met.size() == names.size()) return {};
  }
  const auto stuck = std::ranges::find_if(pipeline.steps, [&](const auto& step) { return !met.contains(step.name); });
  return bad(pipeline, stuck->name + " waits for itself, through what it needs");
}

NextSteps next_steps(const Pipeline& pipeline, std::span<const StepView> views) {
  NextSteps out;
  std::map<std::string_view, StepState> now;
  for (const auto& view : views) {
    const auto settled = settle(view);
    if (settled) out.settled.push_back({view.name, *settled});
    now[view.name] = settled.value_or(view.state);
  }
  const auto any = [&](StepState state) {
    return std::ranges::any_of(now, [&](const auto& entry) { return entry.second == state; });
  };
  if (any(StepState::failed) || any(StepState::cancelled)) {
    out.end = any(StepState::failed) ? RunState::failed : RunState::cancelled;
    for (const auto& step : pipeline.steps) {
      if (now[step.name] == StepState::waiting || now[step.name] == StepState::running) out.stop.push_back(step.name);
    }
    return out;
  }
  bool all_met = true;
  for (const auto& step : pipeline.steps) {
    all_met = all_met && is_met(now[step.name]);
    if (now[step.name] == StepState::waiting &&
        std::ranges::all_of(step.needs, [&](const auto& need) { return is_met(now[need]); }))
      out.ready.push_back(step.name);
  }
  if (all_met) out.end = RunState::done;
  return out;
}

std::string waits_for(const Step& step, std::span<const StepView> views) {
  std::string out;
  for (const auto& need : step.needs) {
    const auto view = std::ranges::find(views, need, &StepView::name);
    if (view == views.end() || is_met(view->state)) continue;
    out += (out.empty() ? "" : ", ") + need + " (" + std::string(to_text(view->state)) + ")";
  }
  return out;
}

}  // namespace millrace::flow
