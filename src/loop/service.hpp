// The loop on one server: takes the project file, reads sources, starts trainings, commits what jobs found, moves
// aliases, takes labels. Every operation is one transaction or says what is left; a step started by hand or by rule
// leaves the same record. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/ids.hpp"
#include "base/process.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"
#include "data/records.hpp"
#include "flow/jobs.hpp"
#include "flow/pipelines.hpp"
#include "flow/window.hpp"
#include "label/parse.hpp"
#include "label/records.hpp"
#include "loop/batch_records.hpp"
#include "loop/decide.hpp"
#include "loop/garbage.hpp"
#include "loop/jobs.hpp"
#include "loop/plan.hpp"
#include "loop/project.hpp"
#include "loop/records.hpp"
#include "loop/release_records.hpp"
#include "meta/meta.hpp"
#include "registry/registry.hpp"
#include "serve/predictor.hpp"
#include "track/track.hpp"
#include "train/job_source.hpp"

namespace millrace {
class Tracer;
}

namespace millrace::loop {

// All tables of a server, in the order in which modules need each other.
std::vector<meta::Migration> all_migrations();

struct Paths {
  std::string data_dir;
  std::string project_dir;  // `file:` sources are relative to it
  std::string log_dir() const { return data_dir + "/log"; }
  std::string output_dir() const { return data_dir + "/runs"; }
  std::string scratch_dir() const { return data_dir + "/scratch"; }
  std::string blob_dir() const { return data_dir + "/blobs"; }
};

struct TrainOptions {
  bool quick = false;
  bool shuffle_target = false;
};

struct Applied {
  StoredProject project;
  bool changed = false;
  std::vector<Change> changes;
  std::vector<std::string> notes;  // what the file means for the data that is there, and what has to wait
};

class Fleet;

class Service final : public serve::WantedSource, public train::JobSource {
 public:
  struct Config {
    Paths paths;
    int cores = 1;
    Duration lease = std::chrono::seconds(10);
    std::int64_t quick_rows = 5000;
    GarbagePolicy garbage = {};
    Tracer* tracer = nullptr;        // of jobs; outlives the service
    Processes* processes = nullptr;  // to ask git what a run was started with; nullptr: nobody asks
  };
  Service(const Config& config, Env& env, meta::Store& store, blob::Store& blobs, flow::Jobs& jobs);
  ~Service() override;

  // ---- project
  // The newest applied project; nullptr before the first.
  std::shared_ptr<const Project> project() const;
  Result<void> load_project();  // at start, from the records
  Result<Applied> apply(const std::string& text, const std::string& profile, bool dry_run, const std::string& by);

  // ---- data
  // Reads the source's own file when it is not the one of its newest version. The job's id; nullopt: nothing new.
  Result<std::optional<std::string>> ingest_if_changed(const std::string& source);
  // `blob` empty: the source's own file, whatever is known of it.
  Result<std::string> ingest(const std::string& source, const std::string& blob, const std::string& name,
                             const std::string& by);
  // not_found `loop.no_source`; failed_precondition `loop.file_source` for one that reads a file, whose rows an upload
  // would only hold until the file is read again.
  Result<void> may_upload(const std::string& source) const;
  // Sources whose newest reading failed: notes.hpp.
  Result<std::vector<std::string>> failed_readings(meta::Reader& reader);
  // Jobs over a version's rows; sensitive columns are masked. Each answers the job's id.
  Result<std::string> query(const std::string& dataset, std::int64_t version, const std::string& sql,
                            std::int64_t rows_max);
  Result<std::string> checkout(const std::string& dataset, std::int64_t version, const std::string& format);
  Result<std::string> check(const std::string& dataset, std::int64_t version);  // by the checks of now
  // A version's answers for all rows of a dataset version, or of a file that is a blob already. `format`: csv or
  // parquet. not_found where there is no such version; failed_precondition `registry.bytes_gone`.
  struct BatchFile {
    Digest blob;
    std::string name;
  };
  Result<std::string> batch(const std::string& model, std::int64_t number, const BatchFile& file,
                            const std::string& format);
  Result<std::string> batch(const std::string& model, std::int64_t number, const std::string& dataset,
                            std::int64_t version, const std::string& format);
  // ---- [batch.NAME] (service_batches.cpp)
  // Starts what is due. Each due time is taken by the transaction that starts its job.
  Result<void> look_at_batches();
  bool batches_to_write() const { return batches_to_write_; }
  // Puts answers that are committed where the project file wants them; may take as long as copying a file.
  Result<void> write_batches();
  // The job's id, also of one that is unfinished. not_found `loop.no_batch`.
  Result<std::string> run_batch_now(const std::string& name, const std::string& by);
  struct BatchState {
    BatchConfig config;
    std::optional<TimePoint> next;
    std::string waits;
    std::vector<std::pair<BatchRun, std::optional<flow::Job>>> runs;  // newest first; a job is forgotten in the end
  };
  Result<std::vector<BatchState>> batches(meta::Reader& reader);

