// Model versions and aliases.
#include <format>

#include "api/native/diff.hpp"
#include "api/native/routes_internal.hpp"
#include "model/export.hpp"

namespace millrace::api {

namespace {

// The newest live quality by version, "churn:3".
Result<std::map<std::string, std::vector<LiveQuality>>> live_of(meta::Reader& reader, const std::string& model,
                                                                TimePoint at) {
  std::map<std::string, std::vector<LiveQuality>> out;
  TRY(auto live, loop::get_live(reader, model));
  if (!live || live->at > at) return out;
  TRY(auto result, loop::parse_job<loop::LiveResult>(live->result));
  for (const auto& line : result.versions) {
    out[line.version].push_back({line.metric, line.value, line.low, line.high, line.predictions, line.labelled,
                                 line.waiting, line.why_undefined});
  }
  return out;
}

constexpr Duration kFleetPatience = std::chrono::seconds(1);
constexpr registry::Page kListed{.limit = 20};  // of each model, in the list of all

Result<registry::Page> page_of(const Request& r) {
  registry::Page page;
  TRY(page.limit, query_number(r, "limit", 100, 1000));
  TRY(page.offset, query_number(r, "offset", 0, std::int64_t{1} << 40));
  return page;
}

Result<Model> model_of(Context& c, const std::string& name, bool whole, const registry::Page& page,
                       TimePoint at = registry::as_of_now) {
  return c.service.store().read([&](meta::Reader& reader) -> Result<Model> {
    Model model;
    model.name = name;
    TRY(auto versions, registry::list_versions(reader, name, at, page));
    TRY(model.version_count, registry::count_versions(reader, name, at));
    if (model.version_count == 0) {
      TRY(auto missing, registry::get_version(reader, name, 0, at));  // says what there is
      (void)missing;
    }
    TRY(auto current, registry::alias(reader, name, registry::current_alias, at));
    TRY(auto previous, registry::alias(reader, name, registry::previous_alias, at));
    if (current) model.current = current->version;
    if (previous) model.previous = previous->version;
    TRY(auto live, live_of(reader, name, at));
    for (const auto& version : versions) {
      TRY(auto wire, to_wire(version, false));
      wire.live = live[std::format("{}:{}", name, version.number)];
      if (model.current == version.number) wire.aliases.emplace_back(registry::current_alias);
      if (model.previous == version.number) wire.aliases.emplace_back(registry::previous_alias);
      model.versions.push_back(std::move(wire));
    }
    if (whole) {
      TRY(auto moves, registry::alias_history(reader, name, at, page));
      for (const auto& move : moves) model.aliases.push_back(to_wire(move));
    }
    return model;
  });
}

Result<ModelVersion> version_of(meta::Reader& reader, const std::string& model, std::int64_t number,
                                TimePoint at = registry::as_of_now) {
  TRY(auto version, registry::get_version(reader, model, number, at));
  TRY(auto wire, to_wire(version, true));
  TRY(auto live, live_of(reader, version.model, at));
  wire.live = live[std::format("{}:{}", version.model, number)];
  for (auto name : {registry::current_alias, registry::previous_alias}) {
    TRY(auto move, registry::alias(reader, version.model, name, at));
    if (move && move->version == number) wire.aliases.emplace_back(name);
  }
  return wire;
}

// The archive itself, or the engine's file out of it.
Result<Response> export_of(Context& c, const Request& r) {
  TRY(auto number, number_of(r.path_parameter("version"), "version"));
  TRY(auto version, c.service.store().read([&](meta::Reader& reader) {
    return registry::get_version(reader, r.path_parameter("model"), number);
  }));
  if (!version.bytes_kept) {
    return fail(Code::failed_precondition, "registry.bytes_gone",
                std::format("{}:{} has no file any more ([retention] models)", version.model, number));
  }
  TRY(auto digest, Digest::parse(version.artifact));
  auto format = r.query("format").value_or("archive");
  Response response;
  response.content_type = "application/octet-stream";
  if (format == "archive") {
    TRY(auto local, c.service.blobs().local_file(digest));
    if (local) {
      response.file = net::FileBody{local->path, local->offset, local->size};
      return response;
    }
  }
  TRY(auto bytes, c.service.blobs().read(digest, std::uint64_t{1} << 32));
  response.body = std::move(bytes);
  if (format != "archive") {
    TRY(response.body, model::export_model(response.body, format, {}));
  }
  return response;
}

// Of the version that answers.
Result<ModelExamples> examples_of(Context& c, const std::string& model) {
  TRY(const auto held, c.predictor.hold(model, std::nullopt));
  const auto& manifest = held.model().manifest();
  ModelExamples out{model, held.version(), {}, {}};
  for (const auto& input : manifest.inputs)
    out.inputs.push_back({input.name, std::string(table::type_name(input.type))});
  for (const auto& row : manifest.golden) out.rows.push_back(row.inputs);
  return out;
}

Result<MoveAnswer> move(Context& c, const std::string& model, const std::function<Result<registry::Promotion>()>& act) {
  auto began = c.service.env().clock.steady();
  TRY(auto done, act());
  if (c.fleet) (void)c.fleet->look();  // predictors hear of it while this process loads; the controller looks again
  TRY_VOID(c.predictor.reconcile());   // here and now: the caller's answer means that the version answers
  auto took = std::chrono::duration<double, std::milli>(c.service.env().clock.steady() - began).count();
  for (const auto& state : c.predictor.states()) {
    if (state.name == model && state.serving != done.current) {
      return fail(Code::unavailable, "api.not_serving",
                  std::format("{}:{} is current now but does not answer yet: {}; the version before goes on answering",
                              model, done.current, state.error));
    }
  }
  MoveAnswer out{model, done.current, done.previous, done.changed, took, {}};
  if (c.fleet) out.not_reached = c.fleet->wait(kFleetPatience);
  return out;
}

}  // namespace

void add_model_routes(net::Server& server, Context& c) {
  server.pooled("GET", "/api/v1/models", [&c](const Request&) {
    auto list = [&]() -> Result<ModelList> {
      ModelList out;
      TRY(auto names, c.service.store().read([](meta::Reader& reader) { return registry::list_models(reader); }));
      for (const auto& name : names) {
        TRY(auto model, model_of(c, name, false, kListed));
        out.models.push_back(std::move(model));
      }
      return out;
    };
    return answer(list());
  });
  server.pooled("GET", "/api/v1/models/{model}", [&c](const Request& r) {
    auto show = [&]() -> Result<Model> {
      TRY(const auto at, moment_of(c, r));
      TRY(const auto page, page_of(r));
      return model_of(c, r.path_parameter("model"), true, page, at);
    };
    return answer(show());
  });
  server.pooled("GET", "/api/v1/models/{model}/examples",
                [&c](const Request& r) { return answer(examples_of(c, r.path_parameter("model"))); });
  server.pooled("GET", "/api/v1/models/{model}/versions/{version}", [&c](const Request& r) {
    auto at = moment_of(c, r);
    if (!at) return net::error_response(at.error());
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<ModelVersion> {
      TRY(auto number, number_of(r.path_parameter("version"), "version"));
      return version_of(reader, r.path_parameter("model"), number, *at);
    }));
  });
  server.pooled("GET", "/api/v1/models/{model}/versions/{version}/diff", [&c](const Request& r) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<Difference> {
      TRY(auto number, number_of(r.path_parameter("version"), "version"));
      TRY(auto one, version_of(reader, r.path_parameter("model"), number));
      auto with = r.query("with");
      if (!with)
        return fail(Code::invalid_argument, "api.bad_query",
                    "name the other version: .../diff?with=NUMBER, or with=MODEL:NUMBER");
      TRY(auto name, registry::parse_version_name(with->find(':') == std::string_view::npos
                                                      ? std::format("{}:{}", r.path_parameter("model"), *with)
                                                      : std::string(*with)));
      TRY(auto other, version_of(reader, name.model, name.number.value_or(0)));
      return diff(one, other);
    }));
  });
  server.pooled("GET", "/api/v1/models/{model}/versions/{version}/export", [&c](const Request& r) {
    auto done = export_of(c, r);
    return done ? *std::move(done) : net::error_response(done.error());
  });
  server.upload(
      "POST", "/api/v1/models/{model}/import", [&c](const Request& r) -> Result<std::unique_ptr<net::UploadSink>> {
        TRY(auto writer, c.service.blobs().create());
        auto prove = [&c, model = r.path_parameter("model"), name = std::string(r.query("name").value_or("upload")),
                      by = person(r)](const Digest& body) -> Result<Response> {
          TRY(auto run, c.service.import_model(model, body, name, by));
          return net::json_response(render(JobAnswer{"", run}), 202);
        };
        return std::make_unique<UploadThen>(std::move(writer), std::move(prove));
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
  server.pooled("POST", "/api/v1/gc", [&c](const Request& r) {
    auto collect = [&]() -> Result<GcAnswer> {
      TRY(auto asked, parse<GcRequest>(r.body));
      TRY(auto report, c.service.collect_garbage(asked.dry_run));
      return to_wire(report);
    };
    return answer(collect());
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
