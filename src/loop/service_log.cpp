// The prediction log's way into Parquet: what is due, what a finished roll means, what may be removed, who reads.
#include <algorithm>
#include <format>
#include <thread>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "data/query.hpp"
#include "flow/zone.hpp"
#include "loop/care.hpp"
#include "loop/log_decide.hpp"
#include "loop/log_records.hpp"
#include "loop/service.hpp"

namespace millrace::loop {

namespace {

// A writer holds a segment that was closed for the few microseconds of its line.
constexpr int close_tries = 10'000;
// Questions that wait for a job hold a thread of the server each.
constexpr int asking_max = 4;
constexpr Duration asking_patience = std::chrono::seconds(30);

}  // namespace

Result<std::string> Service::roll_now(const std::string& by) {
  TRY(auto job, roll(true, "by hand: " + by));
  if (!job)
    return millrace::fail(Code::failed_precondition, "loop.nothing_to_roll",
                          "no prediction was logged since the last roll");
  return *job;
}

// The job that rolls what is due; nothing when nothing is.
Result<std::optional<std::string>> Service::roll(bool asked, const std::string& cause) {
  if (!log_) return std::nullopt;
  std::lock_guard one_at_a_time(roll_mutex_);
  if (const auto project = this->project()) log_->set_bytes_max(static_cast<std::uint64_t>(project->serve.log_bytes));
  for (int tries = 0; tries < close_tries; ++tries) {
    RollSnapshot now;
    std::uint64_t after = 0;
    std::vector<flow::Job> unfinished;
    std::string failed;  // the newest roll, if it did
    TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
      TRY(after, rolled_through(reader));
      return {};
    }));
    TRY(auto segments, log_->segments(after));
    TRY(now.closed_through, log_->closed_through());
    for (const auto& segment : segments) {
      now.segments.push_back({segment.number, segment.bytes});
      if (!now.oldest) {
        TRY(now.oldest, serve::segment_made(env_.fs, segment.path));
      }
    }
    now.now = env_.clock.now();
    now.asked = asked;
    now.bytes_max = log_->bytes_max();
    TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
      TRY(auto last, jobs_.list(reader, {.kind = std::string(job_kind::roll), .max = 1}));
      if (last.empty()) return {};
      if (!flow::is_over(last.front().state)) unfinished.push_back(last.front());
      if (last.front().state == flow::JobState::failed) failed = last.front().id;
      return {};
    }));
    if (failed.empty()) {
      roll_failed_.job.clear();
    } else {
      // After a restart it is seen anew: one pause more.
      if (roll_failed_.job != failed) roll_failed_ = {failed, env_.clock.steady()};
      now.failed_ago = env_.clock.steady() - roll_failed_.seen_at;
    }
    auto decision = decide_roll(now);
    {
      std::lock_guard lock(mutex_);
      roll_waiting_ = decision.waiting;
    }
    if (decision.through == 0 && !decision.close) return std::nullopt;
    if (!unfinished.empty()) {
      const auto& job = unfinished.front();
      TRY(auto input, parse_job<RollJob>(job.input));
      if (!asked || (!decision.close && input.through >= decision.through)) return job.id;
      return millrace::fail(
          Code::aborted, "loop.roll_under_way",
          std::format("a roll of earlier lines is under way (job {}); ask again when it is over", job.id));
    }
    if (decision.close) {
      log_->close_segment();
      std::this_thread::yield();
      continue;
    }
    TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
      RollJob input;
      input.dir = config_.paths.log_dir();
      TRY(input.after, rolled_through(tx));
      input.through = decision.through;
      TRY(input.layouts, log_layouts(tx));
      flow::NewJob job;
      job.kind = job_kind::roll;
      job.key = "log";
      job.input = render_job(input);
      job.cause = asked ? cause : decision.cause;
      job.priority = asked ? 10 : -10;
      return jobs_.enqueue(tx, job);
    }));
    TRY_VOID(env_.faults.reach("loop.roll.after_enqueue"));
    changed();
    return id;
  }
  return millrace::fail(Code::unavailable, "loop.log_busy", "the log's present segment could not be closed; try again");
}

