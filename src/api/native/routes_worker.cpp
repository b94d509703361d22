// Jobs for workers in other processes: claim, sign of life, end.
#include <format>

#include "api/native/routes.hpp"
#include "api/native/wire.hpp"

namespace millrace::api {

void add_worker_routes(net::Server& server, Context& c) {
  using net::Request;
  auto lease_of = [](Context& context, const Request& r, std::int64_t token) -> Result<train::JobLease> {
    TRY(auto job, context.service.jobs().find(r.path_parameter("job")));
    train::JobLease lease;
    lease.job = job.id;
    lease.token = token;
    lease.kind = job.kind;
    lease.input = job.input;
    lease.worker = std::string(r.header("X-Millrace-Worker"));
    return lease;
  };
  server.pooled("POST", "/api/v1/jobs/claim", [&c](const Request& r) {
    auto claim = [&]() -> Result<ClaimAnswer> {
      TRY(auto asked, parse<ClaimRequest>(r.body));
      TRY(auto lease, c.service.claim(asked.worker, asked.kinds));
      ClaimAnswer out;
      if (!lease) return out;
      out.job = lease->job;
      out.token = lease->token;
      out.kind = lease->kind;
      out.input = lease->input;
      out.checkpoint = lease->checkpoint;
      out.attempt = lease->attempt;
      out.cpu = lease->cpu_cores;
      out.memory_bytes = lease->memory_bytes;
      out.seconds_max = std::chrono::duration<double>(lease->duration_max).count();
      return out;
    };
    auto done = claim();
    return done ? net::json_response(render(*done)) : net::error_response(done.error());
  });
  server.pooled("POST", "/api/v1/jobs/{job}/heartbeat", [&c, lease_of](const Request& r) {
    auto beat = [&]() -> Result<HeartbeatAnswer> {
      TRY(auto asked, parse<HeartbeatRequest>(r.body));
      TRY(auto lease, lease_of(c, r, asked.token));
      TRY(auto cancel, c.service.heartbeat(lease, {asked.progress, asked.checkpoint}));
      return HeartbeatAnswer{cancel};
    };
    auto done = beat();
    return done ? net::json_response(render(*done)) : net::error_response(done.error());
  });
  server.pooled("POST", "/api/v1/jobs/{job}/end",
                [&c, lease_of](const Request& r) {
                  auto end = [&]() -> Result<void> {
                    TRY(auto asked, parse<EndRequest>(r.body));
                    TRY(auto lease, lease_of(c, r, asked.token));
                    train::JobUsage usage;
                    usage.output_tail = asked.output;
                    usage.wall_seconds = asked.wall_seconds;
                    usage.cpu_seconds = asked.cpu_seconds;
                    usage.memory_bytes_peak = asked.memory_bytes_peak;
                    usage.memory_bytes_max = asked.memory_bytes_max;
                    usage.memory_from = asked.memory_from;
                    usage.limited_by = asked.limited_by;
                    if (asked.given_back) return c.service.give_back(lease, asked.checkpoint);
                    if (asked.cause.empty()) return c.service.complete(lease, asked.result, usage);
                    return c.service.fail(lease, {asked.cause, asked.message, asked.retry}, usage);
                  };
                  auto done = end();
                  return done ? net::json_response("{}") : net::error_response(done.error());
                },
                {.body_bytes_max = 256u << 20});
}

}  // namespace millrace::api
