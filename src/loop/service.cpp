// The project file, sources and rules.
#include "loop/service.hpp"
#include "loop/notes.hpp"

#include <algorithm>
#include <format>

#include "access/tokens.hpp"
#include "base/digest.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "flow/holidays.hpp"
#include "flow/schedule.hpp"
#include "flow/window.hpp"
#include "flow/zone.hpp"
#include "loop/labels_text.hpp"
#include "train/command_files.hpp"

namespace millrace::loop {

std::vector<meta::Migration> all_migrations() {
  std::vector<meta::Migration> all;
  for (auto part : {access::migrations(), flow::migrations(), data::migrations(), track::migrations(),
                    registry::migrations(), label::migrations(), migrations()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

Service::Service(const Config& config, Env& env, meta::Store& store, blob::Store& blobs, flow::Jobs& jobs)
    : config_(config),
      env_(env),
      store_(store),
      blobs_(blobs),
      jobs_(jobs),
      pipelines_(env, store, jobs,
                 [this](auto& tx, const auto& run, const auto& step, const auto& results) {
                   return plan_step(tx, run, step, results);
                 }),
      ids_(env.clock, env.rng),
      started_(env.clock.steady()) {}

Service::~Service() = default;

void Service::changed() {
  {
    std::lock_guard lock(over_mutex_);
  }  // whoever waits is before its look or in its wait
  over_.notify_all();
  if (on_change_) on_change_();
}

std::shared_ptr<const Project> Service::project() const {
  std::lock_guard lock(mutex_);
  return project_;
}

Result<void> Service::load_project() {
  TRY(auto stored, store_.read([](meta::Reader& reader) { return newest_project(reader); }));
  if (!stored) return {};
  TRY(auto parsed, parse_project(stored->text));
  std::lock_guard lock(mutex_);
  project_ = std::make_shared<const Project>(std::move(parsed));
  return {};
}

Result<Applied> Service::apply(const std::string& text, const std::string& profile, bool dry_run,
                               const std::string& by) {
  TRY(auto parsed, parse_project(text, profile));
  TRY(auto stored, store_.read([](meta::Reader& reader) { return newest_project(reader); }));
  Applied applied;
  if (stored) {
    applied.project = *stored;
    if (stored->name != parsed.name) {
      return millrace::fail(
          Code::failed_precondition, "loop.other_project",
          std::format("this data folder belongs to project '{}', the file is of '{}'; use another folder: --data-dir",
                      stored->name, parsed.name));
    }
    TRY(auto before, parse_project(stored->text));
    applied.changes = diff_projects(before, parsed);
  }
  applied.changed = !stored || !applied.changes.empty();
  if (applied.changed) {
    TRY(applied.notes, notes_on(parsed, applied.changes));
  }
  // Told now rather than by a run that fails; not when nothing changed, so that a server starts again all the same.
  if (const auto& trainer = parsed.model.trainer; trainer.name == "command" && (applied.changed || dry_run))
    TRY_VOID(train::check_command(env_.fs, config_.paths.project_dir, trainer.command, trainer.files));
  if (const auto& region = parsed.retrain.window.region; !region.empty() && (applied.changed || dry_run)) {
    TRY(const auto days, holidays_of(region));
    (void)days;
  }
  if (dry_run || !applied.changed) {
    if (!dry_run) {
      std::lock_guard lock(mutex_);
      project_ = std::make_shared<const Project>(std::move(parsed));
    }
    return applied;
  }
  TRY(applied.project, store_.write([&](meta::Tx& tx) -> Result<StoredProject> {
    TRY(auto added, add_project(tx, {0, parsed.name, text, project_digest(parsed).hex(), env_.clock.now(), by}));
    TRY_VOID(env_.faults.reach("loop.apply.before_commit"));
    return added;
  }));
  TRY_VOID(env_.faults.reach("loop.apply.after_commit"));
  {
    std::lock_guard lock(mutex_);
    project_ = std::make_shared<const Project>(std::move(parsed));
  }
  env_.log.info("project_applied", {{"project", applied.project.name}, {"number", applied.project.number}, {"by", by}});
  changed();
  return applied;
}

Result<std::vector<std::string>> Service::notes_on(const Project& project, const std::vector<Change>& changes) {
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::vector<std::string>>> known;  // source, columns of its newest version
  bool trained = false;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    for (const auto& source : project.sources) {
      TRY(auto version, data::newest_version(reader, source.name));
      known.emplace_back(source.name, std::vector<std::string>{});
      if (!version) continue;
      for (const auto& field : version->content.schema) known.back().second.push_back(field.name);
    }
    TRY(auto last, newest_training(reader));
    trained = last.has_value();
    return {};
  }));
  for (const auto& [source, columns] : known) {
    for (auto& note : missing_columns(project, source, columns)) notes.push_back(std::move(note));
  }
  for (const auto& source : project.sources) {
    auto path = source.path();
    if (!source.upload() && !exists(env_.fs, path.starts_with('/') ? path : join_path(config_.paths.project_dir, path)))
      notes.push_back(std::format("source.{}.uri: there is no file {}", source.name, path));
  }
  auto causes = [&](Effect effect) { return std::ranges::contains(changes, effect, &Change::effect); };
  TRY(auto zone, flow::Zone::find(project.timezone));
  const auto window = window_now(project);
  if (!window.note.empty()) notes.push_back(window.note);
  auto start = flow::may_start(window.window, env_.clock.now(), zone);
  if (trained && causes(Effect::retrain) && !start.yes)
    notes.push_back(std::format("the training {}; not to wait: millrace retrain", start.why));
  if (causes(Effect::restart))
    notes.emplace_back("where it runs changes at the next start: millrace down, millrace up");
  return notes;
}

// ---- data

namespace {

data::CheckConfig check_config(const CheckConfig* from) {
  data::CheckConfig to;
  if (!from) return to;
  if (from->rows) {
    using Op = Comparison::Op;
    auto bound = static_cast<std::int64_t>(from->rows->value);
    if (from->rows->op == Op::greater_equal) to.rows_min = bound;
    if (from->rows->op == Op::greater) to.rows_min = bound + 1;
    if (from->rows->op == Op::less_equal) to.rows_max = bound;
    if (from->rows->op == Op::less) to.rows_max = bound - 1;
  }
  for (const auto& column : from->columns) {
    data::ColumnCheck check;
    check.column = column.column;
    check.type = column.type;
    check.min = column.min;
    check.max = column.max;
    if (column.nulls) check.nulls_max = column.nulls->value;
    check.values = column.values;
    check.unique = column.unique;
    check.new_values = column.new_values;
    to.columns.push_back(std::move(check));
  }
  return to;
}

// What is asked of a source's bytes, besides the bytes.
std::string question_text(const data::IngestInput& input) {
  data::IngestInput only;
  only.csv = input.csv;
  only.target = input.target;
  only.key = input.key;
  only.task = input.task;
  only.positive = input.positive;
  only.checks = input.checks;
  return data::render(only);
}

std::string question(const data::IngestInput& input) { return sha256(question_text(input)).hex(); }

std::string file_stamp(const FileInfo& info) { return format_time(info.modified); }

}  // namespace

data::IngestInput Service::read_input(const SourceConfig& source, const Project& project) const {
  data::IngestInput input;
  input.csv.delimiter = source.delimiter;
  input.csv.header = source.header && source.names.empty();
  input.csv.encoding = source.encoding;
  input.csv.names = source.names;
  input.key = source.key;
  const auto& model = project.model;
  if (model.target.source == source.name) {
    input.target = model.target.column;
    input.task = model.target.type == "auto" ? "" : model.target.type;
    input.positive = model.positive;
  }
  input.checks = check_config(project.check(source.name));
  return input;
}

Result<std::vector<std::string>> Service::failed_readings(meta::Reader& reader) {
  auto project = this->project();
  if (!project) return std::vector<std::string>();
  return loop::failed_readings(reader, jobs_, *project, [&](const auto& source, const auto& reading) {
    return question(reading) == question(read_input(source, *project));
  });
}

// Of the last reading that was done; "" when there is none.
Result<std::string> Service::question_of(meta::Reader& reader, const std::string& source) {
  TRY(auto known, get_question(reader, source));
  return known.value_or("");
}

// Called when a reading is committed.
Result<void> Service::note_question(meta::Tx& tx, const ReadJob& read) {
  return put_question(tx, read.dataset, question(read.input));
}

Result<std::string> Service::enqueue_ingest(const SourceConfig& source, const std::string& blob,
                                            const std::string& name, const std::string& cause) {
  auto input = read_input(source, *project());
  if (blob.empty()) {
    auto path = source.path();
    input.path = path.starts_with('/') ? path : join_path(config_.paths.project_dir, path);
    TRY(auto info, env_.fs.info(input.path));
    input.changed = file_stamp(info);
    input.uri = source.uri;
  } else {
    input.blob = blob;
    input.uri = "upload:" + name;
    input.changed = format_time(env_.clock.now());
  }
  // A file is the whole table as it is now; an upload brings further rows.
  input.mode = blob.empty() ? "replace" : "append";
  TRY(auto id, store_.write([&](meta::Tx& tx) -> Result<std::string> {
    TRY(auto parent, data::newest_usable(tx, source.name));
    if (parent) {
      input.parent_parts = parent->content.parts;
      input.parent_schema = parent->content.schema;
      TRY(input.parent_sources, data::sources_of(tx, source.name, parent->number));
      input.expected = learned_columns(*project(), source.name, parent->content.analysis.inference);
      // A part that was lost comes back when the same file is read again.
      bool whole = true;
      for (const auto& part : parent->content.parts) {
        TRY(auto digest, Digest::parse(part.digest));
        whole = whole && blobs_.stat(digest).has_value();
      }
      if (!whole && blob.empty()) input.parent_sources.clear();
      // Other questions (target, key, checks) of the same bytes: they are read again.
      TRY(auto before, question_of(tx, source.name));
      if (before != question(input)) input.parent_sources.clear();
    }
    flow::NewJob job;
    job.kind = job_kind::ingest;
    job.key = source.name + (blob.empty() ? "" : "/" + blob);
    job.input = render_job(ReadJob{source.name, input});
    job.cause = cause;
    job.priority = 10;
    TRY_VOID(env_.faults.reach("loop.ingest.before_enqueue"));
    return jobs_.enqueue(tx, job);
  }));
  TRY_VOID(env_.faults.reach("loop.ingest.after_enqueue"));
  changed();
  return id;
}

Result<std::optional<std::string>> Service::ingest_if_changed(const std::string& name) {
  auto project = this->project();
  const auto* source = project ? project->source(name) : nullptr;
  if (!source || source->upload()) return std::nullopt;
  auto path = source->path();
  TRY(auto info, env_.fs.info(path.starts_with('/') ? path : join_path(config_.paths.project_dir, path)));
  // What a reading depends on: the file, and what is asked about it.
  auto asked = question(read_input(*source, *project));
  auto looks = std::format("{} {} {}", file_stamp(info), info.size, asked);
  {
    std::lock_guard lock(mutex_);
    if (read_last_[name] == looks) return std::nullopt;
  }
  std::optional<data::DatasetVersion> newest;
  std::string before;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(newest, data::newest_head(reader, name));
    TRY(before, question_of(reader, name));
    return {};
  }));
  bool known = newest && newest->content.provenance.changed == file_stamp(info) &&
               newest->content.provenance.size == static_cast<std::int64_t>(info.size) && before == asked;
  std::optional<std::string> id;
  if (!known) {
    TRY(id, enqueue_ingest(*source, "", "", newest ? "the file changed" : "first reading"));
  }
  std::lock_guard lock(mutex_);
  read_last_[name] = looks;
  return id;
}