Result<void> Service::commit_roll(meta::Tx& tx, const flow::Job& job, const std::string& text) {
  TRY(auto input, parse_job<RollJob>(job.input));
  TRY(auto result, parse_job<RollResult>(text));
  auto lines = result.lines;
  if (result.damaged > 0)
    env_.log.warn("prediction_log_damaged", {{"places", result.damaged}, {"through", input.through}});
  TRY(auto done, add_roll(tx, input, std::move(result), job.cause, env_.clock.now()));
  TRY_VOID(env_.faults.reach("loop.roll.before_commit"));
  env_.log.info(done ? "log_rolled" : "log_rolled_before", {{"through", input.through}, {"lines", lines}});
  return {};
}

// Segments are removed once their rows are committed and every job is over that was planned to read them.
Result<void> Service::remove_rolled() {
  std::uint64_t rolled = 0;
  TRY(auto segments, serve::list_segments(env_.fs, config_.paths.log_dir()));
  if (segments.empty()) return {};
  std::vector<std::uint64_t> readers;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(rolled, rolled_through(reader));
    if (segments.front().number > rolled) return {};
    for (auto state : {flow::JobState::queued, flow::JobState::running}) {
      for (auto kind : {job_kind::assemble, job_kind::live, job_kind::roll}) {
        TRY(auto jobs, jobs_.list(reader, {.state = state, .kind = std::string(kind), .max = 10'000}));
        for (const auto& job : jobs) {
          if (kind == job_kind::roll) {
            TRY(auto input, parse_job<RollJob>(job.input));
            readers.push_back(input.after);
          } else {
            TRY(auto input, parse_job<AssembleJob>(job.input));
            readers.push_back(input.log.after);
          }
        }
      }
    }
    return {};
  }));
  auto through = removable_through(rolled, readers);
  if (segments.front().number > through) return {};
  std::unique_lock alone(segments_mutex_, std::try_to_lock);
  if (!alone) return {};  // somebody reads them here; the next look
  for (const auto& segment : segments) {
    if (segment.number > through) break;
    TRY_VOID(env_.faults.reach("loop.roll.before_remove"));
    TRY_VOID(env_.fs.remove(segment.path));
    TRY_VOID(env_.faults.reach("loop.roll.after_remove"));
  }
  TRY_VOID(env_.fs.sync_dir(config_.paths.log_dir()));
  return env_.faults.reach("loop.roll.after_folder_sync");
}

// So that a segment whose file is gone is missed. Only what is on the disk is noted: a power cut takes nothing that the
// records promise.
Result<void> Service::note_segments() {
  const auto made = log_->made();
  if (!made || made == noted_) return {};
  TRY_VOID(log_->sync());
  TRY_VOID(env_.faults.reach("loop.log.before_note"));
  TRY_VOID(store_.write([&](meta::Tx& tx) { return loop::note_segments(tx, *made, env_.clock.now()); }));
  TRY_VOID(env_.faults.reach("loop.log.after_note"));
  noted_ = made;
  return {};
}

Result<void> Service::look_at_log() {
  if (!log_) return {};
  TRY_VOID(remove_rolled());  // first: it makes room where the disk is full
  TRY(auto job, roll(false, ""));
  (void)job;
  TRY_VOID(note_segments());
  auto project = this->project();
  if (!project || !project->retention.predictions) return {};
  auto keep = *project->retention.predictions;
  auto now = env_.clock.now();
  for (const auto& model : {project->name, serve::shadow_model(project->name)}) {
    TRY(auto due, store_.read([&](meta::Reader& reader) { return lines_due(reader, model, keep, now); }));
    if (!due) continue;
    TRY(auto gone, store_.write([&](meta::Tx& tx) -> Result<std::int64_t> {
      TRY(auto rows, let_lines_go(tx, model, keep, now));
      TRY_VOID(env_.faults.reach("loop.retention.before_commit"));
      return rows;
    }));
    TRY_VOID(env_.faults.reach("loop.retention.after_commit"));
    env_.log.info("predictions_let_go", {{"model", model}, {"rows", gone}});
  }
  return {};
}

