// Status and the project file.
#include <algorithm>
#include <format>

#include "api/native/openapi.hpp"
#include "api/native/routes_internal.hpp"
#include "loop/notes.hpp"

namespace millrace::api {

namespace {

// Why a dataset version is not trained on: what its first failing check says.
Result<std::string> failed_data(meta::Reader& reader, const data::DatasetVersion& head) {
  TRY(const auto version, data::get_version(reader, head.dataset, head.number));
  const auto& checks = version.content.analysis.checks.results;
  const auto failing = std::ranges::find(checks, "error", &data::CheckResult::level);
  const auto why = failing == checks.end()
                       ? std::string()
                       : std::format(": data: column '{}', {}: {}", failing->column, failing->rule, failing->message);
  const auto name = std::format("{}@{}", head.dataset, head.number);
  const auto diff = head.number > 1 ? std::format(", millrace data diff {}@{} {}", head.dataset, head.number - 1, name)
                                    : std::string();
  return std::format("{} failed its checks and is not trained on{}; see: millrace data show {}{}", name, why, name,
                     diff);
}

// What the records say of the project's model and of its data, as of `at`; `now`: for whom ages are told.
Result<ModelStatus> recorded(meta::Reader& reader, const std::string& name, const std::string& source, TimePoint now,
                             TimePoint at) {
  ModelStatus model;
  model.name = name;
  TRY(auto current, registry::alias(reader, name, registry::current_alias, at));
  TRY(auto previous, registry::alias(reader, name, registry::previous_alias, at));
  if (current) {
    model.current = current->version;
    TRY(auto version, registry::get_version(reader, name, current->version, at));
    if (version.verdict == registry::VerdictState::overridden) {
      model.notes.push_back(std::format("{}:{} answers though it failed its gates ({}: {})", name, current->version,
                                        version.override_by, version.override_reason));
    }
    if (current->version > 0) {
      TRY(auto result, loop::parse_job<loop::EvaluateResult>(version.report));
      model.metric = result.primary;
      if (auto value = result.metrics.find(result.primary); value != result.metrics.end())
        model.test_value = value->second;
    }
  }
  if (previous) model.previous = previous->version;
  TRY(auto versions, registry::list_versions(reader, name, at, {.limit = 1}));
  if (!versions.empty() && versions.front().number > 0 && versions.front().verdict == registry::VerdictState::failed) {
    TRY(auto result, loop::parse_job<loop::EvaluateResult>(versions.front().report));
    model.notes.push_back(std::format("{}:{} was refused: {}; see: millrace models show {}:{}", name,
                                      versions.front().number, result.summary, name, versions.front().number));
  }
  TRY(auto live, loop::get_live(reader, name));
  if (live && live->at <= at && current) {
    TRY(auto result, loop::parse_job<loop::LiveResult>(live->result));
    model.labels_joined = result.labels_joined;
    for (const auto& line : result.versions) {
      if (line.version != std::format("{}:{}", name, current->version)) continue;
      if (!model.metric.empty() && line.metric != model.metric) continue;
      model.live_value = line.value;
      model.live_low = line.low;
      model.live_high = line.high;
      model.live_rows = line.labelled;
      model.labels_waiting = line.waiting;
      if (model.metric.empty()) model.metric = line.metric;
    }
  }
  TRY(auto data, data::head_at(reader, source, at));
  if (data) {
    model.data_age = age_text(now - data->created);
    if (data->state == data::VersionState::failed) {
      TRY(auto note, failed_data(reader, *data));
      model.notes.push_back(std::move(note));
    }
  }
  return model;
}

// What stood at a moment: the project file in use, aliases, verdicts, data. Nothing of what runs or waits.
Result<Status> status_then(Context& c, TimePoint at) {
  Status status;
  status.version = c.version;
  status.data_dir = c.service.config().paths.data_dir;
  status.at = format_time(at);
  TRY_VOID(c.service.store().read([&](meta::Reader& reader) -> Result<void> {
    TRY(auto stored, loop::project_at(reader, at));
    if (!stored) return {};
    status.project = stored->name;
    status.project_file = {stored->number, format_time(stored->applied), stored->by, stored->text};
    TRY(auto project, loop::parse_project(stored->text));
    TRY(auto model, recorded(reader, stored->name, project.model.target.source, at, at));
    status.models.push_back(std::move(model));
    return {};
  }));
  return status;
}

Result<Status> status_of(Context& c) {
  Status status;
  status.version = c.version;
  status.data_dir = c.service.config().paths.data_dir;
  status.started = format_time(c.started);
  auto project = c.service.project();
  status.ready = false;
  if (!project) return status;
  status.project = project->name;
  ModelStatus model;
  auto now = c.service.env().clock.now();
  TRY_VOID(c.service.store().read([&](meta::Reader& reader) -> Result<void> {
    TRY(model, recorded(reader, project->name, project->model.target.source, now, registry::as_of_now));
    TRY(auto unread, c.service.failed_readings(reader));
    for (auto& line : unread) model.notes.push_back(std::move(line));
    TRY(auto runs, track::list_runs(reader, project->name, 1, 0));
    if (!runs.empty() && runs.front().state == track::RunState::failed) {
      const auto fault = fault_of(runs.front().failure);
      const auto why = !fault ? runs.front().failure
                              : std::format("{}: {}{}{}", fault->cause, fault->what,
                                            fault->where.empty() ? "" : "; at " + fault->where,
                                            fault->next.empty() ? "" : "; next: " + fault->next);
      model.notes.push_back(
          std::format("run {} failed: {}; see: millrace runs show {}", runs.front().id, why, runs.front().id));
    }
    constexpr auto unclaimed_for = std::chrono::seconds(15);
    bool idle = false;
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
        idle =
            idle || (state == flow::JobState::queued && now - std::max(job.queued_at, job.run_after) > unclaimed_for);
      }
    }
    if (idle && status.running.empty()) {
      status.waiting.push_back(
          std::format("nobody works on these: start a worker with millrace worker --server-data {}", status.data_dir));
    }
    return {};
  }));
  for (const auto& state : c.predictor.states()) {
    if (state.name != project->name) continue;
    model.loaded = state.serving;
    model.requests = static_cast<std::int64_t>(state.requests);
    if (!state.error.empty()) model.notes.push_back(state.error);
    // Whoever looks an hour later must know too that lines are missing.
    constexpr auto told_for = std::chrono::hours(24);
    if (const auto missed = c.predictor.unlogged(); missed && (missed->lasts || now - missed->at < told_for)) {
      model.notes.push_back(std::format("{} row{} answered without a line in the prediction log, {} {}: {}",
                                        state.not_logged, state.not_logged == 1 ? "" : "s",
                                        missed->lasts ? "still so at" : "last at", format_time(missed->at),
                                        missed->why));
    }
    // A few are a matter of course; a share of them means that the world has changed.
    constexpr std::uint64_t one_in = 50;
    if (state.unseen * one_in > state.rows) {
      model.notes.push_back(
          std::format("{} of {} rows came with a category that training had not seen", state.unseen, state.rows));
    }
  }
  if (auto why = c.service.roll_waiting(); !why.empty()) status.waiting.push_back(why);
  for (const auto& trouble : c.controller.troubles()) model.notes.push_back(trouble);
  for (const auto& waiting : c.controller.waiting())
    model.next_retrain += (model.next_retrain.empty() ? "" : "; ") + waiting;
  status.ready = c.predictor.ready() && model.loaded.has_value();
  model.light = !model.loaded ? "red" : model.notes.empty() ? "green" : "yellow";
  status.models.push_back(std::move(model));
  return status;
}

}  // namespace

