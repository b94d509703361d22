#include "remote/fleet_client.hpp"

#include <format>

#include "base/fault.hpp"

namespace millrace::remote {

FleetClient::FleetClient(Env& env, std::string url, Secret token, std::string id, HttpClientConfig http)
    : client_(env, std::move(url), std::move(token), std::move(http)), id_(std::move(id)) {}

std::string FleetClient::path(std::string_view what) const {
  return std::format("/api/v1/predictors/{}/{}", id_, what);
}

Result<std::optional<api::Wish>> FleetClient::next_wish(std::int64_t known, const std::string& digest,
                                                        std::chrono::seconds wait,
                                                        const std::function<bool()>& cancelled) const {
  const auto query = known < 0 ? std::string() : std::format("known={}&digest={}&", known, digest);
  TRY(const auto body, client_.send({.path = path(std::format("wish?{}wait={}", query, wait.count())),
                                     .deadline = wait + std::chrono::seconds(15),
                                     .cancelled = cancelled}));
  // A server that stops ends the wait without a word.
  if (body.empty())
    return fail(Code::unavailable, "remote.no_answer", client_.url() + " ended its answer before it said anything");
  auto wish = api::parse_wish(body);
  if (!wish || wish->number == 0) {
    if (const auto error = api::parse_error(body); error && !error->error.reason.empty())
      return fail(Code::unavailable, error->error.reason, error->error.message);
    return fail(Code::unavailable, "remote.bad_answer", client_.url() + " did not answer with a wish");
  }
  if (!wish->changed) return std::nullopt;
  return *std::move(wish);
}

Result<void> FleetClient::fetch(const Digest& artifact, blob::Store& blobs,
                                const std::function<bool()>& cancelled) const {
  if (blobs.open(artifact)) return {};  // there, and what its name says
  TRY(const auto writer, blobs.create());
  ApiClient::Call call;
  call.path = "/api/v1/artifacts/" + artifact.hex();
  call.deadline = std::chrono::minutes(10);
  call.response_bytes_max = std::uint64_t{1} << 32;
  call.to_function = [&](std::span<const std::byte> piece) { return writer->append(piece); };
  call.cancelled = cancelled;
  TRY_VOID(client_.send(std::move(call)));
  TRY_VOID(writer->commit_as(artifact));
  return {};
}

Result<void> FleetClient::report(const api::PredictorReport& report) const {
  TRY_VOID(client_.send({.method = "POST", .path = path("report"), .body = api::render(report)}));
  return {};
}

Result<std::uint64_t> FleetClient::shipped(const std::string& segment) const {
  TRY(const auto body, client_.send({.path = path("log/" + segment)}));
  TRY(const auto taken, api::parse<api::LogTaken>(body));
  return static_cast<std::uint64_t>(taken.accepted);
}

Result<std::uint64_t> FleetClient::ship(const std::string& segment, std::uint64_t from, std::uint64_t to,
                                        std::string items) const {
  const auto digest = sha256(items).hex();
  TRY(const auto body,
      client_.send({.method = "POST",
                    .path = path(std::format("log/{}?from={}&to={}&sha256={}", segment, from, to, digest)),
                    .body = std::move(items),
                    .content_type = "application/octet-stream"}));
  TRY(const auto taken, api::parse<api::LogTaken>(body));
  return static_cast<std::uint64_t>(taken.accepted);
}

Result<std::shared_ptr<const model::LoadedModel>> FetchedVersions::load(const std::string& model,
                                                                        const serve::VersionRef& ref,
                                                                        const model::RuntimeOptions& options) {
  TRY_VOID(client_.fetch(ref.artifact, blobs_, {}));
  return local_.load(model, ref, options);
}

}  // namespace millrace::remote
