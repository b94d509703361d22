// Housekeeping: retention, garbage collection, and what is left of work that is over.
#include <algorithm>
#include <format>

#include "base/digest.hpp"
#include "base/error_codes.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "flow/housekeeping.hpp"
#include "loop/service.hpp"

namespace millrace::loop {

namespace {

constexpr std::string_view chore_name = "gc";
constexpr std::size_t forget_at_once = 500;  // one transaction: the writer serves others in between

std::optional<std::int64_t> number(const std::optional<registry::AliasMove>& move) {
  return move ? std::optional(move->version) : std::nullopt;
}

// Tells the age of what a name says to be there; gone meanwhile is no error.
Result<void> remove_if_there(Fs& fs, const std::string& path) {
  auto removed = fs.remove_all(path);
  if (!removed && removed.error().code != Code::not_found) return removed;
  return {};
}

Result<std::vector<FileInfo>> list_if_there(Fs& fs, const std::string& dir) {
  auto files = fs.list(dir);
  if (!files && files.error().code == Code::not_found) return std::vector<FileInfo>();
  return files;
}

}  // namespace

// The versions whose files [retention] does not keep; without `dry_run` that is recorded.
Result<std::vector<std::string>> Service::let_go(bool dry_run,
                                                 std::set<std::pair<std::string, std::int64_t>>& versions) {
  std::vector<std::string> names;
  auto project = this->project();
  if (!project || !project->retention.models) return names;
  auto look = [&](meta::Reader& reader) -> Result<std::vector<std::int64_t>> {
    TRY(auto heads, registry::list_heads(reader, project->name));
    TRY(auto current, registry::alias(reader, project->name, registry::current_alias));
    TRY(auto previous, registry::alias(reader, project->name, registry::previous_alias));
    auto gone = registry::to_let_go(heads, number(current), number(previous), *project->retention.models);
    TRY(const auto release, release_under_way(reader, project->name));
    if (release) std::erase(gone, release->candidate);
    return gone;
  };
  // On a snapshot first: most looks find nothing, and cost no write.
  TRY(auto gone, store_.read(look));
  if (!gone.empty() && !dry_run) {
    TRY_VOID(store_.write_urgent([&](meta::Tx& tx) -> Result<void> {
      TRY(gone, look(tx));
      for (auto one : gone) TRY_VOID(registry::let_bytes_go(tx, project->name, one));
      return env_.faults.reach("loop.let_go.before_commit");
    }));
    TRY_VOID(env_.faults.reach("loop.let_go.after_commit"));
    for (auto one : gone) env_.log.info("model_bytes_let_go", {{"model", project->name}, {"version", one}});
  }
  for (auto one : gone) {
    versions.insert({project->name, one});
    names.push_back(std::format("{}:{}", project->name, one));
  }
  return names;
}

Result<void> Service::look_at_retention() {
  std::set<std::pair<std::string, std::int64_t>> versions;
  TRY(auto gone, let_go(false, versions));
  if (!gone.empty()) let_go_ = true;
  return {};
}

bool Service::garbage_is_due() {
  auto last = store_.read([](meta::Reader& reader) { return get_chore(reader, chore_name); });
  if (!last) return false;  // whatever is wrong with the records, it is no time to remove things
  auto at = *last ? std::optional((*last)->at) : std::nullopt;
  {
    std::lock_guard lock(mutex_);
    if (collected_ != TimePoint() && collected_ > at.value_or(TimePoint::min())) at = collected_;
  }
  return garbage_due(config_.garbage, {env_.clock.now(), env_.clock.steady() - started_, at, let_go_});
}

// What jobs printed and the folders of attempts: files that nobody may want any more.
Result<void> Service::sweep_files(TimePoint now, bool dry_run, GarbageReport& report) {
  std::set<std::string> named, running;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto paths, track::output_paths(reader));
    named.insert(paths.begin(), paths.end());
    TRY(auto jobs, jobs_.list(reader, {.state = flow::JobState::running, .max = 10'000}));
    for (const auto& job : jobs) running.insert(job.id);
    return {};
  }));
  TRY(auto outputs, list_if_there(env_.fs, config_.paths.output_dir()));
  for (const auto& file : outputs) {
    if (file.is_dir || now - file.modified < config_.garbage.history || named.contains("runs/" + file.name)) continue;
    if (!dry_run) TRY_VOID(remove_if_there(env_.fs, join_path(config_.paths.output_dir(), file.name)));
    report.outputs += 1;
    report.bytes += static_cast<std::int64_t>(file.size);
  }
  // The server's own, and one for each worker beside it; in them JOB-TOKEN, removed at the end of the attempt by a
  // worker that lives.
  TRY(auto folders, list_if_there(env_.fs, config_.paths.data_dir));
  for (const auto& folder : folders) {
    if (!folder.is_dir || (folder.name != "scratch" && !folder.name.starts_with("scratch-"))) continue;
    const auto path = join_path(config_.paths.data_dir, folder.name);
    TRY(auto attempts, list_if_there(env_.fs, path));
    for (const auto& dir : attempts) {
      const auto job = dir.name.substr(0, dir.name.find('-'));
      if (now - dir.modified < config_.garbage.grace || running.contains(job)) continue;
      if (!dry_run) TRY_VOID(remove_if_there(env_.fs, join_path(path, dir.name)));
      report.scratch += 1;
    }
  }
  return {};
}

