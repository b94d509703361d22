// The predictor's part in a release: which version answers, and what the candidate's failures are.
#include <algorithm>
#include <format>

#include "base/fault.hpp"
#include "serve/predictor_internal.hpp"
#include "serve/release_side.hpp"

namespace millrace::serve {

bool Predictor::Held::undecided() const {
  return by_traffic_ && !first_id_ && of_->release && of_->release->weight > 0;
}

Result<Predictor::Held> Predictor::hold(std::string_view name, const Choice& choice, bool may_wait) {
  using Kind = Choice::Kind;
  if (choice.kind == Kind::number) return hold(name, choice.number, may_wait);
  if (choice.kind == Kind::candidate) {
    const auto routing = routing_.load(std::memory_order_acquire);
    const auto* routed = routing->find(name);
    if (routed && !routed->release) {
      return fail(Code::not_found, "serve.no_candidate",
                  std::format("'{}' has no candidate in memory: a release has one while it is under way; versions in "
                              "memory: {}",
                              name, loaded_text(*routed)));
    }
    return hold(name, routed ? std::optional(routed->release->candidate.number) : std::nullopt, may_wait);
  }
  TRY(auto held, hold(name, std::nullopt, may_wait));
  held.by_traffic_ = choice.kind == Kind::traffic;
  if (!held.by_traffic_) held.why_ = Why::header;
  return held;
}

Result<model::ParsedRows> Predictor::settle(
    Held& held, Measure& measure, model::ParsedRows rows,
    const std::function<Result<model::ParsedRows>(const model::LoadedModel&)>& read) {
  const auto& release = *held.of_->release;
  held.first_id_ = ids_.make();
  const auto id = held.first_id_->text();
  const std::string_view key = rows.keys.empty() || rows.keys.front().empty() ? id : rows.keys.front();
  const auto& candidate = release.candidate.served;
  if (!on_candidate(release.id, key, release.weight) || !candidate) return rows;
  if (!release.same_inputs) {
    auto again = read(*candidate->model);
    if (!again) {
      candidate->statistics->broke();
      return rows;
    }
    rows = *std::move(again);
  }
  held.served_ = candidate.get();
  held.why_ = Why::canary;
  held.candidate_ = true;
  measure.of(*candidate->statistics);
  return rows;
}

Result<std::vector<model::Answer>> Predictor::compute(const Held& held, const std::vector<table::Row>& rows,
                                                      const Id& id, model::EncodeStats& stats, Measure& measure) {
  if (!held.candidate_ && held.why_ != Why::probation) {
    auto answers = batches(held) ? compute_rows(held, rows, stats, measure) : held.model().predict(rows, stats);
    if (!answers && is_servers_fault(answers.error().code)) held.served_->statistics->broke();
    return answers;
  }
  auto* words = config_.last_words;
  const auto place = words ? words->begins(id, env_.clock.now(), held.version(), rows.size()) : 0;
  const auto run = [&]() -> Result<std::vector<model::Answer>> {
    TRY_VOID(env_.faults.reach("serve.answer.candidate"));
    return held.model().predict(rows, stats);
  };
  auto answers = run();
  if (answers && words) words->answered(place);
  if (!answers && is_servers_fault(answers.error().code)) held.served_->statistics->broke();
  return answers;
}

// One model's: whatever else is new is not watched.
Result<void> Predictor::watch(const std::vector<WantedModel>& wanted) {
  const auto first = std::ranges::find_if(wanted, [](const auto& one) { return one.watched.has_value(); });
  if (!config_.last_words || first == wanted.end()) return {};
  return config_.last_words->watch(*first->watched);
}

void Predictor::cast_shadow(const Held& held, const model::ParsedRows& rows, const Answered& answered) {
  const auto& release = *held.of_->release;
  const auto& candidate = release.candidate.served;
  if (!candidate || !held.of_->serving || held.of_->serving->number != held.served_->version) return;
  if (!shadow_->has_room(rows.rows.size())) {
    held.of_->counters->shadow_dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ShadowTask task{.model = candidate->model,
                  .statistics = candidate->statistics,
                  .log = candidate->shadow_log,
                  .version = candidate->version};
  if (release.same_inputs) {
    task.rows = rows.rows;
  } else {
    for (const auto& row : rows.rows) {
      auto& to = task.rows.emplace_back();
      for (const int at : release.inputs) to.push_back(at < 0 ? table::Value() : row[static_cast<std::size_t>(at)]);
    }
  }
  task.keys = rows.keys;
  task.live = answered.ids;
  task.unlogged = answered.unlogged;
  if (!shadow_->offer(std::move(task))) held.of_->counters->shadow_dropped.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace millrace::serve
