#include "api/native/routes.hpp"

#include <algorithm>
#include <charconv>
#include <format>

#include "api/native/map.hpp"
#include "api/native/openapi.hpp"
#include "base/fs.hpp"
#include "data/diff.hpp"

namespace millrace::api {

namespace {

using net::Request;
using net::Response;

template <class T>
Response answer(const Result<T>& value, int status = 200) {
  if (!value) return net::error_response(value.error());
  return net::json_response(render(*value), status);
}

Result<std::int64_t> number_of(std::string_view text, std::string_view what) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return fail(Code::invalid_argument, "api.bad_number", std::format("{} '{}' is not a whole number", what, text));
  }
  return value;
}

Result<std::int64_t> query_number(const Request& request, std::string_view name, std::int64_t fallback,
                                  std::int64_t max) {
  auto text = request.query(name);
  if (!text) return fallback;
  TRY(auto value, number_of(*text, name));
  if (value > max) return fail(Code::out_of_range, "api.bad_number", std::format("{} is at most {}", name, max));
  return value;
}

std::string person(const Request& request) {
  auto name = request.header("X-Millrace-User");
  return name.empty() ? "api" : std::string(name);
}

// An upload into the blob store, then a job that reads it.
class UploadToSource final : public net::UploadSink {
 public:
  UploadToSource(Context& context, std::string source, std::string name, std::string by,
                 std::unique_ptr<blob::Writer> writer)
      : context_(context),
        source_(std::move(source)),
        name_(std::move(name)),
        by_(std::move(by)),
        writer_(std::move(writer)) {}
  Result<void> append(std::span<const std::byte> piece) override { return writer_->append(piece); }
  Result<Response> finish() override {
    TRY(auto blob, writer_->commit());
    TRY(auto job, context_.service.ingest(source_, blob.digest.hex(), name_, by_));
    return net::json_response(render(JobAnswer{job, ""}), 202);
  }
  void abort(const Error&) override { writer_.reset(); }

 private:
  Context& context_;
  std::string source_, name_, by_;
  std::unique_ptr<blob::Writer> writer_;
};

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