namespace {

Result<const SourceConfig*> find_source(const Project* project, const std::string& name) {
  if (const auto* source = project ? project->source(name) : nullptr) return source;
  std::string names;
  if (project) {
    for (const auto& one : project->sources) names += (names.empty() ? "" : ", ") + one.name;
  }
  return millrace::fail(Code::not_found, "loop.no_source",
                        std::format("the project has no source '{}'; it has: {}", name, names));
}

}  // namespace

Result<void> Service::may_upload(const std::string& name) const {
  auto project = this->project();
  TRY(const auto* source, find_source(project.get(), name));
  if (source->upload()) return {};
  return millrace::fail(Code::failed_precondition, "loop.file_source",
                        std::format("source '{}' is what {} holds, so rows sent to it would be lost when the file is "
                                    "read again; change the file, or send rows to a source with uri = \"upload\"",
                                    name, source->uri));
}

Result<std::string> Service::ingest(const std::string& name, const std::string& blob, const std::string& file,
                                    const std::string& by) {
  auto project = this->project();
  if (project && !project->source(name) && blob.empty() && name == predictions_dataset(project->name))
    return roll_now(by);
  TRY(const auto* source, find_source(project.get(), name));
  if (!blob.empty()) TRY_VOID(may_upload(name));
  if (blob.empty() && source->upload()) {
    return millrace::fail(Code::failed_precondition, "loop.upload_source",
                          std::format("source '{}' is filled by uploads: millrace ingest {} FILE", name, name));
  }
  return enqueue_ingest(*source, blob, file, "by hand: " + by);
}

