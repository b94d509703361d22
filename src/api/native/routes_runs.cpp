// Trainings, their runs and jobs.
#include <algorithm>
#include <format>

#include "api/native/routes_internal.hpp"
#include "base/fs.hpp"

namespace millrace::api {

namespace {

// Lines of a run's output as they are written, until its job is over.
class FollowJob final : public net::Follower {
 public:
  FollowJob(Context& context, std::string job) : context_(context), job_(std::move(job)) {}
  Result<std::optional<std::string>> next() override {
    if (over_) return std::nullopt;
    TRY(auto job, context_.service.jobs().find(job_));
    auto line = render(to_wire(job)) + "\n";
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
    return to_wire(run, metrics, events);
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
    if (run->output_path.empty()) return net::text_response("");
    auto text = read_file(c.service.env().fs, join_path(c.service.config().paths.data_dir, run->output_path));
    return text ? net::text_response(*std::move(text)) : net::text_response("");
  });
  server.pooled("POST", "/api/v1/runs/{run}/cancel", [&c](const Request& r) {
    auto done = c.service.cancel_run(r.path_parameter("run"), person(r));
    return done ? net::json_response("{}") : net::error_response(done.error());
  });
  server.pooled("GET", "/api/v1/jobs/{job}", [&c](const Request& r) {
    auto job = c.service.jobs().find(r.path_parameter("job"));
    return job ? net::json_response(render(to_wire(*job))) : net::error_response(job.error());
  });
  server.follow("GET", "/api/v1/jobs/{job}/follow", [&c](const Request& r) -> Result<std::unique_ptr<net::Follower>> {
    TRY(auto job, c.service.jobs().find(r.path_parameter("job")));
    return std::make_unique<FollowJob>(c, job.id);
  });
}

}  // namespace millrace::api