Result<Status> status_of(Context& c) {
  Status status;
  status.version = c.version;
  status.data_dir = c.service.config().paths.data_dir;
  status.started = format_time(c.started);
  auto project = c.service.project();
  status.ready = false;
  status.waiting = c.controller.waiting();
  if (!project) return status;
  status.project = project->name;
  ModelStatus model;
  model.name = project->name;
  auto now = c.service.env().clock.now();
  TRY_VOID(c.service.store().read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto current, registry::alias(reader, project->name, registry::current_alias));
    TRY(auto previous, registry::alias(reader, project->name, registry::previous_alias));
    if (current) {
      model.current = current->version;
      TRY(auto version, registry::get_version(reader, project->name, current->version));
      if (current->version > 0) {
        TRY(auto result, loop::parse_job<loop::EvaluateResult>(version.report));
        model.metric = result.primary;
        if (auto at = result.metrics.find(result.primary); at != result.metrics.end()) model.test_value = at->second;
      }
    }
    if (previous) model.previous = previous->version;
    TRY(auto versions, registry::list_versions(reader, project->name));
    if (!versions.empty() && versions.front().number > 0 &&
        versions.front().verdict == registry::VerdictState::failed) {
      TRY(auto result, loop::parse_job<loop::EvaluateResult>(versions.front().report));
      model.notes.push_back(std::format("{}:{} was refused: {}; see: millrace models show {}:{}", project->name,
                                        versions.front().number, result.summary, project->name,
                                        versions.front().number));
    }
    TRY(auto live, loop::get_live(reader, project->name));
    if (live && current) {
      TRY(auto result, loop::parse_job<loop::LiveResult>(live->result));
      model.labels_joined = result.labels_joined;
      for (const auto& line : result.versions) {
        if (line.version != std::format("{}:{}", project->name, current->version)) continue;
        if (!model.metric.empty() && line.metric != model.metric) continue;
        model.live_value = line.value;
        model.live_low = line.low;
        model.live_high = line.high;
        model.live_rows = line.labelled;
        model.labels_waiting = line.waiting;
        if (model.metric.empty()) model.metric = line.metric;
      }
    }
    TRY(auto data, data::newest_version(reader, project->model.target.source));
    if (data) {
      model.data_age = age_text(now - data->created);
      if (data->state == data::VersionState::failed) {
        model.notes.push_back(
            std::format("{}@{} failed its checks and is not trained on; see: millrace data show {}@{}", data->dataset,
                        data->number, data->dataset, data->number));
      }
    }
    TRY(auto runs, track::list_runs(reader, project->name, 1, 0));
    if (!runs.empty() && runs.front().state == track::RunState::failed) {
      model.notes.push_back(std::format("run {} failed: {}; see: millrace runs logs {}", runs.front().id,
                                        runs.front().failure, runs.front().id));
    }
    for (auto state : {flow::JobState::running, flow::JobState::queued}) {
      TRY(auto jobs, c.service.jobs().list(reader, {.state = state, .max = 20}));
      for (const auto& job : jobs) {
        auto wire = to_wire(job);
        auto line = std::format("{} {} ({})", job.kind, job.key, job.cause);
        if (!wire.phase.empty())
          line += ": " + wire.phase + (wire.done >= 0 ? std::format(" {:.0f} %", wire.done * 100) : "");
        for (const auto& metric : wire.metrics) line += std::format(" {} {:.4g}", metric.name, metric.value);
        if (!wire.message.empty()) line += " - last attempt " + wire.message;
        (state == flow::JobState::running ? status.running : status.waiting).push_back(line);
      }
    }
    return {};
  }));
  for (const auto& state : c.predictor.states()) {
    if (state.name != project->name) continue;
    model.loaded = state.serving;
    model.requests = static_cast<std::int64_t>(state.requests);
    if (!state.error.empty()) model.notes.push_back(state.error);
    if (state.unseen > 0)
      model.notes.push_back(std::format("{} values of categories that training had not seen", state.unseen));
  }
  for (const auto& waiting : c.controller.waiting())
    model.next_retrain += (model.next_retrain.empty() ? "" : "; ") + waiting;
  status.ready = c.predictor.ready() && model.loaded.has_value();
  model.light = !model.loaded ? "red" : model.notes.empty() ? "green" : "yellow";
  status.models.push_back(std::move(model));
  return status;
}

Result<Run> run_of(Context& c, const std::string& id) {
  return c.service.store().read([&](meta::Reader& reader) -> Result<Run> {
    TRY(auto run, track::get_run(reader, id));
    TRY(auto metrics, track::metric_history(reader, run.id));
    std::vector<flow::JobEvent> events;
    TRY(auto jobs, c.service.jobs().list(reader, {.max = 200}));
    for (const auto& job : jobs) {
      if (job.input.find("\"run\":\"" + run.id + "\"") == std::string::npos) continue;
      TRY(auto history, c.service.jobs().history(reader, job.id));
      for (auto& event : history) event.what = job.kind + " " + event.what;
      events.insert(events.begin(), history.begin(), history.end());
    }
    return to_wire(run, metrics, events);
  });
}

Result<Model> model_of(Context& c, const std::string& name, bool whole) {
  return c.service.store().read([&](meta::Reader& reader) -> Result<Model> {
    Model model;
    model.name = name;
    TRY(auto versions, registry::list_versions(reader, name));
    if (versions.empty()) {
      TRY(auto missing, registry::get_version(reader, name, 0));  // says what there is
      (void)missing;
    }
    TRY(auto current, registry::alias(reader, name, registry::current_alias));
    TRY(auto previous, registry::alias(reader, name, registry::previous_alias));
    if (current) model.current = current->version;
    if (previous) model.previous = previous->version;
    for (const auto& version : versions) {
      TRY(auto wire, to_wire(version, false));
      if (model.current == version.number) wire.aliases.emplace_back(registry::current_alias);
      if (model.previous == version.number) wire.aliases.emplace_back(registry::previous_alias);
      model.versions.push_back(std::move(wire));
    }
    if (whole) {
      TRY(auto moves, registry::alias_history(reader, name));
      for (const auto& move : moves) model.aliases.push_back(to_wire(move));
    }
    return model;
  });
}

