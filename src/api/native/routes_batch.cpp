// A model version's answers for whole tables.
#include "api/native/routes_internal.hpp"

namespace millrace::api {

namespace {

Result<BatchRun> batch_run_to_wire(const loop::BatchRun& from, const std::optional<flow::Job>& job) {
  BatchRun to;
  to.job = from.job;
  to.state = from.written           ? "done"
             : !from.result.empty() ? "writing"
             : job                  ? std::string(flow::to_text(job->state))
                                    : "failed";
  to.cause = from.cause;
  if (from.due_at) to.due = format_time(*from.due_at);
  to.begun = format_time(from.begun);
  to.model = from.model;
  to.out = from.out;
  if (from.written) to.written = format_time(*from.written);
  to.message = from.trouble;
  if (to.message.empty() && job && job->failure && job->state != flow::JobState::done) {
    to.message = job->failure->message;
    if (!flow::is_over(job->state)) to.message = "tried again after: " + to.message;
  }
  if (!from.result.empty()) {
    TRY(to.result, parse<BatchAnswer>(from.result));
  }
  return to;
}

}  // namespace

void add_batch_routes(net::Server& server, Context& c) {
  const std::string path = "/api/v1/models/{model}/versions/{version}/batch";
  server.pooled("POST", path, [&c](const Request& r) {
    auto start = [&]() -> Result<JobAnswer> {
      TRY(const auto number, number_of(r.path_parameter("version"), "version"));
      TRY(const auto asked, parse<BatchRequest>(r.body));
      TRY(auto job, c.service.batch(r.path_parameter("model"), number, asked.dataset, asked.version, asked.format));
      return JobAnswer{job, ""};
    };
    return answer(start(), 202);
  });
  server.pooled("GET", "/api/v1/batches", [&c](const Request&) {
    return answer(c.service.store().read([&](meta::Reader& reader) -> Result<BatchList> {
      TRY(const auto states, c.service.batches(reader));
      BatchList out;
      for (const auto& state : states) {
        auto& to = out.batches.emplace_back();
        to.name = state.config.name;
        to.model = state.config.model;
        to.schedule = state.config.schedule ? state.config.schedule->text : "";
        to.in = state.config.in;
        to.rows = state.config.rows;
        to.out = state.config.out;
        if (state.next) to.next = format_time(*state.next);
        to.waits = state.waits;
        for (const auto& [run, job] : state.runs) {
          TRY(auto one, batch_run_to_wire(run, job));
          to.runs.push_back(std::move(one));
        }
      }
      return out;
    }));
  });
  server.pooled("POST", "/api/v1/batches/{batch}/run", [&c](const Request& r) {
    const auto start = [&]() -> Result<JobAnswer> {
      TRY(auto job, c.service.run_batch_now(r.path_parameter("batch"), person(r)));
      return JobAnswer{job, ""};
    };
    return answer(start(), 202);
  });
  server.upload("POST", path + "/upload", [&c](const Request& r) -> Result<std::unique_ptr<net::UploadSink>> {
    TRY(const auto number, number_of(r.path_parameter("version"), "version"));
    const std::string model = r.path_parameter("model");
    // Before the file is taken for nothing.
    TRY(const auto version,
        c.service.store().read([&](meta::Reader& reader) { return registry::get_version(reader, model, number); }));
    (void)version;
    TRY(auto writer, c.service.blobs().create());
    auto start = [&c, model, number, name = std::string(r.query("name").value_or("upload")),
                  format = std::string(r.query("format").value_or("parquet"))](const Digest& body) -> Result<Response> {
      TRY(auto job, c.service.batch(model, number, loop::Service::BatchFile{body, name}, format));
      return net::json_response(render(JobAnswer{job, ""}), 202);
    };
    return std::make_unique<UploadThen>(std::move(writer), std::move(start));
  });
}

}  // namespace millrace::api
