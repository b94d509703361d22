// Model versions and aliases.
#include <format>

#include "api/native/routes_internal.hpp"

namespace millrace::api {

namespace {

// The newest live quality by version, "churn:3".
Result<std::map<std::string, std::vector<LiveQuality>>> live_of(meta::Reader& reader, const std::string& model) {
  std::map<std::string, std::vector<LiveQuality>> out;
  TRY(auto live, loop::get_live(reader, model));
  if (!live) return out;
  TRY(auto result, loop::parse_job<loop::LiveResult>(live->result));
  for (const auto& line : result.versions) {
    out[line.version].push_back({line.metric, line.value, line.low, line.high, line.predictions, line.labelled,
                                 line.waiting, line.why_undefined});
  }
  return out;
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
    TRY(auto live, live_of(reader, name));
    for (const auto& version : versions) {
      TRY(auto wire, to_wire(version, false));
      wire.live = live[std::format("{}:{}", name, version.number)];
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

}  // namespace

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
      TRY(auto live, live_of(reader, version.model));
      wire.live = live[std::format("{}:{}", version.model, number)];
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
    auto count = query_number(r, "count", 0, 1000);
    if (!count) return net::error_response(count.error());
    return answer(
        label_queue_of(c, r.path_parameter("model"), r.query("count") ? std::optional(*count) : std::nullopt));
  });
  server.pooled("GET", "/api/v1/predictions/{prediction}",
                [&c](const Request& r) { return answer(why_of(c, r.path_parameter("prediction"))); });
}

}  // namespace millrace::api