// ---- rules

Result<std::vector<std::chrono::year_month_day>> Service::holidays_of(const std::string& region) {
  const auto name = flow::holidays_file(region);
  const auto path = join_path(config_.paths.project_dir, name);
  const auto info = env_.fs.info(path);
  if (!info)
    return millrace::fail(
        info.error().code, "loop.no_holidays",
        std::format("[retrain] window: the holidays of {} are expected in {}, a date on each line such "
                    "as 2026-12-25: {}",
                    region, path, info.error().message));
  const auto stamp = std::format("{} {} {}", path, format_time(info->modified), info->size);
  {
    std::lock_guard lock(mutex_);
    if (holidays_.first == stamp) return holidays_.second;
  }
  constexpr std::uint64_t size_max = 1u << 20;
  TRY(const auto text, read_file(env_.fs, path, size_max));
  TRY(auto days, flow::parse_holidays(text, path));
  std::lock_guard lock(mutex_);
  holidays_ = {stamp, days};
  return days;
}

// Without its list a window is open less, never more: the loop goes on, and says what is missing.
Service::WindowNow Service::window_now(const Project& project) {
  WindowNow now{project.retrain.window, {}};
  const auto& region = now.window.region;
  if (region.empty()) return now;
  auto days = holidays_of(region);
  if (!days) {
    now.note = "no holidays are known: " + days.error().message;
    return now;
  }
  now.window.holidays = *std::move(days);
  const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(env_.clock.now()));
  if (now.window.holidays.back() < today)
    now.note = std::format("{} ends on {:%F}: no holiday is left in it", flow::holidays_file(region),
                           now.window.holidays.back());
  return now;
}