std::string Service::roll_waiting() const {
  std::lock_guard lock(mutex_);
  return roll_waiting_;
}

Result<void> Service::with_log(const std::string& model, const std::function<Result<void>(const LogView&)>& fn) {
  std::shared_lock segments_stay(segments_mutex_);
  TRY(auto view, store_.read([&](meta::Reader& reader) { return log_view(reader, model, config_.paths.log_dir()); }));
  return fn(view);
}

Result<std::vector<table::Row>> Service::ask_log(const LogView& view, const std::string& sql, std::int64_t rows_max) {
  struct Asking {
    std::atomic<int>& count;
    int now = ++count;
    ~Asking() { --count; }
  } asking{asking_};
  if (asking.now > asking_max) {
    return millrace::fail(
        Code::resource_exhausted, "loop.too_many_questions",
        std::format("{} questions about older predictions are being answered; try again", asking_max));
  }
  flow::NewJob job;
  job.kind = job_kind::query;
  job.key = ids_.make().text();
  job.input = data::render(data::QueryInput{sql, rows_max, view.parts, view.layout.schema});
  job.cause = "a question about older predictions";
  job.priority = 20;
  job.attempts_max = 1;
  job.timeout = asking_patience;
  TRY(auto id, jobs_.enqueue(job));
  changed();
  TRY(auto done, wait_for_job(id, asking_patience));
  if (done.state != flow::JobState::done) {
    return millrace::fail(
        Code::unavailable, "loop.job_failed",
        std::format("job {} ({}) failed: {}", id, job.kind, done.failure ? done.failure->message : ""));
  }
  TRY(auto output, data::parse_query_output(done.result.value_or("")));
  TRY(auto schema, data::schema_of(output.columns));
  std::vector<table::Row> rows;
  for (const auto& cells : output.rows) {
    auto& row = rows.emplace_back();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      auto type = schema.fields[i].type;
      if (!cells[i]) {
        row.emplace_back();
      } else if (type == table::Type::text) {  // "" is a text, not a null
        row.emplace_back(*cells[i]);
      } else {
        TRY(auto value, table::from_text(*cells[i], type));
        row.push_back(std::move(value));
      }
    }
  }
  return rows;
}

Result<flow::QuietHours> Service::quiet_hours() {
  auto project = this->project();
  if (!project) return flow::QuietHours{};
  TRY(auto through, store_.read([](meta::Reader& reader) { return rolled_through(reader); }));
  auto from = std::format("{} {} {}", project->name, project->timezone, through);
  {
    std::lock_guard lock(mutex_);
    if (quiet_.first == from) return quiet_.second;
  }
  TRY(auto zone, flow::Zone::find(project->timezone));
  TRY(auto parts, store_.read([&](meta::Reader& reader) { return log_parts(reader, project->name); }));
  std::vector<HourRows> hours;
  for (const auto& part : parts) hours.insert(hours.end(), part.hours.begin(), part.hours.end());
  auto quiet = loop::quiet_hours(requests_by_hour(hours, zone));
  std::lock_guard lock(mutex_);
  quiet_ = {from, quiet};
  return quiet;
}

Result<flow::Job> Service::wait_for_job(const std::string& id, Duration patience) {
  auto until = env_.clock.steady() + patience;
  std::unique_lock lock(over_mutex_);
  for (;;) {
    TRY(auto job, jobs_.find(id));
    if (flow::is_over(job.state)) return job;
    auto left = until - env_.clock.steady();
    if (left <= Duration(0)) {
      return millrace::fail(Code::deadline_exceeded, "loop.job_unfinished",
                            std::format("job {} ({}) is not over after {}; see: millrace status", id, job.kind,
                                        format_duration(patience)));
    }
    over_.wait_for(lock, std::min<Duration>(left, std::chrono::seconds(1)));
  }
}

}  // namespace millrace::loop