void add_project_routes(net::Server& server, Context& c) {
  server.pooled("GET", "/api/v1/status", [&c](const Request& r) {
    auto at = moment_of(c, r);
    if (!at) return net::error_response(at.error());
    return answer(*at == registry::as_of_now ? status_of(c) : status_then(c, *at));
  });
  server.pooled("POST", "/api/v1/project", [&c](const Request& r) {
    auto apply = [&]() -> Result<ApplyAnswer> {
      TRY(auto asked, parse<ApplyRequest>(r.body));
      TRY(auto applied, c.service.apply(asked.text, "", asked.dry_run, person(r)));
      ApplyAnswer out{applied.project.name, applied.project.number, applied.changed, {}, applied.notes};
      for (const auto& change : applied.changes)
        out.changes.push_back(
            {change.path, change.before, change.after, std::string(loop::effect_name(change.effect))});
      return out;
    };
    return answer(apply());
  });
  server.pooled("GET", "/api/v1/project", [&c](const Request& r) {
    auto at = moment_of(c, r);
    if (!at) return net::error_response(at.error());
    if (*at != registry::as_of_now) {
      auto then = c.service.store().read([&](meta::Reader& reader) -> Result<std::string> {
        TRY(auto stored, loop::project_at(reader, *at));
        if (!stored) return fail(Code::not_found, "api.no_project", "there was no project file then");
        TRY(auto parsed, loop::parse_project(stored->text));
        return loop::render_resolved(parsed);
      });
      return then ? net::text_response(*std::move(then)) : net::error_response(then.error());
    }
    auto project = c.service.project();
    if (!project)
      return net::error_response({Code::not_found, "api.no_project", "no project file is applied yet: millrace apply"});
    return net::text_response(loop::render_resolved(*project));
  });
  server.pooled("GET", "/api/v1/loop", [&c](const Request&) {
    auto project = c.service.project();
    if (!project) return answer(Result<LoopAnswer>(LoopAnswer{}));
    auto quiet = c.service.quiet_hours();
    return quiet ? answer(Result<LoopAnswer>(loop_of(*project, *quiet))) : net::error_response(quiet.error());
  });
  server.pooled("GET", "/api/v1/openapi.json", [&c](const Request&) { return net::json_response(openapi(c.version)); });
  server.fast("POST", "/api/v1/shutdown", [&c](const Request&) {
    c.shut_down();
    return net::json_response("{}", 202);
  });
}

}  // namespace millrace::api
