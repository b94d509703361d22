// [batch.NAME]: started when due, and their answers put where the project file wants them.
#include <algorithm>
#include <format>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "loop/batches.hpp"
#include "loop/service.hpp"

namespace millrace::loop {

namespace {

constexpr auto batch_write_pause = std::chrono::seconds(30);  // after the answers could not be written

std::string beside_project(const Paths& paths, const std::string& path) {
  return path.starts_with('/') ? path : join_path(paths.project_dir, path);
}

}  // namespace

// Whatever stands in the way is the job's failure, so that it is seen where jobs are.
Result<std::string> Service::start_batch(meta::Tx& tx, const Project& project, const BatchConfig& config,
                                         TimePoint due_at, BatchRun run) {
  BatchMoment moment{.due_at = due_at};
  TRY(moment.zone, flow::Zone::find(project.timezone));
  TRY(const auto name, registry::parse_version_name(config.model.empty() ? project.name : config.model));
  auto number = name.number;
  if (!number) {
    TRY(const auto current, registry::alias(tx, name.model, "current"));
    if (current) number = current->version;
  }
  const auto again = std::format("; then: millrace batch run {}", config.name);
  BatchJob job;
  if (number) {
    auto found = batch_of(tx, name.model, *number, config.out.ends_with(".csv") ? "csv" : "parquet");
    if (found) {
      job = *std::move(found);
    } else {
      job.problem = found.error().message + "; name another version in [batch." + config.name + "] model" + again;
    }
  } else {
    job.problem = std::format(
        "no version of '{}' takes traffic: let one pass its gates (millrace retrain) or promote one "
        "(millrace promote {}:N){}",
        name.model, name.model, again);
  }
  moment.model = name.model;
  moment.version = number ? std::to_string(*number) : "none";
  run.model = number ? std::format("{}:{}", name.model, *number) : name.model;
  run.out = beside_project(config_.paths, fill_batch_path(config.out, moment));
  if (config.rows.empty()) {
    job.in = beside_project(config_.paths, fill_batch_path(config.in, moment));
  } else {
    TRY(const auto version, data::newest_usable(tx, config.rows));
    if (version) {
      job.data = std::format("{}@{}", config.rows, version->number);
      job.parts = version->content.parts;
      job.schema = version->content.schema;
      for (const auto& column : sensitive_columns(project, config.rows)) job.masked.push_back(column);
    } else if (job.problem.empty()) {
      job.problem = std::format("source '{}' has no version that may be used yet: millrace ingest {}{}", config.rows,
                                config.rows, again);
    }
  }
  flow::NewJob made;
  made.kind = job_kind::batch;
  made.key = "batch." + config.name;
  made.input = render_job(job);
  made.cause = run.cause;
  made.priority = 5;
  made.attempts_max = 5;
  made.timeout = std::chrono::days(2);
  TRY(run.job, jobs_.enqueue(tx, made));
  run.batch = config.name;
  run.begun = env_.clock.now();
  TRY_VOID(add_batch_run(tx, run));
  TRY_VOID(env_.faults.reach("loop.batch.before_start"));
  return run.job;
}

Result<bool> Service::batch_unfinished(meta::Reader& reader, const std::string& name) {
  TRY(const auto newest, batch_runs(reader, name, 1));
  if (newest.empty()) return false;
  const auto job = jobs_.find(reader, newest[0].job);
  if (!job && job.error().code == Code::not_found) return false;
  if (!job) return millrace::fail(job.error());
  return !flow::is_over(job->state);
}

Result<void> Service::look_at_batches() {
  const auto project = this->project();
  if (!project) return {};
  TRY(const auto zone, flow::Zone::find(project->timezone));
  const auto now = env_.clock.now();
  std::vector<StoredBatch> stored, changes;
  std::vector<std::string> gone;
  struct Start {
    const BatchConfig* config;
    TimePoint due;
    std::uint32_t missed;
  };
  std::vector<Start> starts;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(stored, list_batches(reader));
    TRY(const auto unwritten, batch_runs_to_write(reader));
    batches_to_write_ = !unwritten.empty();
    for (const auto& one : stored) {
      const auto* config = project->batch(one.name);
      if (!config || !config->schedule) gone.push_back(one.name);
    }
    for (const auto& config : project->batches) {
      if (!config.schedule) continue;
      const auto known = std::ranges::find(stored, config.name, &StoredBatch::name);
      if (known == stored.end() || known->schedule != config.schedule->text) {
        changes.push_back({config.name, config.schedule->text, now});
        continue;
      }
      TRY(const auto unfinished, batch_unfinished(reader, config.name));
      const auto decision = decide_batch(*config.schedule, zone, {now, known->since, unfinished});
      if (decision.due_at) starts.push_back({&config, *decision.due_at, decision.missed});
    }
    return {};
  }));
  if (gone.empty() && changes.empty() && starts.empty()) return {};
  TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
    for (const auto& name : gone) TRY_VOID(drop_batch(tx, name));
    for (const auto& one : changes) TRY_VOID(put_batch(tx, one));
    for (const auto& start : starts) {
      BatchRun run;
      run.due_at = start.due;
      run.cause = "schedule " + start.config->schedule->text;
      if (start.missed > 0) run.cause += std::format(", and for {} that were missed", start.missed);
      TRY(const auto job, start_batch(tx, *project, *start.config, start.due, run));
      TRY_VOID(put_batch(tx, {start.config->name, start.config->schedule->text, now}));
      env_.log.info("batch_started", {{"batch", start.config->name}, {"job", job}, {"cause", run.cause}});
    }
    return {};
  }));
  TRY_VOID(env_.faults.reach("loop.batch.after_start"));
  changed();
  return {};
}

