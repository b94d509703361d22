// Trainings, their runs and jobs.
#include <cmath>
#include <format>

#include "api/native/diff.hpp"
#include "api/native/routes_internal.hpp"
#include "base/fs.hpp"
#include "train/job_files.hpp"

namespace millrace::api {

namespace {

// Lines of a run's output as they are written, until its job is over.
class FollowJob final : public net::Follower {
 public:
  FollowJob(Context& context, std::string job) : context_(context), job_(std::move(job)) {}
  Result<std::optional<std::string>> next() override {
    if (over_) return std::nullopt;
    TRY(auto job, context_.service.jobs().find(job_));
    auto line = render(to_wire(job, hidden_columns(context_))) + "\n";
    over_ = flow::is_over(job.state);
    if (line == last_) return std::string();
    last_ = line;
    return line;
  }

 private:
  Context& context_;
  std::string job_, last_;
  bool over_ = false;
};

// A line whenever what the run is doing has changed, until it is over.
class FollowRun final : public net::Follower {
 public:
  FollowRun(Context& context, std::string run) : context_(context), run_(std::move(run)) {}
  Result<std::optional<std::string>> next() override {
    if (over_) return std::nullopt;
    TRY(auto now, look());
    auto line = render(now) + "\n";
    if (line == last_) return std::string();
    last_ = line;
    return line;
  }

 private:
  Result<RunProgress> look() {
    RunProgress out;
    track::Run run;
    std::vector<flow::Job> jobs;
    TRY_VOID(context_.service.store().read([&](meta::Reader& reader) -> Result<void> {
      TRY(run, track::get_run(reader, run_));
      TRY(jobs, context_.service.jobs().list(reader, {.run_key = run.id}));
      TRY(auto training, loop::training_of(reader, run.id));
      if (training && rows_ == 0) {
        TRY(auto plan, loop::parse_plan(training->plan));
        if (!plan.train.data_digest.empty()) rows_ = training_rows(plan.train.rows);
      }
      return {};
    }));
    TRY(auto wire, to_wire(run, {}, {}));
    out.run = wire.id;
    out.state = wire.state;
    out.version = wire.version;
    out.verdict = wire.verdict;
    out.failure = wire.failure;
    over_ = run.ended.has_value();
    for (const auto& job : jobs) {
      if (over_ || flow::is_over(job.state)) continue;
      out.step = job.kind;
      auto state = to_wire(job);
      out.note = state.message;
      if (job.progress) {
        if (auto progress = train::parse_progress(*job.progress)) put(*progress, job, out);
      }
      break;
    }
    return out;
  }

  static double training_rows(const loop::RowSet& rows) {
    std::int64_t all = 0;
    for (const auto* parts : {&rows.parts, &rows.feedback}) {
      for (const auto& part : *parts) all += part.rows;
    }
    return static_cast<double>(all) * (1 - rows.split.test - rows.split.validation);
  }

  void put(const TaskProgress& progress, const flow::Job& job, RunProgress& out) {
    out.phase = progress.phase;
    out.done = progress.done;
    out.round = progress.step;
    for (const auto& [name, value] : progress.metrics) {
      if (name == "memory_bytes") out.memory_bytes = static_cast<std::int64_t>(value);
      if (name != "memory_bytes" && name != "rows_per_s") out.metrics.push_back({name, value});
    }
    if (!progress.note.empty()) out.note = progress.note;
    if (job.kind != loop::job_kind::train || progress.phase != "train") return;
    // Over the rounds since the look at which the speed was last told.
    auto now = context_.service.env().clock.steady();
    auto seconds = std::chrono::duration<double>(now - since_).count();
    if (since_ != SteadyPoint() && progress.step > round_ && seconds > 0)
      speed_ = rows_ * static_cast<double>(progress.step - round_) / seconds;
    if (progress.step != round_ || since_ == SteadyPoint()) {
      round_ = progress.step;
      since_ = now;
    }
    if (speed_ > 0) out.rows_per_second = std::round(speed_);
  }

