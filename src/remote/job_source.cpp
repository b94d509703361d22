#include "remote/job_source.hpp"

namespace millrace::remote {

RemoteJobSource::RemoteJobSource(Env& env, std::string url, Secret token, HttpClientConfig http)
    : client_(env, std::move(url), std::move(token), std::move(http)) {}

Result<std::string> RemoteJobSource::post(const std::string& path, std::string body, const std::string& worker) {
  return client_.send(
      {.method = "POST", .path = path, .body = std::move(body), .headers = {{"X-Millrace-Worker", worker}}});
}

Result<std::optional<train::JobLease>> RemoteJobSource::claim(const std::string& worker,
                                                              const std::vector<std::string>& kinds) {
  TRY(auto body, post("/api/v1/jobs/claim", api::render(api::ClaimRequest{worker, kinds}), worker));
  TRY(auto answer, api::parse<api::ClaimAnswer>(body));
  if (!answer.job) return std::nullopt;
  train::JobLease lease;
  lease.worker = worker;
  lease.job = *answer.job;
  lease.token = answer.token;
  lease.kind = answer.kind;
  lease.input = answer.input;
  lease.checkpoint = answer.checkpoint;
  lease.attempt = answer.attempt;
  lease.cpu_cores = answer.cpu;
  lease.memory_bytes = answer.memory_bytes;
  lease.duration_max = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(answer.seconds_max));
  return lease;
}

Result<bool> RemoteJobSource::heartbeat(const train::JobLease& lease, const train::JobProgress& progress) {
  api::HeartbeatRequest request{lease.token, progress.lines, progress.checkpoint};
  TRY(auto body, post("/api/v1/jobs/" + lease.job + "/heartbeat", api::render(request), lease.worker));
  TRY(auto answer, api::parse<api::HeartbeatAnswer>(body));
  return answer.cancel;
}

Result<void> RemoteJobSource::end(const train::JobLease& lease, api::EndRequest request, const train::JobUsage& usage) {
  request.token = lease.token;
  request.wall_seconds = usage.wall_seconds;
  request.cpu_seconds = usage.cpu_seconds;
  request.memory_bytes_peak = usage.memory_bytes_peak;
  request.memory_bytes_max = usage.memory_bytes_max;
  request.memory_from = usage.memory_from;
  request.limited_by = usage.limited_by;
  request.output = usage.output_tail;
  TRY(auto body, post("/api/v1/jobs/" + lease.job + "/end", api::render(request), lease.worker));
  (void)body;
  return {};
}

Result<void> RemoteJobSource::complete(const train::JobLease& lease, const std::string& result,
                                       const train::JobUsage& usage) {
  api::EndRequest request;
  request.result = result;
  return end(lease, std::move(request), usage);
}

Result<void> RemoteJobSource::fail(const train::JobLease& lease, const train::JobFailure& failure,
                                   const train::JobUsage& usage) {
  api::EndRequest request;
  request.cause = failure.cause;
  request.message = failure.message;
  request.retry = failure.retry;
  return end(lease, std::move(request), usage);
}

Result<void> RemoteJobSource::give_back(const train::JobLease& lease, const std::string& checkpoint) {
  api::EndRequest request;
  request.given_back = true;
  request.checkpoint = checkpoint;
  return end(lease, std::move(request), {});
}

}  // namespace millrace::remote
