// A worker's jobs over the native API: train::JobSource for a process that is not the server.
#pragma once

#include <string>

#include "api/native/wire.hpp"
#include "base/env.hpp"
#include "base/log.hpp"
#include "remote/api_client.hpp"
#include "train/job_source.hpp"

namespace millrace::remote {

// Thread-safe. Errors of the server come back as it named them; one out of reach is unavailable `http.unreachable`.
class RemoteJobSource final : public train::JobSource {
 public:
  RemoteJobSource(Env& env, std::string url, Secret token, HttpClientConfig http = {.user_agent = "millrace-worker"});
  Result<std::optional<train::JobLease>> claim(const std::string& worker,
                                               const std::vector<std::string>& kinds) override;
  Result<bool> heartbeat(const train::JobLease& lease, const train::JobProgress& progress) override;
  Result<void> complete(const train::JobLease& lease, const std::string& result, const train::JobUsage& usage) override;
  Result<void> fail(const train::JobLease& lease, const train::JobFailure& failure,
                    const train::JobUsage& usage) override;
  Result<void> give_back(const train::JobLease& lease, const std::string& checkpoint) override;

 private:
  Result<std::string> post(const std::string& path, std::string body, const std::string& worker);
  Result<void> end(const train::JobLease& lease, api::EndRequest request, const train::JobUsage& usage);

  ApiClient client_;
};

}  // namespace millrace::remote