Result<std::string> Service::run_batch_now(const std::string& name, const std::string& by) {
  const auto project = this->project();
  const auto* config = project ? project->batch(name) : nullptr;
  if (!config) {
    std::string known;
    for (const auto& one : project ? project->batches : std::vector<BatchConfig>())
      known += (known.empty() ? "" : ", ") + one.name;
    return millrace::fail(Code::not_found, "loop.no_batch",
                          std::format("the project file in use has no [batch.{}]; {}", name,
                                      known.empty() ? "it has none" : "it has " + known));
  }
  TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
    TRY(const auto unfinished, batch_unfinished(tx, name));
    if (unfinished) {
      TRY(const auto runs, batch_runs(tx, name, 1));
      return runs.at(0).job;
    }
    BatchRun run;
    run.cause = "by hand: " + by;
    return start_batch(tx, *project, *config, env_.clock.now(), run);
  }));
  TRY_VOID(env_.faults.reach("loop.batch.after_start"));
  changed();
  return id;
}

Result<void> Service::commit_batch(meta::Tx& tx, const flow::Job& job, const std::string& result) {
  TRY(const auto ours, commit_batch_run(tx, job.id, result));
  if (ours) batches_to_write_ = true;
  return {};
}

// A file beside it, synced, and renamed: whoever reads sees all of it or what was there before.
Result<void> Service::write_batch(const BatchRun& run) {
  TRY(const auto result, parse_job<BatchResult>(run.result));
  TRY(const auto digest, Digest::parse(result.output.digest));
  TRY(const auto from, blobs_.open(digest));
  TRY_VOID(env_.fs.make_dirs(parent_path(run.out)));
  const auto part = run.out + ".part";
  {
    TRY(auto to, env_.fs.open_write(part, WriteMode::truncate));
    std::vector<std::byte> piece(blob::piece_bytes_max);
    for (std::uint64_t at = 0;;) {
      TRY(const auto got, from->read(at, piece));
      if (got == 0) break;
      TRY_VOID(to->append(std::span(piece).first(got)));
      at += got;
    }
    TRY_VOID(to->sync());
  }
  TRY_VOID(env_.faults.reach("loop.batch.before_rename"));
  TRY_VOID(env_.fs.rename(part, run.out));
  TRY_VOID(env_.fs.sync_dir(parent_path(run.out)));
  TRY_VOID(env_.faults.reach("loop.batch.after_rename"));
  return store_.write([&](meta::Tx& tx) { return note_batch_written(tx, run.job, env_.clock.now()); });
}

// In the order in which they were asked for: an older answer never replaces a newer one.
Result<void> Service::write_batches() {
  TRY(const auto runs, store_.read([&](meta::Reader& reader) { return batch_runs_to_write(reader); }));
  std::vector<std::string> held;  // batches of which one could not be written
  for (const auto& run : runs) {
    if (std::ranges::contains(held, run.batch)) continue;
    const auto pause = batch_pauses_.find(run.job);
    if (pause != batch_pauses_.end() && env_.clock.steady() < pause->second) {
      held.push_back(run.batch);
      continue;
    }
    const auto done = write_batch(run);
    if (done) {
      batch_pauses_.erase(run.job);
      env_.log.info("batch_written", {{"batch", run.batch}, {"job", run.job}, {"path", run.out}});
      continue;
    }
    held.push_back(run.batch);
    batch_pauses_[run.job] = env_.clock.steady() + batch_write_pause;
    const auto trouble = std::format(
        "its answers are computed and kept, but can't be written: {}; make room or give the server the "
        "right to write there: it is tried again every 30 s",
        done.error().message);
    if (trouble == run.trouble) continue;
    env_.log.warn("batch_not_written", {{"batch", run.batch}, {"path", run.out}, {"error", done.error().message}});
    TRY_VOID(store_.write([&](meta::Tx& tx) { return note_batch_trouble(tx, run.job, trouble); }));
  }
  return {};
}

Result<std::vector<Service::BatchState>> Service::batches(meta::Reader& reader) {
  std::vector<BatchState> out;
  const auto project = this->project();
  if (!project || project->batches.empty()) return out;
  TRY(const auto zone, flow::Zone::find(project->timezone));
  TRY(const auto stored, list_batches(reader));
  const auto now = env_.clock.now();
  for (const auto& config : project->batches) {
    BatchState state{.config = config};
    if (state.config.model.empty()) state.config.model = project->name;
    if (config.schedule) {
      TRY(const auto unfinished, batch_unfinished(reader, config.name));
      const auto known = std::ranges::find(stored, config.name, &StoredBatch::name);
      const auto decision =
          decide_batch(*config.schedule, zone, {now, known == stored.end() ? now : known->since, unfinished});
      state.next = decision.next;
      state.waits = decision.waits;
    }
    TRY(auto runs, batch_runs(reader, config.name, 10));
    for (auto& run : runs) {
      auto job = jobs_.find(reader, run.job);
      if (!job && job.error().code != Code::not_found) return millrace::fail(job.error());
      state.runs.emplace_back(std::move(run), job ? std::optional(*std::move(job)) : std::nullopt);
    }
    out.push_back(std::move(state));
  }
  return out;
}

}  // namespace millrace::loop