  // ---- training
  // aborted `loop.run_under_way` with its id when one is; failed_precondition `loop.no_data`.
  Result<std::string> start_training(const std::string& rule, const std::string& cause, const TrainOptions& options);
  Result<void> cancel_run(const std::string& run, const std::string& by);
  // A training that failed or was cancelled goes on from its last checkpoint, as a new run that names it: the new run's
  // id. Refusals: loop/again.hpp; `loop.rows_gone`, `loop.run_under_way`.
  Result<std::string> resume_run(const std::string& run, const std::string& by) { return start_again(run, true, by); }
  // The same plan and rows again, as a new run. On the same build the artifact has the same bytes.
  Result<std::string> repeat_run(const std::string& run, const std::string& by) { return start_again(run, false, by); }
  Result<std::string> rebuild(const std::string& model, std::int64_t version);
  // Looks at the records and starts what the rules ask for. What is waited for otherwise.
  Result<RetrainDecision> look_at_rules();
  // Asks for live quality when there are labels that it has not seen, or lines that came after labels about them.
  Result<void> look_at_live();
  // Lets the bytes of old versions go, as [retention] says.
  Result<void> look_at_retention();
  Result<void> look_at_pipelines();  // runs whose jobs are over go on

  // ---- the prediction log
  // Before start; the log outlives every call.
  void use_log(serve::PredictionLog& log) { log_ = &log; }
  // Everything that was logged so far becomes rows of MODEL.predictions. The job's id. failed_precondition
  // `loop.nothing_to_roll`; aborted `loop.roll_under_way` when an earlier one is unfinished that does not take it all.
  Result<std::string> roll_now(const std::string& by);
  // Removes segments that are in Parquet and that nobody reads any more, rolls what is due, lets rows go as
  // [retention] says.
  Result<void> look_at_log();
  std::string roll_waiting() const;  // why a roll that is due does not begin; "" when there is nothing to say
  // The log of a model at this moment; the segments that it names stay while `fn` runs.
  Result<void> with_log(const std::string& model, const std::function<Result<void>(const LogView&)>& fn);
  // Rows of the Parquet part of a log, by SQL over them as table `data`: a job, waited for. resource_exhausted
  // `loop.too_many_questions` while others ask; deadline_exceeded `loop.job_unfinished`.
  Result<std::vector<table::Row>> ask_log(const LogView& view, const std::string& sql, std::int64_t rows_max);
  // The hours in which few predictions were asked for, from the rolled log.
  Result<flow::QuietHours> quiet_hours();

  // ---- models
  // An archive that is stored as `blob` becomes a candidate of `model`: a run of one job, which loads it in a fresh
  // process and measures it; then it gets its number and its verdict. The run's id. invalid_argument
  // `model.bad_artifact`; refusals of loop/import.hpp; `loop.no_data`, `loop.no_baseline`.
  Result<std::string> import_model(const std::string& model, const Digest& blob, const std::string& file,
                                   const std::string& by);
  // At once, whatever the steps; a release under way ends.
  Result<registry::Promotion> promote(const std::string& model, std::int64_t version, const registry::Actor& by);
  // A release under way ends. Where its candidate was not current yet that is all, and current stays.
  Result<registry::Promotion> rollback(const std::string& model, const registry::Actor& by);
  Result<std::vector<serve::WantedModel>> wanted() override;
  // An earlier process died while a version was watched: its release ends, and current is the one before it again.
  // Of a predictor on another machine its name: its release ends for all of them, and where it has ended already that
  // is noted beside it. Doing it twice changes nothing.
  Result<void> note_death(const serve::Death& death, const std::string& predictor = "");
  // Moves releases on, by what the predictor has seen of their versions: release.hpp decides.
  Result<void> look_at_releases(const serve::Predictor& predictor);