Result<RetrainDecision> Service::look_at_rules() {
  auto project = this->project();
  if (!project) return RetrainDecision{};
  RetrainSnapshot snapshot;
  RetrainPolicy policy;
  snapshot.now = env_.clock.now();
  policy.rules = project->retrain.when;
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto version, data::newest_usable_head(reader, project->model.target.source));
    if (version) {
      snapshot.dataset_version = version->number;
      snapshot.dataset_rows = version->rows;
    }
    label::LabelFilter filter;
    filter.origins.clear();
    for (const auto& name : project->labels.trust) {
      TRY(auto origin, label::parse_origin(name));
      filter.origins.push_back(origin);
    }
    TRY(snapshot.labels, label::count(reader, project->name, filter));
    snapshot.model_digest = model_digest(*project).hex();
    TRY(auto last, newest_training(reader));
    if (last) {
      snapshot.last = LastTraining{last->dataset_version, last->dataset_rows, last->labels_usable,
                                   last->model_digest,    last->started,      false};
    }
    TRY(auto runs, pipelines_.list(reader, {.state = flow::RunState::running, .max = 1}));
    snapshot.running = !runs.empty();
    TRY(auto live, get_live(reader, project->name));
    TRY(auto current, registry::alias(reader, project->name, registry::current_alias));
    if (live && current) {
      TRY(auto result, parse_job<LiveResult>(live->result));
      for (const auto& line : result.versions) {
        if (line.version == std::format("{}:{}", project->name, current->version) && line.value)
          snapshot.live[line.metric] = *line.value;
      }
    }
    return {};
  }));
  TRY(auto zone, flow::Zone::find(project->timezone));
  if (project->retrain.schedule && snapshot.last) {
    policy.schedule_text = project->retrain.schedule->text;
    policy.schedule_due = flow::next_fire(*project->retrain.schedule, snapshot.last->started, zone);
  }
  flow::QuietHours quiet;
  if (project->retrain.window.kind == flow::Window::Kind::quietest) {
    TRY(quiet, quiet_hours());
  }
  const auto window = window_now(*project);
  auto start = flow::may_start(window.window, snapshot.now, zone, quiet);
  snapshot.window_open = start.yes;
  snapshot.window_reason = start.why;
  auto decision = decide_retrain(policy, snapshot);
  if (!window.note.empty()) decision.waiting.push_back(window.note);
  if (!decision.start) return decision;
  auto run = start_training(decision.rule, decision.cause, {});
  if (!run) {
    decision.start = false;
    decision.waiting.push_back(run.error().message);
  }
  return decision;
}

}  // namespace millrace::loop
