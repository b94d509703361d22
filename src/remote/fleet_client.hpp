// What a predictor asks of its server and tells it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "api/native/wire_fleet.hpp"
#include "base/digest.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"
#include "remote/api_client.hpp"
#include "remote/log_shipper.hpp"
#include "serve/predictor.hpp"

namespace millrace::remote {

// Thread-safe; errors as ApiClient's.
class FleetClient final : public LogReceiver {
 public:
  FleetClient(Env& env, std::string url, Secret token, std::string id,
              HttpClientConfig http = {.user_agent = "millrace-predictor"});

  // The newest wish, when it is another one than the known one; nothing when that stayed so for `wait`.
  Result<std::optional<api::Wish>> next_wish(std::int64_t known, const std::string& digest, std::chrono::seconds wait,
                                             const std::function<bool()>& cancelled) const;
  // Into `blobs`, unless it is there. invalid_argument `blob.digest_differs`: the server sent something else.
  Result<void> fetch(const Digest& artifact, blob::Store& blobs, const std::function<bool()>& cancelled) const;
  Result<void> report(const api::PredictorReport& report) const;
  Result<std::uint64_t> shipped(const std::string& segment) const override;
  Result<std::uint64_t> ship(const std::string& segment, std::uint64_t from, std::uint64_t to,
                             std::string items) const override;
  const std::string& url() const { return client_.url(); }

 private:
  std::string path(std::string_view what) const;
  ApiClient client_;
  const std::string id_;
};

// Artifacts that are not in the local store yet are fetched first.
class FetchedVersions final : public serve::VersionSource {
 public:
  FetchedVersions(const FleetClient& client, blob::Store& blobs) : client_(client), blobs_(blobs), local_(blobs) {}
  Result<std::shared_ptr<const model::LoadedModel>> load(const std::string& model, const serve::VersionRef& ref,
                                                         const model::RuntimeOptions& options) override;

 private:
  const FleetClient& client_;
  blob::Store& blobs_;
  serve::BlobVersions local_;
};

}  // namespace millrace::remote