  // Releases then move on by what the fleet's connected predictors say too; by them alone where this process serves
  // nothing itself. It outlives every call.
  void use_fleet(const Fleet& fleet, bool serves_itself) {
    fleet_ = &fleet;
    serves_itself_ = serves_itself;
  }

  // ---- labels
  Result<label::Intake> add_labels(const std::string& model, std::span<const label::RawLabel> rows);

  // ---- jobs, for workers
  Result<std::optional<train::JobLease>> claim(const std::string& worker,
                                               const std::vector<std::string>& kinds) override;
  Result<bool> heartbeat(const train::JobLease& lease, const train::JobProgress& progress) override;
  Result<void> complete(const train::JobLease& lease, const std::string& result, const train::JobUsage& usage) override;
  Result<void> fail(const train::JobLease& lease, const train::JobFailure& failure,
                    const train::JobUsage& usage) override;
  Result<void> give_back(const train::JobLease& lease, const std::string& checkpoint) override;

  // Returns when the job is over. deadline_exceeded `loop.job_unfinished` after `patience`.
  Result<flow::Job> wait_for_job(const std::string& id, Duration patience);

  // Called after anything changed that somebody may wait for: aliases, jobs, datasets. Must not block.
  void on_change(std::function<void()> call) { on_change_ = std::move(call); }

  // ---- housekeeping (service_gc.cpp)
  // Lets versions go as [retention] says, forgets what was over long ago, and removes the blobs that no record names.
  // `dry_run` changes nothing and says what would go. May take minutes; failed_precondition `blob.gc_running`.
  Result<GarbageReport> collect_garbage(bool dry_run);
  bool garbage_is_due();  // by the policy, since the last one and the start of this server

  meta::Store& store() { return store_; }
  blob::Store& blobs() { return blobs_; }
  flow::Jobs& jobs() { return jobs_; }
  const Config& config() const { return config_; }
  Env& env() { return env_; }

 private:
  Result<flow::StepPlan> plan_step(meta::Tx& tx, const flow::PipelineRun& run, const flow::Step& step,
                                   const std::map<std::string, std::string>& results);
  Result<void> commit(meta::Tx& tx, const flow::Job& job, const std::string& result, const train::JobUsage& usage);
  Result<void> commit_ingest(meta::Tx& tx, const flow::Job& job, const std::string& result);
  Result<void> commit_evaluation(meta::Tx& tx, const flow::Job& job, const std::string& result);
  Result<void> end_run(meta::Tx& tx, const std::string& run, track::RunState state, const std::string& failure);
  void trace_job(const flow::Job& job, std::string_view ended, const Result<void>& outcome) const;
  Result<void> note_usage(meta::Tx& tx, const flow::Job& job, const train::JobUsage& usage, const TrainResult* result);
  Result<void> keep_code(const Project& project, RunPlan& plan);
  // The model's labels at one moment, as a blob: stored before the transaction that names it.
  struct StoredLabels {
    std::string blob;
    std::int64_t seq = 0;     // of the newest
    std::int64_t usable = 0;  // of a trusted origin, with a value
  };
  Result<StoredLabels> store_labels(const Project& project);
  Result<std::string> ask(std::string_view kind, const std::string& dataset, std::int64_t version, Duration timeout,
                          const std::function<Result<std::string>(meta::Reader&, const data::DatasetVersion&)>& input);
  Result<BatchJob> batch_of(meta::Reader& reader, const std::string& model, std::int64_t number,
                            const std::string& format);
  Result<std::string> enqueue_batch(meta::Tx& tx, const BatchJob& batch);
  Result<std::string> start_batch(meta::Tx& tx, const Project& project, const BatchConfig& config, TimePoint due_at,
                                  BatchRun run);
  Result<bool> batch_unfinished(meta::Reader& reader, const std::string& name);
  Result<void> commit_batch(meta::Tx& tx, const flow::Job& job, const std::string& result);
  Result<void> write_batch(const BatchRun& run);
  data::IngestInput read_input(const SourceConfig& source, const Project& project) const;
  Result<std::vector<std::string>> notes_on(const Project& project, const std::vector<Change>& changes);
  Result<std::string> question_of(meta::Reader& reader, const std::string& source);
  // Restarts the grace of each blob, before a record names them anew. failed_precondition `loop.rows_gone`.
  Result<void> pin_rows(const RowSet& rows, const std::string& of);
  Result<std::vector<std::string>> let_go(bool dry_run, std::set<std::pair<std::string, std::int64_t>>& versions);
  Result<void> sweep_files(TimePoint now, bool dry_run, GarbageReport& report);
  Result<std::vector<std::string>> target_classes(const std::string& source);
  Result<std::string> start_again(const std::string& run, bool resume, const std::string& by);
  Result<void> start_pipeline(meta::Tx& tx, const Project& project, const RunPlan& plan);
  Result<void> note_question(meta::Tx& tx, const ReadJob& read);
  Result<std::string> enqueue_ingest(const SourceConfig& source, const std::string& blob, const std::string& name,
                                     const std::string& cause);
  Result<void> nothing_under_way(meta::Reader& reader) const;  // aborted `loop.run_under_way`
  Result<AssembleJob> assemble_job(meta::Reader& reader, const ModelSpec& model,
                                   const std::vector<data::ColumnField>& schema, const StoredLabels& labels) const;
  Result<std::optional<std::string>> roll(bool asked, const std::string& cause);
  // [retrain] window with the days of its region's list; `note`: what is wrong with that list, or that it has ended.
  struct WindowNow {
    flow::Window window;
    std::string note;
  };
  WindowNow window_now(const Project& project);
  Result<std::vector<std::chrono::year_month_day>> holidays_of(const std::string& region);
  Result<void> note_segments();
  Result<void> remove_rolled();
  Result<void> commit_roll(meta::Tx& tx, const flow::Job& job, const std::string& result);
  // Steps of a version that takes over by itself; what is under way gives way to it. Current moves with a full step.
  Result<void> begin_release(meta::Tx& tx, const std::string& model, std::int64_t candidate,
                             const std::vector<std::string>& steps, const registry::Actor& by);
  Result<Release> count_release(Release release, const serve::Predictor& predictor, ReleaseSnapshot& snapshot);
  Result<void> act_on(const Release& release, const ReleaseDecision& decision);
  void changed();

