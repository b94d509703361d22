// Labels: batches by prediction or by key, said twice, taken back, refused as a whole.
#include "label/records.hpp"
#include "loop/service.hpp"
#include "sim/facts.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

label::RawLabel draw(Sim& sim) {
  label::RawLabel raw;
  const auto& lines = sim.log.lines();
  if (!lines.empty() && sim.one_in(2)) {
    auto at = lines.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(sim.below(lines.size())));
    raw.prediction = at->first.text();
  } else {
    raw.key = "k" + std::to_string(sim.below(8));
  }
  if (sim.one_in(2)) raw.time = format_time(sim.now() - std::chrono::minutes(sim.below(300)));
  if (sim.one_in(3)) raw.origin = sim.one_in(4) ? "model" : "human";
  raw.author = sim.unique("author");
  if (sim.one_in(5)) raw.id = sim.unique("id");
  raw.value_given = true;
  if (!sim.one_in(10)) raw.value = sim.one_in(2) ? "Yes" : "No";
  return raw;
}

void add(Sim& sim) {
  std::vector<label::RawLabel> batch;
  for (auto left = 1 + sim.below(4); left > 0; --left) batch.push_back(draw(sim));
  bool bad = sim.one_in(12);
  if (bad) batch.back().value = "Perhaps";
  bool reused = false;
  if (!sim.said.empty() && sim.one_in(5)) {  // said before
    const auto& before = sim.said[sim.below(sim.said.size())];
    if (sim.one_in(2)) {
      batch = before.labels;
      bad = before.bad;
      reused = before.reused;
    } else if (const auto& first = before.labels.front(); first.id && sim.labels.expects(fact_of(first))) {
      batch.back().id = first.id;  // a name that stands for another label
      reused = true;
    }
  }
  std::vector<std::string> facts;
  std::set<std::string> distinct;
  for (const auto& one : batch) {
    if (distinct.insert(fact_of(one)).second) facts.push_back(fact_of(one));
  }
  const auto refuse_all = [&] {
    for (const auto& fact : facts) sim.labels.refused(fact);
  };
  const auto done = sim.m().service->add_labels(std::string(model_name), batch);
  if (done) {
    if (bad || reused) return sim.say("labels: a bad batch was taken");
    for (const auto& fact : facts) sim.labels.acknowledged(fact);
    if (done->accepted + done->duplicates != static_cast<std::int64_t>(batch.size()))
      return sim.say("labels: the batch was taken in part");
    sim.said.push_back({batch});
    return sim.note("labels", std::to_string(done->accepted) + " new");
  }
  const auto& reason = done.error().reason;
  if (reason == "label.bad_value" || reason == "label.id_reused") {
    refuse_all();
    return sim.refused("labels", done.error(), bad || reused);
  }
  if (!bad && !reused) sim.labels.unknown(facts);
  sim.said.push_back({batch, bad, reused});  // to be said again by somebody who got no answer
  sim.failed("labels", done.error());
}

constexpr Operation operations[] = {{"labels", 12, add}};

}  // namespace

std::span<const Operation> label_operations() { return operations; }

}  // namespace millrace::simulator
