// The predictor's part in a fallback: what answers in place of a version that failed.
#include <array>

#include "base/log.hpp"
#include "serve/predictor_internal.hpp"

namespace millrace::serve {

// With mutex_.
void Predictor::make_constant(const Known& known, Routed& routed) {
  if (!routed.serving || !routed.serving->served) return;
  const auto& serving = *routed.serving->served;
  auto answer = constant_answer(serving.model->manifest(), known.fallback.value);
  if (!answer) {
    env_.log.warn("fallback_does_not_fit", {{"model", known.name},
                                            {"version", serving.version},
                                            {"reason", answer.error().reason},
                                            {"error", answer.error().message}});
    return;
  }
  auto constant = std::make_shared<Served>(serving);
  constant->version = kConstantVersion;
  constant->name_and_version = known.name + ":" + std::to_string(kConstantVersion);
  constant->statistics = std::make_shared<VersionStatistics>();
  if (log_) constant->log_to(*log_, known.name, serving.log_share);
  routed.constant = std::move(constant);
  routed.constant_answer = *std::move(answer);
}

std::optional<Predictor::StoodIn> Predictor::stand_in(Held& held, const model::ParsedRows& rows, Measure& measure,
                                                      model::EncodeStats& stats, const Error& why) {
  const auto& of = *held.of_;
  if (of.fallback.kind == Fallback::Kind::error || !held.by_traffic_ || !is_servers_fault(why.code))
    return std::nullopt;
  const auto become = [&](const Served& other) {
    held.served_ = &other;
    held.why_ = Why::fallback;
    held.candidate_ = false;
    measure.failed_over(*other.statistics);
    of.counters->fallbacks.fetch_add(1, std::memory_order_relaxed);
  };
  const auto& failed = held.model().manifest();
  const auto* current = held.candidate_ && of.serving ? of.serving->served.get() : nullptr;
  for (const auto* other : std::array{current, of.previous.get()}) {
    if (!other || other == held.served_) continue;
    const auto places = stands_in(other->model->manifest(), failed);
    if (!places) continue;
    StoodIn out;
    if (other->model->manifest().inputs != failed.inputs) {
      auto& mapped = out.rows.emplace();
      mapped.single = rows.single;
      mapped.keys = rows.keys;
      for (const auto& row : rows.rows) {
        auto& to = mapped.rows.emplace_back();
        for (const auto at : *places) to.push_back(row[at]);
      }
    }
    stats = {};
    auto answers = other->model->predict(out.rows ? out.rows->rows : rows.rows, stats);
    if (!answers) {
      if (is_servers_fault(answers.error().code)) other->statistics->broke();
      continue;
    }
    become(*other);
    out.answers = *std::move(answers);
    return out;
  }
  if (!of.constant) return std::nullopt;
  become(*of.constant);
  stats = {};
  return StoodIn{std::vector(rows.rows.size(), of.constant_answer), std::nullopt};
}

}  // namespace millrace::serve