  Config config_;
  Env& env_;
  meta::Store& store_;
  blob::Store& blobs_;
  flow::Jobs& jobs_;
  flow::Pipelines pipelines_;
  IdMaker ids_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Project> project_;
  struct {
    std::string source;
    std::int64_t version = 0;
    std::vector<std::string> names;
  } classes_;  // of the target, by dataset version
  SteadyPoint started_;
  std::atomic<bool> let_go_ = false;              // since the last collection
  TimePoint collected_;                           // when one was last tried, whatever came of it
  std::map<std::string, std::string> read_last_;  // source -> what its file looked like when it was last read
  std::function<void()> on_change_;
  serve::PredictionLog* log_ = nullptr;
  const Fleet* fleet_ = nullptr;
  bool serves_itself_ = true;
  std::optional<serve::PredictionLog::Made> noted_;  // the controller's
  std::mutex roll_mutex_;                            // one decision at a time
  std::shared_mutex segments_mutex_;                 // shared: segments are read here; alone: they are removed
  std::string roll_waiting_;                         // guarded by mutex_
  struct {
    std::string job;                                                           // the newest roll that failed, and
    SteadyPoint seen_at;                                                       // when that was first seen here
  } roll_failed_;                                                              // guarded by roll_mutex_
  std::pair<std::string, std::vector<std::chrono::year_month_day>> holidays_;  // of what file; guarded by mutex_
  std::pair<std::string, flow::QuietHours> quiet_;  // what it was computed from; guarded by mutex_
  std::mutex over_mutex_;
  std::condition_variable over_;  // some job ended
  std::atomic<int> asking_{0};
  struct Counted {
    ReleaseCounts last;  // the predictor's counters when the sums were recorded last
    ReleaseCounts seen;  // and at the last look
    SteadyPoint kept;    // when that was recorded
  };
  std::atomic<bool> batches_to_write_ = true;                     // as of the last look
  std::map<std::string, SteadyPoint, std::less<>> batch_pauses_;  // until when, by job; of write_batches alone
  std::map<std::string, Counted> counted_;                        // by release; the controller's
};

}  // namespace millrace::loop
