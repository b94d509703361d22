// What is there, compared with what is expected.
#include "base/digest_scan.hpp"
#include "data/records.hpp"
#include "label/records.hpp"
#include "loop/log_records.hpp"
#include "loop/records.hpp"
#include "registry/registry.hpp"
#include "sim/facts.hpp"
#include "sim/worker.hpp"
#include "track/track.hpp"

namespace millrace::simulator {

namespace {

constexpr std::size_t all = 1'000'000;
constexpr std::string_view project = R"toml([project]
name = "m"
[source.s]
uri = "upload"
key = "k"
[model]
target = "s.y"
[labels]
classes = ["No", "Yes"]
[retention]
models = 3
predictions = "30d"
)toml";

// One snapshot of everything that the records say.
struct Records {
  std::vector<flow::Job> jobs;
  std::vector<std::string> asked, effects, trainings, parts, versions, moves, labels;
  std::vector<registry::ModelVersion> model_versions;
  std::vector<registry::AliasMove> alias_moves;  // oldest first
  std::vector<label::Label> all_labels;
  std::vector<meta::OutboxEvent> waiting;
  std::int64_t last_event = 0;
  std::int64_t dataset_versions = 0;
  struct Handled {
    std::string subject;
    std::int64_t seq = 0, total = 0;
  };
  std::vector<Handled> handled;
  std::vector<std::string> twice;  // jobs with two effects
};

Result<void> read_jobs(Sim& sim, meta::Reader& reader, Records& out) {
  TRY(out.jobs, sim.m().jobs->list(reader, {.max = all}));
  for (const auto& job : out.jobs) {
    if (job.kind == "chore" || job.kind == loop::job_kind::ingest) out.asked.push_back(job.cause);
  }
  TRY(const auto effects, reader.query("SELECT job, token FROM sim_effects ORDER BY job"));
  std::string last;
  for (const auto& row : effects) {
    out.effects.push_back(effect_fact(row.text(0), row.integer(1)));
    if (row.text(0) == last) out.twice.push_back(last);
    last = row.text(0);
  }
  TRY(const auto runs, track::list_runs(reader, model_name, 100'000, 0));
  for (const auto& run : runs) out.trainings.push_back(run.cause);
  return {};
}

Result<void> read_registry(meta::Reader& reader, Records& out) {
  TRY(out.model_versions, registry::list_versions(reader, model_name));
  for (const auto& one : out.model_versions) {
    if (one.number > 0) out.versions.push_back(version_fact(one.run, one.artifact));
    if (one.verdict == registry::VerdictState::overridden) out.moves.push_back(override_fact(one.number));
  }
  TRY(out.alias_moves, registry::alias_history(reader, model_name));
  std::ranges::reverse(out.alias_moves);
  for (const auto& one : out.alias_moves) out.moves.push_back(move_fact(one.alias, one.version, one.by));
  return {};
}

Result<void> read_data(meta::Reader& reader, Records& out) {
  TRY(const auto newest, data::newest_version(reader, std::string(source_name)));
  if (newest) {
    out.dataset_versions = newest->number;
    for (const auto& part : newest->content.parts) out.parts.push_back(part.digest);
  }
  TRY(out.all_labels, label::labels_after(reader, model_name, 0, all));
  for (const auto& one : out.all_labels) out.labels.push_back(fact_of(one));
  return {};
}

Result<Records> read(Sim& sim) {
  Records out;
  TRY_VOID(sim.m().store->read([&](meta::Reader& reader) -> Result<void> {
    TRY_VOID(read_jobs(sim, reader, out));
    TRY_VOID(read_registry(reader, out));
    TRY_VOID(read_data(reader, out));
    TRY(const auto counter, reader.query_one("SELECT value FROM meta_counters WHERE name = 'outbox'"));
    out.last_event = counter->integer(0);
    TRY(const auto handled, reader.query("SELECT subject, seq, total FROM sim_handled"));
    for (const auto& row : handled) out.handled.push_back({row.text(0), row.integer(1), row.integer(2)});
    return {};
  }));
  TRY(out.waiting, sim.m().store->outbox_after(0, all));
  return out;
}

// ---- rules that the records keep among themselves

std::string check_labels(const Records& records) {
  std::int64_t seq = 0;
  TimePoint arrived{};
  for (const auto& one : records.all_labels) {
    if (one.seq != ++seq) return "labels: number " + std::to_string(seq) + " is missing";
    if (one.arrived <= arrived) return "labels: two arrived at once";
    arrived = one.arrived;
  }
  return {};
}

std::string check_registry(const Records& records) {
  std::map<std::int64_t, registry::VerdictState> verdicts;
  for (const auto& one : records.model_versions) verdicts[one.number] = one.verdict;
  std::int64_t expected = 0;
  for (const auto& [number, verdict] : verdicts) {
    if (number == 0) continue;
    if (number != ++expected) return "versions: number " + std::to_string(expected) + " is missing";
  }
  std::optional<std::int64_t> current, previous;
  for (std::size_t i = 0; i < records.alias_moves.size(); ++i) {
    const auto& move = records.alias_moves[i];
    const auto text = move_fact(move.alias, move.version, move.by);
    if (move.alias == registry::previous_alias) {
      if (current != move.version) return "aliases: previous is not what was current: " + text;
      previous = move.version;
      const bool paired = i + 1 < records.alias_moves.size() && records.alias_moves[i + 1].by == move.by &&
                          records.alias_moves[i + 1].alias == registry::current_alias;
      if (!paired) return "aliases: previous moved alone: " + text;
      continue;
    }
    if (current && previous != current) return "aliases: what was current is forgotten: " + text;
    if (verdicts[move.version] == registry::VerdictState::failed) return "aliases: moved to what failed: " + text;
    current = move.version;
  }
  return {};
}

// A job of the simulator is done exactly when its effect is there.
std::string check_effects(const Records& records) {
  if (!records.twice.empty()) return "effects: job " + records.twice.front() + " had its effect twice";
  std::set<std::string> effects(records.effects.begin(), records.effects.end());
  for (const auto& job : records.jobs) {
    if (job.kind != "chore") continue;
    const bool there = effects.contains(effect_fact(job.id, job.token));
    if (job.state == flow::JobState::done && !there) return "effects: job " + job.id + " is done without its effect";
    if (job.state != flow::JobState::done && there) return "effects: job " + job.id + " has its effect and goes on";
  }
  return {};
}

std::string count_differs(Sim& sim, const std::string& subject, std::uint64_t expected) {
  const auto known = sim.events.count(subject);
  if (known == expected) return {};
  return "events: " + std::to_string(known) + " of " + subject + " for " + std::to_string(expected) + " changes";
}

std::string check_events(Sim& sim, const Records& records) {
  if (auto problem = sim.events.whole(records.last_event); !problem.empty()) return problem;
  if (!sim.events.complete()) return {};
  if (auto p = count_differs(sim, "model.version", records.model_versions.size()); !p.empty()) return p;
  if (auto p = count_differs(sim, "model.alias", records.alias_moves.size()); !p.empty()) return p;
  std::uint64_t labels = 0, data = 0;
  std::map<std::string, int> done;
  for (const auto& [seq, event] : sim.events.events()) {
    if (event.subject == "labels.added") {
      const auto at = event.payload.find("\"count\":");
      labels += std::strtoull(event.payload.c_str() + at + 8, nullptr, 10);
    }
    if (event.subject == "dataset.version" && event.key == source_name) ++data;
    if (event.subject == "job.done") ++done[event.key];
  }
  if (labels != records.all_labels.size())
    return "events: they tell of " + std::to_string(labels) + " labels, there are " +
           std::to_string(records.all_labels.size());
  if (data != static_cast<std::uint64_t>(records.dataset_versions))
    return "events: they tell of " + std::to_string(data) + " dataset versions, there are " +
           std::to_string(records.dataset_versions);
  for (const auto& job : records.jobs) {
    const int wanted = job.state == flow::JobState::done ? 1 : 0;
    if (done[job.id] != wanted)
      return "events: " + std::to_string(done[job.id]) + " of job.done for " + job.id + ", which is " +
             std::string(flow::to_text(job.state));
  }
  for (const auto& one : records.handled) {
    if (sim.counter_missed) break;
    std::int64_t count = 0;
    for (const auto& [seq, event] : sim.events.events()) count += event.subject == one.subject && seq <= one.seq;
    if (count != one.total)
      return "events: " + one.subject + " was handled " + std::to_string(one.total) + " times for " +
             std::to_string(count) + " events";
  }
  return {};
}

void refresh_release(Sim& sim, const Records& records) {
  auto& release = sim.release;
  release = {};
  for (const auto& one : records.model_versions) {
    if (one.number == 0) continue;
    release.versions[one.number] = {one.run, one.verdict == registry::VerdictState::passed,
                                    one.verdict == registry::VerdictState::overridden, one.bytes_kept, one.artifact};
  }
  for (const auto& move : records.alias_moves)
    (move.alias == registry::current_alias ? release.current : release.previous) = move.version;
}

// Every blob that a record names is there and whole.
std::string check_references(Sim& sim) {
  std::vector<std::pair<std::string, Digest>> named;
  const auto read = sim.m().store->read([&](meta::Reader& reader) -> Result<void> {
    const auto name = [&](const std::string& what, std::string_view text) {
      for (const auto& digest : digests_in(text)) named.emplace_back(what, digest);
    };
    TRY(const auto artifacts, registry::kept_artifacts(reader));
    for (const auto& one : artifacts) name("version " + std::to_string(one.number), one.artifact);
    TRY(const auto parts, data::part_digests(reader));
    for (const auto& part : parts) name("a dataset's part", part);
    TRY(const auto jobs, sim.m().jobs->list(reader, {.max = all}));
    for (const auto& job : jobs) {
      if (flow::is_over(job.state)) continue;
      const auto what = "job " + job.kind + " " + job.id;
      if (job.kind == loop::job_kind::ingest) {  // it names its parent's sources too, which nobody needs
        TRY(const auto input, loop::parse_job<loop::ReadJob>(job.input));
        name(what, input.input.blob);
        for (const auto& part : input.input.parent_parts) name(what, part.digest);
      } else {
        name(what, job.input);
      }
      if (job.checkpoint) name("the checkpoint of job " + job.id, *job.checkpoint);
    }
    return {};
  });
  if (!read) return "references: " + read.error().message;
  for (const auto& [what, digest] : named) {
    if (!sim.blobs.ever_there(digest)) continue;  // another kind of digest
    const auto there = sim.m().blobs->stat(digest);
    if (!there) return "references: " + what + " names a blob that is gone: " + digest.hex();
  }
  return {};
}

}  // namespace

void begin(Sim& sim) {
  auto& m = sim.m();
  sim.schema = {};
  const auto must = [&](std::string_view what, const Result<void>& done) {
    if (!done) sim.say(std::string(what) + ": " + done.error().reason + ": " + done.error().message);
  };
  if (!m.service->project()) {
    if (sim.project_applied) return sim.say("the project file is gone");
    const auto applied = m.service->apply(std::string(project), "", false, "sim");
    must("project", applied ? ok() : Result<void>(fail(applied.error())));
    sim.project_applied = true;
  }
  sim.say(sim.events.stays(m.queue->stats().last_seq));
  for (const auto name : {"audit", "counter"}) must("consumer", m.queue->add_consumer(name));
  if (!sim.one_in(2)) return;  // other workers outlive the server
  sim.attempts.clear();
  for (const auto name : {"w0", "w1", "w2"}) {
    const auto freed = m.jobs->worker_gone(name);
    must("worker gone", freed ? ok() : Result<void>(fail(freed.error())));
  }
}

void look(Sim& sim) {
  ++sim.counts["looks"];
  const auto records = read(sim);
  if (!records) return sim.say("the records can't be read: " + records.error().message);
  for (const auto& [ledger, seen] : {std::pair{&sim.asked, &records->asked},
                                     {&sim.effects, &records->effects},
                                     {&sim.trainings, &records->trainings},
                                     {&sim.parts, &records->parts},
                                     {&sim.versions, &records->versions},
                                     {&sim.moves, &records->moves},
                                     {&sim.labels, &records->labels}})
    sim.say(ledger->compare(*seen));
  sim.say(sim.jobs.compare(records->jobs));
  sim.say(check_labels(*records));
  sim.say(check_registry(*records));
  sim.say(check_effects(*records));
  sim.say(sim.events.waiting(records->waiting));
  sim.note_missed();
  const auto messages = sim.m().queue->fetch("audit", 10'000);
  if (!messages) return sim.say("the queue can't be read: " + messages.error().message);
  sim.say(sim.events.delivered(*messages));
  if (!sim.ok()) return;
  sim.say(check_events(sim, *records));
  refresh_release(sim, *records);
}

// For whoever looks for the cause.
void note_log(Sim& sim, const loop::LogView& view) {
  std::string text = "after " + std::to_string(view.after) + ", parts";
  for (const auto& part : view.parts) text += " " + part.digest.substr(0, 8) + ":" + std::to_string(part.rows);
  text += ", segments";
  const auto segments = serve::list_segments(sim.world.disk, view.dir);
  for (const auto& one : segments.value_or({})) {
    const auto read =
        serve::read_prediction_segment(sim.world.disk, one.path, [](const auto&, auto&&) { return ok(); });
    text += " " + std::to_string(one.number) + ":" + (read ? std::to_string(read->lines) : read.error().reason);
  }
  sim.note("the log:", text);
}

void audit(Sim& sim) {
  look(sim);
  if (!sim.ok()) return;
  ++sim.counts["audits"];
  if (sim.one_in(4)) {  // slow
    if (const auto sound = sim.m().store->verify(); !sound) return sim.say("records: " + sound.error().message);
  }
  sim.say(sim.blobs.compare(*sim.m().blobs));
  sim.say(check_references(sim));
  const auto viewed =
      sim.m().service->with_log(std::string(model_name), [&](const loop::LogView& view) -> Result<void> {
        TRY(const auto lines, lines_of(sim, view));
        const auto problem = sim.log.compare(lines);
        if (!problem.empty()) note_log(sim, view);
        sim.say(problem);
        return {};
      });
  if (!viewed) sim.say("prediction log: " + viewed.error().reason + ": " + viewed.error().message);
}

}  // namespace millrace::simulator