  Context& context_;
  std::string run_, last_;
  bool over_ = false;
  double rows_ = 0, speed_ = 0;
  std::int64_t round_ = 0;
  SteadyPoint since_{};
};

// Keys of the project file that differ between what two runs were planned with.
Result<void> add_project_changes(meta::Reader& reader, const std::string& one, const std::string& other,
                                 Difference& to) {
  std::vector<loop::Project> projects;
  for (const auto& run : {one, other}) {
    TRY(auto training, loop::training_of(reader, run));
    if (!training) return {};
    TRY(auto plan, loop::parse_plan(training->plan));
    TRY(auto stored, loop::get_project(reader, plan.project_number));
    if (!stored) return {};
    TRY(auto project, loop::parse_project(stored->text));
    projects.push_back(std::move(project));
  }
  for (const auto& change : loop::diff_projects(projects[0], projects[1]))
    to.lines.push_back({"project", change.path, change.before, change.after});
  return {};
}

constexpr std::uint64_t logs_bytes_max = 4u << 20;

// What a run printed, from byte `from`; the last part of it when that is not said.
Result<std::string> logs_of(Context& c, const track::Run& run, std::optional<std::uint64_t> from) {
  if (run.output_path.empty()) return std::string();
  auto file = c.service.env().fs.open_read(join_path(c.service.config().paths.data_dir, run.output_path));
  if (!file) return std::string();  // nothing printed yet
  const auto size = (*file)->size();
  const auto begin = from ? std::min(*from, size) : size - std::min(size, logs_bytes_max);
  std::string text(std::min(size - begin, logs_bytes_max), '\0');
  TRY(const auto got, (*file)->read(begin, std::as_writable_bytes(std::span(text))));
  text.resize(got);
  return text;
}

class FollowLogs final : public net::Follower {
 public:
  FollowLogs(Context& context, std::string run) : context_(context), run_(std::move(run)) {}
  Result<std::optional<std::string>> next() override {
    if (over_) return std::nullopt;
    TRY(const auto run,
        context_.service.store().read([&](meta::Reader& reader) { return track::get_run(reader, run_); }));
    TRY(auto text, logs_of(context_, run, read_));
    read_ += text.size();
    over_ = run.ended && text.empty();
    return text;
  }