Result<MoveAnswer> move(Context& c, const std::string& model, const std::function<Result<registry::Promotion>()>& act) {
  auto began = c.service.env().clock.steady();
  TRY(auto done, act());
  TRY_VOID(c.predictor.reconcile());  // here and now: the caller's answer means that the version answers
  auto took = std::chrono::duration<double, std::milli>(c.service.env().clock.steady() - began).count();
  for (const auto& state : c.predictor.states()) {
    if (state.name == model && state.serving != done.current) {
      return fail(Code::unavailable, "api.not_serving",
                  std::format("{}:{} is current now but does not answer yet: {}; the version before goes on answering",
                              model, done.current, state.error));
    }
  }
  return MoveAnswer{model, done.current, done.previous, done.changed, took};
}

Response predict(Context& c, const Request& request, std::optional<std::int64_t> version) {
  auto type = request.header("Content-Type");
  serve::PredictRequest ask{request.path_parameter("model"), request.body,
                            type.starts_with("text/csv") ? serve::RowFormat::csv : serve::RowFormat::json, version};
  model::Problem problem;
  auto body = c.predictor.predict(ask, &problem);
  if (!body) {
    net::ErrorDetail detail;
    detail.field = problem.path;
    detail.expected = problem.expected;
    detail.got = problem.got;
    if (body.error().code == Code::unavailable) detail.retry_after_seconds = 1;
    return net::error_response(body.error(), detail);
  }
  return net::json_response(*std::move(body));
}

}  // namespace

void add_project_routes(net::Server& server, Context& c);
void add_data_routes(net::Server& server, Context& c);
void add_run_routes(net::Server& server, Context& c);
void add_model_routes(net::Server& server, Context& c);
void add_worker_routes(net::Server& server, Context& c);
Result<Why> why_of(Context& c, const std::string& prediction);
Result<LabelQueue> label_queue_of(Context& c, const std::string& model, std::int64_t count);

void add_routes(net::Server& server, Context& c) {
  net::RouteOptions open{.access = net::Access::open};
  server.fast("GET", "/healthz", [](const Request&) { return net::text_response("ok\n"); }, open);
  auto ready = [&](const Request&) {
    auto states = c.predictor.states();
    bool serves =
        std::any_of(states.begin(), states.end(), [](const auto& state) { return state.serving.has_value(); });
    bool yes = server.ready() && c.predictor.ready() && serves;
    return yes ? net::text_response("ready\n")
               : net::error_response({Code::unavailable, "api.not_ready", "no model answers yet; see: millrace status"},
                                     {.retry_after_seconds = 1});
  };
  server.fast("GET", "/readyz", ready, open);
  server.fast("GET", "/v2/health/live", [](const Request&) { return net::json_response("{\"live\":true}"); }, open);
  server.fast("GET", "/v2/health/ready", ready, open);
  net::RouteOptions rows{.body_bytes_max = 16u << 20};
  server.fast("POST", "/predict/{model}", [&c](const Request& r) { return predict(c, r, std::nullopt); }, rows);
  server.fast(
      "POST", "/predict/{model}/versions/{version}",
      [&c](const Request& r) {
        auto version = number_of(r.path_parameter("version"), "version");
        return version ? predict(c, r, *version) : net::error_response(version.error());
      },
      rows);
  server.pooled(
      "POST", "/labels/{model}",
      [&c](const Request& r) {
        auto labels = parse<std::vector<Label>>(r.body);
        if (!labels) return net::error_response(labels.error());
        auto intake = c.service.add_labels(r.path_parameter("model"), from_wire(*labels));
        if (!intake) return net::error_response(intake.error());
        return net::json_response(render(LabelsAnswer{intake->accepted, intake->duplicates}));
      },
      rows);
  add_project_routes(server, c);
  add_data_routes(server, c);
  add_run_routes(server, c);
  add_model_routes(server, c);
  add_worker_routes(server, c);
}

