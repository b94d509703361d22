// The prediction log: lines of all sizes, synced every second, closed, rolled, removed.
#include "loop/service.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

namespace {

using table::Type;

serve::LoggedPrediction draw(Sim& sim) {
  serve::LoggedPrediction line;
  line.id = sim.ids->make();
  line.time = sim.now();
  line.key = sim.one_in(4) ? "" : "k" + std::to_string(sim.below(8));
  line.scores = {static_cast<float>(sim.below(1'000)) / 1'000};
  line.decision = static_cast<std::int32_t>(sim.below(2));
  const std::size_t sizes[] = {5, 60, 700, 6'000};
  line.inputs = {static_cast<double>(sim.below(100)),
                 std::string(1 + sim.below(sizes[sim.below(4)]), static_cast<char>('a' + sim.below(26)))};
  return line;
}

void predict(Sim& sim) {
  auto& log = *sim.m().log;
  if (!sim.schema.record) {
    serve::LogSchema schema{std::string(model_name),
                            sim.release.current.value_or(1),
                            {{"x", Type::float64}, {"t", Type::text}},
                            {"No", "Yes"}};
    sim.schema = log.schema(schema);
  }
  for (auto left = 1 + sim.below(8); left > 0; --left) {
    const auto line = draw(sim);
    const auto done = log.append(sim.schema, line.id, line.time, line.key, line.scores, line.decision, line.inputs);
    sim.log.written(line, done.has_value());
    if (!done) return sim.failed("predict", done.error());
  }
  sim.note("predict");
}

void sync(Sim& sim) {
  const auto done = sim.m().log->sync();
  if (!done) {
    sim.log.sync_failed();
    return sim.failed("sync", done.error());
  }
  sim.log.synced();
  sim.note("sync");
}

void look_at_log(Sim& sim) {
  sim.log.released_before(sim.now() - std::chrono::days(30));
  if (sim.one_in(3)) {
    const auto job = sim.m().service->roll_now("somebody");
    if (job) return sim.note("roll", *job);
    const auto& reason = job.error().reason;
    if (reason == "loop.nothing_to_roll" || reason == "loop.roll_under_way") return;
    sim.log.sync_failed();  // perhaps it was that
    return sim.failed("roll", job.error());
  }
  const auto done = sim.m().service->look_at_log();
  if (done) return;
  sim.log.sync_failed();
  sim.failed("look at the log", done.error());
}

constexpr Operation operations[] = {{"predict", 10, predict}, {"sync", 6, sync}, {"look at the log", 5, look_at_log}};

}  // namespace

std::span<const Operation> log_operations() { return operations; }

}  // namespace millrace::simulator