Result<GarbageReport> Service::collect_garbage(bool dry_run) {
  const auto began = env_.clock.steady();
  const auto now = env_.clock.now();
  const auto& policy = config_.garbage;
  GarbageReport report;
  report.dry_run = dry_run;
  if (!dry_run) {
    std::lock_guard lock(mutex_);
    collected_ = now;
  }
  std::set<std::pair<std::string, std::int64_t>> without;
  TRY(report.versions_let_go, let_go(dry_run, without));

  const auto before = now - policy.history;
  if (dry_run) {
    TRY(auto old, store_.read([&](meta::Reader& reader) { return flow::count_over(reader, before); }));
    report.jobs = old.jobs;
  } else {
    for (;;) {
      const auto done =
          store_.write_urgent([&](meta::Tx& tx) { return flow::forget_over(tx, before, forget_at_once); });
      if (!done && is_disk_full(done.error())) break;  // what comes next makes room, and the next time they go too
      if (!done) return millrace::fail(done.error());
      report.jobs += done->jobs;
      TRY_VOID(env_.faults.reach("loop.gc.after_forget"));
      if (!done->more) break;
    }
  }

  // One snapshot of what is needed. What is named after it was written or pinned after it, and is too young to go.
  Duration grace = policy.grace;
  TRY(auto needed, store_.read([&](meta::Reader& reader) -> Result<NeededBlobs> {
    TRY(auto oldest, flow::oldest_attempt(reader));
    grace = garbage_grace(policy, now, oldest);
    return NeededBlobs::collect(reader, policy, now, without);
  }));
  TRY_VOID(env_.faults.reach("loop.gc.after_snapshot"));
  TRY(auto collected,
      blobs_.collect_garbage([&](const Digest& digest) { return needed.why(digest).has_value(); }, grace, dry_run));
  TRY_VOID(env_.faults.reach("loop.gc.after_blobs"));
  report.blobs = static_cast<std::int64_t>(collected.removed.size());
  report.bytes = static_cast<std::int64_t>(collected.bytes);
  report.uploads = static_cast<std::int64_t>(collected.uploads);
  report.quarantined = static_cast<std::int64_t>(collected.quarantined);

  std::set<Digest> removed;
  for (const auto& one : collected.removed) removed.insert(one.digest);
  std::vector<GarbageKept> kept;
  for (auto need : {Need::model, Need::dataset, Need::training, Need::code, Need::work})
    kept.push_back({std::string(need_text(need)), 0, 0});
  kept.push_back({"written or used in the last " + format_duration(grace), 0, 0});
  TRY_VOID(blobs_.each([&](const blob::BlobInfo& info) -> Result<void> {
    if (removed.contains(info.digest)) return {};
    auto why = needed.why(info.digest);
    auto& line = why ? kept[static_cast<std::size_t>(*why)] : kept.back();
    line.blobs += 1;
    line.bytes += static_cast<std::int64_t>(info.size);
    return {};
  }));
  for (auto& line : kept) {
    if (line.blobs > 0) report.kept.push_back(std::move(line));
  }
  TRY_VOID(sweep_files(now, dry_run, report));
  TRY_VOID(env_.faults.reach("loop.gc.after_sweep"));
  report.took_seconds = std::chrono::duration<double>(env_.clock.steady() - began).count();
  if (!dry_run) {
    let_go_ = false;
    TRY_VOID(store_.write_urgent(
        [&](meta::Tx& tx) { return put_chore(tx, {std::string(chore_name), render_report(report), now}); }));
    TRY_VOID(env_.faults.reach("loop.gc.after_note"));
    env_.log.info("garbage_collected", {{"blobs", report.blobs},
                                        {"bytes", report.bytes},
                                        {"versions", report.versions_let_go.size()},
                                        {"jobs", report.jobs},
                                        {"seconds", report.took_seconds}});
  }
  return report;
}

Result<void> Service::pin_rows(const RowSet& rows, const std::string& of) {
  for (const auto* parts : {&rows.parts, &rows.feedback}) {
    for (const auto& part : *parts) {
      TRY(auto digest, Digest::parse(part.digest));
      auto pinned = blobs_.pin(digest);
      if (pinned) continue;
      if (pinned.error().code != Code::not_found) return pinned;
      return millrace::fail(
          Code::failed_precondition, "loop.rows_gone",
          std::format("the rows that {} learned from are not kept any more; train on what there is now: millrace train",
                      of));
    }
  }
  return {};
}

}  // namespace millrace::loop