void add_project_routes(net::Server& server, Context& c) {
  server.pooled("GET", "/api/v1/status", [&c](const Request&) { return answer(status_of(c)); });
  server.pooled("POST", "/api/v1/project", [&c](const Request& r) {
    auto apply = [&]() -> Result<ApplyAnswer> {
      TRY(auto asked, parse<ApplyRequest>(r.body));
      TRY(auto applied, c.service.apply(asked.text, "", asked.dry_run, person(r)));
      ApplyAnswer out{applied.project.name, applied.project.number, applied.changed, {}};
      for (const auto& change : applied.changes)
        out.changes.push_back(
            {change.path, change.before, change.after, std::string(loop::effect_name(change.effect))});
      return out;
    };
    return answer(apply());
  });
  server.pooled("GET", "/api/v1/project", [&c](const Request&) {
    auto project = c.service.project();
    if (!project)
      return net::error_response({Code::not_found, "api.no_project", "no project file is applied yet: millrace apply"});
    return net::text_response(loop::render_resolved(*project));
  });
  server.pooled("GET", "/api/v1/loop", [&c](const Request&) {
    auto project = c.service.project();
    return project ? answer(Result<LoopAnswer>(loop_of(*project))) : answer(Result<LoopAnswer>(LoopAnswer{}));
  });
  server.pooled("GET", "/api/v1/openapi.json", [&c](const Request&) { return net::json_response(openapi(c.version)); });
  server.fast("POST", "/api/v1/shutdown", [&c](const Request&) {
    c.shut_down();
    return net::json_response("{}", 202);
  });
}

void add_data_routes(net::Server& server, Context& c) {
  auto list = [&c](const std::string& dataset) {
    return c.service.store().read([&](meta::Reader& reader) -> Result<DatasetList> {
      TRY(auto versions, data::list_versions(reader, dataset));
      DatasetList out;
      for (const auto& version : versions) out.versions.push_back(to_wire(version, false));
      return out;
    });
  };
  auto version_of = [](const Request& r) { return number_of(r.path_parameter("version"), "version"); };
  server.pooled("GET", "/api/v1/datasets", [list](const Request&) { return answer(list("")); });
  server.pooled("GET", "/api/v1/datasets/{dataset}",
                [list](const Request& r) { return answer(list(r.path_parameter("dataset"))); });
  server.pooled("GET", "/api/v1/datasets/{dataset}/versions/{version}", [&c, version_of](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<DatasetVersion> {
      TRY(auto number, version_of(r));
      TRY(auto version, data::get_version(reader, r.path_parameter("dataset"), number));
      return to_wire(version, true);
    }));
  });
  server.pooled("GET", "/api/v1/datasets/{dataset}/versions/{version}/diff", [&c, version_of](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<DiffAnswer> {
      TRY(auto number, version_of(r));
      TRY(auto other_number, query_number(r, "with", 0, std::int64_t{1} << 40));
      TRY(auto one, data::get_version(reader, r.path_parameter("dataset"), number));
      TRY(auto other, data::get_version(reader, r.path_parameter("dataset"), other_number));
      auto content = [](data::DatasetVersion& version) {
        return data::VersionContent{std::move(version.content.parts), std::move(version.content.schema),
                                    std::move(version.content.analysis)};
      };
      auto difference = data::diff(content(one), content(other));
      return DiffAnswer{difference.old_rows, difference.new_rows, difference.lines};
    }));
  });
  server.pooled("POST", "/api/v1/datasets/{dataset}/versions/{version}/accept", [&c, version_of](const Request& r) {
    auto accept = [&]() -> Result<DatasetVersion> {
      TRY(auto asked, parse<AcceptRequest>(r.body));
      TRY(auto number, version_of(r));
      TRY(auto version, c.service.store().write([&](meta::Tx& tx) {
        return data::accept(tx, r.path_parameter("dataset"), number, person(r), asked.reason,
                            c.service.env().clock.now());
      }));
      c.controller.wake();
      return to_wire(version, true);
    };
    return answer(accept());
  });
  server.pooled("POST", "/api/v1/datasets/{dataset}/versions/{version}/query", [&c, version_of](const Request& r) {
    auto query = [&]() -> Result<JobAnswer> {
      TRY(auto asked, parse<QueryRequest>(r.body));
      TRY(auto number, version_of(r));
      if (asked.rows_max < 1 || asked.rows_max > 10'000)
        return fail(Code::out_of_range, "api.bad_number", "rows_max is 1 to 10000");
      TRY(auto job, c.service.query(r.path_parameter("dataset"), number, asked.sql, asked.rows_max));
      return JobAnswer{job, ""};
    };
    return answer(query(), 202);
  });
  server.pooled("POST", "/api/v1/ingest", [&c](const Request& r) {
    auto take = [&]() -> Result<JobAnswer> {
      TRY(auto asked, parse<IngestRequest>(r.body));
      TRY(auto job, c.service.ingest(asked.source, "", "", person(r)));
      return JobAnswer{job, ""};
    };
    return answer(take(), 202);
  });
  server.upload("POST", "/api/v1/datasets/{dataset}/upload",
                [&c](const Request& r) -> Result<std::unique_ptr<net::UploadSink>> {
                  auto project = c.service.project();
                  if (!project || !project->source(r.path_parameter("dataset"))) {
                    return fail(Code::not_found, "loop.no_source",
                                std::format("the project has no source '{}'", r.path_parameter("dataset")));
                  }
                  TRY(auto writer, c.service.blobs().create());
                  return std::make_unique<UploadToSource>(c, r.path_parameter("dataset"),
                                                          std::string(r.query("name").value_or("upload")), person(r),
                                                          std::move(writer));
                });
  server.pooled("GET", "/api/v1/blobs/{digest}", [&c](const Request& r) -> Response {
    auto digest = Digest::parse(r.path_parameter("digest"));
    if (!digest) return net::error_response(digest.error());
    auto local = c.service.blobs().local_file(*digest);
    if (!local) return net::error_response(local.error());
    Response response;
    response.content_type = "application/octet-stream";
    response.file = net::FileBody{(*local)->path, (*local)->offset, (*local)->size};
    return response;
  });
}

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

