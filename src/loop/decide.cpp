#include "loop/decide.hpp"

#include <format>

namespace millrace::loop {

namespace {

struct Holds {
  bool holds = false;
  std::string how;  // the rule with its numbers
};

Holds check(const RetrainRule& rule, const RetrainSnapshot& now, const LastTraining& last) {
  auto counted = [&](std::int64_t count) {
    bool holds = static_cast<double>(count) >= rule.bound;
    return Holds{holds, std::format("{} ({}{})", rule.text, count, holds ? "" : " so far")};
  };
  switch (rule.kind) {
    case RetrainRule::Kind::new_rows:
      return counted(now.dataset_rows - last.dataset_rows);
    case RetrainRule::Kind::new_labels:
      return counted(now.labels - last.labels);
    case RetrainRule::Kind::live_below:
    case RetrainRule::Kind::live_above:
      break;
  }
  auto live = now.live.find(rule.metric);
  if (live == now.live.end()) return {false, std::format("{} (no labelled predictions yet)", rule.text)};
  // Without anything new the same model would come out: wait for a label or a row that the last training did not have.
  bool news = now.labels > last.labels || now.dataset_rows != last.dataset_rows;
  bool fell = rule.kind == RetrainRule::Kind::live_below ? live->second < rule.bound : live->second > rule.bound;
  return {fell && news,
          std::format("{} ({:.4g}{})", rule.text, live->second, fell && !news ? ", nothing new to learn from" : "")};
}

}  // namespace

RetrainDecision decide_retrain(const RetrainPolicy& policy, const RetrainSnapshot& now) {
  RetrainDecision decision;
  auto start = [&](std::string rule, std::string cause) {
    decision = {true, std::move(rule), std::move(cause), {}};
    return decision;
  };
  if (now.running) {
    decision.waiting.push_back("a run is under way");
    return decision;
  }
  if (!now.dataset_version) {
    decision.waiting.push_back("no dataset version that may be trained on");
    return decision;
  }
  if (now.asked) return start("by hand", "by hand: " + *now.asked);
  if (!now.last) return start("first version", std::format("first version: {} rows", now.dataset_rows));

  std::optional<std::pair<std::string, std::string>> due;  // rule, cause
  if (now.last->model_digest != now.model_digest)
    due = {"project file changed", "project file changed: the model's part"};
  for (const auto& rule : policy.rules) {
    auto result = check(rule, now, *now.last);
    if (!result.holds) {
      decision.waiting.push_back(result.how);
    } else if (!due) {
      due = {rule.text, result.how};
    }
  }
  if (policy.schedule_due) {
    if (*policy.schedule_due <= now.now) {
      if (!due) due = {"schedule " + policy.schedule_text, "schedule " + policy.schedule_text};
    } else {
      decision.waiting.push_back(std::format("schedule {}: next at {:%F %H:%M} UTC", policy.schedule_text,
                                             std::chrono::floor<std::chrono::minutes>(*policy.schedule_due)));
    }
  }
  if (!due) return decision;
  if (!now.window_open) {
    decision.waiting.insert(decision.waiting.begin(), due->second + ", but " + now.window_reason);
    return decision;
  }
  return start(due->first, due->second);
}

}  // namespace millrace::loop