 private:
  Context& context_;
  std::string run_;
  std::uint64_t read_ = 0;
  bool over_ = false;
};

Result<Run> run_of(Context& c, const std::string& id) {
  return c.service.store().read([&](meta::Reader& reader) -> Result<Run> {
    TRY(auto run, track::get_run(reader, id));
    TRY(auto metrics, track::metric_history(reader, run.id));
    std::vector<flow::JobEvent> events;
    TRY(auto jobs, c.service.jobs().list(reader, {.run_key = run.id}));
    for (const auto& job : jobs) {
      TRY(auto history, c.service.jobs().history(reader, job.id));
      for (auto& event : history) event.what = job.kind + " " + event.what;
      events.insert(events.begin(), history.begin(), history.end());
    }
    TRY(const auto training, loop::training_of(reader, run.id));
    if (!training) return to_wire(run, metrics, events);
    TRY(const auto plan, loop::parse_plan(training->plan));
    TRY(auto wire, to_wire(run, metrics, events, &plan));
    for (auto& [name, value] : lineage_of(plan)) wire.inputs[name] = value;
    return wire;
  });
}

}  // namespace

void add_run_routes(net::Server& server, Context& c) {
  server.pooled("POST", "/api/v1/train", [&c](const Request& r) {
    auto train = [&]() -> Result<JobAnswer> {
      TRY(auto asked, parse<TrainRequest>(r.body));
      auto by = person(r);
      auto cause = "by hand: " + by + (asked.reason.empty() ? "" : ": " + asked.reason);
      TRY(auto run, c.service.start_training("by hand", cause, {asked.quick, asked.shuffle_target}));
      return JobAnswer{"", run};
    };
    return answer(train(), 202);
  });
  server.pooled("GET", "/api/v1/runs", [&c](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<RunList> {
      TRY(auto limit, query_number(r, "limit", 50, 1000));
      TRY(auto offset, query_number(r, "offset", 0, std::int64_t{1} << 31));
      auto project = c.service.project();
      RunList out;
      if (!project) return out;
      TRY(auto runs, track::list_runs(reader, project->name, static_cast<int>(limit), static_cast<int>(offset)));
      for (const auto& run : runs) {
        TRY(auto wire, to_wire(run, {}, {}));
        out.runs.push_back(std::move(wire));
      }
      return out;
    }));
  });
  server.pooled("GET", "/api/v1/runs/{run}",
                [&c](const Request& r) { return answer(run_of(c, r.path_parameter("run"))); });
  server.pooled("GET", "/api/v1/runs/{run}/metrics", [&c](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<MetricHistory> {
      TRY(auto run, track::get_run(reader, r.path_parameter("run")));
      TRY(auto points, track::metric_history(reader, run.id));
      MetricHistory out;
      for (const auto& point : points)
        out.metrics[point.name].push_back({point.step, point.value, format_time(point.time)});
      return out;
    }));
  });
  server.pooled("GET", "/api/v1/runs/{run}/logs", [&c](const Request& r) {
    auto run =
        c.service.store().read([&](meta::Reader& reader) { return track::get_run(reader, r.path_parameter("run")); });
    if (!run) return net::error_response(run.error());
    std::optional<std::uint64_t> from;
    if (r.query("from")) {
      auto asked = query_number(r, "from", 0, std::int64_t{1} << 50);
      if (!asked) return net::error_response(asked.error());
      from = static_cast<std::uint64_t>(*asked);
    }
    auto text = logs_of(c, *run, from);
    return text ? net::text_response(*std::move(text)) : net::error_response(text.error());
  });
  auto known = [&c](const Request& r) {
    return c.service.store().read(
        [&](meta::Reader& reader) { return track::get_run(reader, r.path_parameter("run")); });
  };
  server.follow("GET", "/api/v1/runs/{run}/follow",
                [&c, known](const Request& r) -> Result<std::unique_ptr<net::Follower>> {
                  TRY(auto run, known(r));
                  return std::make_unique<FollowRun>(c, run.id);
                });
  server.follow("GET", "/api/v1/runs/{run}/logs/follow",
                [&c, known](const Request& r) -> Result<std::unique_ptr<net::Follower>> {
                  TRY(auto run, known(r));
                  return std::make_unique<FollowLogs>(c, run.id);
                });
  server.pooled("POST", "/api/v1/runs/{run}/cancel", [&c](const Request& r) {
    auto done = c.service.cancel_run(r.path_parameter("run"), person(r));
    return done ? net::json_response("{}") : net::error_response(done.error());
  });
  auto again = [&c](const Request& r, bool resume) {
    auto start = [&]() -> Result<JobAnswer> {
      TRY(auto run, resume ? c.service.resume_run(r.path_parameter("run"), person(r))
                           : c.service.repeat_run(r.path_parameter("run"), person(r)));
      return JobAnswer{"", run};
    };
    return answer(start(), 202);
  };
  server.pooled("POST", "/api/v1/runs/{run}/resume", [again](const Request& r) { return again(r, true); });
  server.pooled("POST", "/api/v1/runs/{run}/repeat", [again](const Request& r) { return again(r, false); });
  server.pooled("GET", "/api/v1/runs/{run}/diff", [&c](const Request& r) {
    auto compare = [&]() -> Result<Difference> {
      auto with = r.query("with");
      if (!with) return fail(Code::invalid_argument, "api.bad_query", "name the other run: .../diff?with=RUN");
      TRY(auto one, run_of(c, r.path_parameter("run")));
      TRY(auto other, run_of(c, std::string(*with)));
      auto out = diff(one, other);
      TRY_VOID(c.service.store().read(
          [&](meta::Reader& reader) { return add_project_changes(reader, one.id, other.id, out); }));
      return out;
    };
    return answer(compare());
  });
  server.pooled("GET", "/api/v1/jobs/{job}", [&c](const Request& r) {
    auto job = c.service.jobs().find(r.path_parameter("job"));
    return job ? net::json_response(render(to_wire(*job, hidden_columns(c)))) : net::error_response(job.error());
  });
  server.follow("GET", "/api/v1/jobs/{job}/follow", [&c](const Request& r) -> Result<std::unique_ptr<net::Follower>> {
    TRY(auto job, c.service.jobs().find(r.path_parameter("job")));
    return std::make_unique<FollowJob>(c, job.id);
  });
}

}  // namespace millrace::api