void add_model_routes(net::Server& server, Context& c) {
  server.pooled("GET", "/api/v1/models", [&c](const Request&) {
    auto list = [&]() -> Result<ModelList> {
      ModelList out;
      TRY(auto names, c.service.store().read([](meta::Reader& reader) { return registry::list_models(reader); }));
      for (const auto& name : names) {
        TRY(auto model, model_of(c, name, false));
        out.models.push_back(std::move(model));
      }
      return out;
    };
    return answer(list());
  });
  server.pooled("GET", "/api/v1/models/{model}",
                [&c](const Request& r) { return answer(model_of(c, r.path_parameter("model"), true)); });
  server.pooled("GET", "/api/v1/models/{model}/versions/{version}", [&c](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<ModelVersion> {
      TRY(auto number, number_of(r.path_parameter("version"), "version"));
      TRY(auto version, registry::get_version(reader, r.path_parameter("model"), number));
      TRY(auto wire, to_wire(version, true));
      for (auto name : {registry::current_alias, registry::previous_alias}) {
        TRY(auto move, registry::alias(reader, version.model, name));
        if (move && move->version == number) wire.aliases.emplace_back(name);
      }
      return wire;
    }));
  });
  server.pooled("POST", "/api/v1/models/{model}/promote", [&c](const Request& r) {
    auto asked = parse<PromoteRequest>(r.body);
    if (!asked) return net::error_response(asked.error());
    return answer(move(c, r.path_parameter("model"), [&] {
      return c.service.promote(r.path_parameter("model"), asked->version, {person(r), asked->reason});
    }));
  });
  server.pooled("POST", "/api/v1/models/{model}/rollback", [&c](const Request& r) {
    auto asked = parse<AcceptRequest>(r.body);
    if (!asked) return net::error_response(asked.error());
    return answer(move(c, r.path_parameter("model"),
                       [&] { return c.service.rollback(r.path_parameter("model"), {person(r), asked->reason}); }));
  });
  server.pooled("POST", "/api/v1/models/{model}/versions/{version}/rebuild", [&c](const Request& r) {
    auto rebuild = [&]() -> Result<RebuildAnswer> {
      TRY(auto number, number_of(r.path_parameter("version"), "version"));
      TRY(auto job, c.service.rebuild(r.path_parameter("model"), number));
      return RebuildAnswer{job};
    };
    return answer(rebuild(), 202);
  });
  server.pooled("GET", "/api/v1/models/{model}/label-queue", [&c](const Request& r) {
    auto count = query_number(r, "count", 20, 1000);
    return count ? answer(label_queue_of(c, r.path_parameter("model"), *count)) : net::error_response(count.error());
  });
  server.pooled("GET", "/api/v1/predictions/{prediction}",
                [&c](const Request& r) { return answer(why_of(c, r.path_parameter("prediction"))); });
}

}  // namespace millrace::api
