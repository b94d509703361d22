// For predictors of other machines: the wish, artifacts, their reports and their prediction logs; and who they are.
#include <algorithm>
#include <format>

#include "api/native/routes_internal.hpp"
#include "api/native/wire_fleet.hpp"
#include "loop/fleet.hpp"

namespace millrace::api {

namespace {

constexpr std::int64_t wish_wait_max = 60;  // seconds

WishVersion ref_to_wire(const serve::VersionRef& ref) { return {ref.number, ref.artifact.hex()}; }

std::optional<WishVersion> ref_to_wire(const std::optional<serve::VersionRef>& ref) {
  return ref ? std::optional(ref_to_wire(*ref)) : std::nullopt;
}

WishModel wish_model(const serve::WantedModel& from) {
  WishModel to;
  to.name = from.name;
  to.current = ref_to_wire(from.current);
  to.previous = ref_to_wire(from.previous);
  to.refuse_unlogged = from.refuse_unlogged;
  to.log_share = from.log_share;
  to.probation = from.probation;
  if (const auto& release = from.release)
    to.release = WishRelease{release->id, ref_to_wire(release->candidate), release->weight, release->shadow};
  if (const auto& watched = from.watched)
    to.watched = WishWatched{watched->release,
                             watched->version,
                             watched->previous,
                             format_time(watched->watched_from),
                             format_time(watched->watched_until),
                             watched->requests};
  return to;
}

Wish wish_to_wire(const loop::NumberedWish& from, bool changed) {
  Wish to{from.number, from.digest, changed, {}};
  if (!changed) return to;
  for (const auto& model : from.models) to.models.push_back(wish_model(model));
  return to;
}

// Answers when the newest wish is another one than the known one, or after a while.
class WishWait final : public net::Follower {
 public:
  WishWait(Context& c, std::string id, std::int64_t number, std::string digest, Duration patience)
      : c_(c),
        id_(std::move(id)),
        number_(number),
        digest_(std::move(digest)),
        until_(c.service.env().clock.steady() + patience) {}

  Result<std::optional<std::string>> next() override {
    if (answered_) return std::nullopt;
    c_.fleet->waits(id_);
    const auto wish = c_.fleet->newest();
    const bool changed = wish && (wish->number != number_ || wish->digest != digest_);
    if (!changed && c_.service.env().clock.steady() < until_) return std::string();
    answered_ = true;
    if (!wish) return fail(Code::unavailable, "api.no_wish", "the server does not know yet what is wanted; ask again");
    return render(wish_to_wire(*wish, changed)) + "\n";
  }

 private:
  Context& c_;
  const std::string id_;
  const std::int64_t number_;
  const std::string digest_;
  const SteadyPoint until_;
  bool answered_ = false;
};

Result<std::string> predictor_id(const Request& r) {
  const auto& text = r.path_parameter("predictor");
  TRY(const auto id, Id::parse(text));
  return id.text();
}

loop::FleetReport report_from_wire(PredictorReport from) {
  loop::FleetReport to{.name = std::move(from.name),
                       .address = std::move(from.address),
                       .grpc = std::move(from.grpc),
                       .program = std::move(from.program),
                       .process = std::move(from.process),
                       .wish = from.wish,
                       .wish_digest = std::move(from.wish_digest),
                       .ready = from.ready,
                       .models = {},
                       .unshipped_bytes = from.unshipped_bytes,
                       .unshipped_bytes_max = from.unshipped_bytes_max,
                       .trouble = std::move(from.trouble),
                       .death = {}};
  if (const auto& death = from.death)
    to.death = loop::FleetDeath{death->model, death->release, death->signal, death->name, death->version, death->at};
  for (auto& model : from.models) {
    auto& at = to.models.emplace_back();
    at = {std::move(model.name), model.serving, std::move(model.error), {},
          model.requests,        model.rows,    model.not_logged};
    for (auto& one : model.versions)
      at.versions.push_back({one.version, one.loaded, std::move(one.error), one.asked, one.broke});
  }
  return to;
}

Result<serve::Death> death_from_wire(const PredictorDeath& from) {
  serve::Death to{.signal = static_cast<int>(from.signal), .at = {}, .watched = {}, .requests = {}};
  to.watched.model = from.model;
  to.watched.release = from.release;
  to.watched.version = from.version;
  TRY(to.at, parse_time(from.at));
  for (const auto& one : from.last_requests) {
    if (to.requests.size() == serve::LastWords::kRequests) break;
    serve::LastWord word{.id = {}, .at = {}, .version = one.version, .rows = static_cast<std::uint32_t>(one.rows)};
    TRY(word.id, Id::parse(one.prediction));
    TRY(word.at, parse_time(one.at));
    word.answered = one.answered;
    to.requests.push_back(word);
  }
  return to;
}

Predictor predictor_to_wire(const loop::FleetPredictor& from, TimePoint now) {
  const auto& said = from.report;
  Predictor to{.id = from.id,
               .name = said.name,
               .address = said.address,
               .grpc = said.grpc,
               .program = said.program,
               .connected = from.connected,
               .reached = from.reached,
               .ready = said.ready && from.connected,
               .wish = said.wish,
               .models = {},
               .unshipped_bytes = said.unshipped_bytes,
               .unshipped_bytes_max = said.unshipped_bytes_max,
               .trouble = said.trouble,
               .death = {},
               .heard = format_time(from.heard),
               .heard_seconds_ago = std::chrono::duration<double>(now - from.heard).count()};
  if (const auto& death = said.death)
    to.death = PredictorDeath{death->model, death->release, death->signal, death->name, death->version, death->at, {}};
  for (const auto& model : said.models) {
    auto& at = to.models.emplace_back(
        PredictorModel{model.name, model.serving, model.error, {}, model.requests, model.rows, model.not_logged});
    for (const auto& one : model.versions)
      at.versions.push_back({one.version, one.loaded, one.error, one.asked, one.broke});
  }
  return to;
}

Result<Response> artifact_of(Context& c, const Request& r) {
  TRY(const auto digest, Digest::parse(r.path_parameter("digest")));
  if (!c.fleet->wants(digest))
    return fail(Code::not_found, "api.no_artifact",
                std::format("{} is no artifact of a version that is to be served now", digest.hex()));
  Response response;
  response.content_type = "application/octet-stream";
  TRY(const auto local, c.service.blobs().local_file(digest));
  if (local) {
    response.file = net::FileBody{local->path, local->offset, local->size};
    return response;
  }
  TRY(response.body, c.service.blobs().read(digest, std::uint64_t{1} << 32));
  return response;
}

Result<LogTaken> log_taken(Context& c, const Request& r) {
  TRY(const auto id, predictor_id(r));
  TRY(const auto accepted, c.intake->accepted(id, r.path_parameter("segment")));
  return LogTaken{static_cast<std::int64_t>(accepted)};
}

Result<LogTaken> take_log(Context& c, const Request& r) {
  TRY(auto id, predictor_id(r));
  if (!c.fleet->knows(id))
    return fail(Code::unavailable, "api.unknown_predictor", "a predictor says who it is before it sends its log");
  constexpr std::int64_t segment_bytes_max = std::int64_t{1} << 40;
  serve::ShippedFrom from{std::move(id), r.path_parameter("segment")};
  TRY(const auto begin, query_number(r, "from", 0, segment_bytes_max));
  TRY(const auto end, query_number(r, "to", 0, segment_bytes_max));
  from.from = static_cast<std::uint64_t>(begin);
  from.to = static_cast<std::uint64_t>(end);
  TRY(const auto promised, Digest::parse(r.query("sha256").value_or("")));
  if (sha256(r.body) != promised)
    return fail(Code::unavailable, "api.digest_differs",
                "the lines that came are not those that were sent; nothing was taken, send them again");
  TRY(const auto accepted, c.intake->take(from, r.body));
  return LogTaken{static_cast<std::int64_t>(accepted)};
}

PredictorList list_of(Context& c) {
  PredictorList out;
  if (const auto wish = c.fleet->newest()) out.wish = wish->number;
  const auto now = c.service.env().clock.now();
  out.not_reached = c.fleet->behind();
  for (const auto& one : c.fleet->list()) out.predictors.push_back(predictor_to_wire(one, now));
  return out;
}

}  // namespace

void add_fleet_routes(net::Server& server, Context& c) {
  if (!c.fleet || !c.intake) return;
  constexpr auto right = net::Right::predictor;
  net::RouteOptions waits;
  waits.right = right;
  waits.content_type = "application/json";
  waits.poll = std::chrono::milliseconds(50);
  server.follow(
      "GET", "/api/v1/predictors/{predictor}/wish",
      [&c](const Request& r) -> Result<std::unique_ptr<net::Follower>> {
        TRY(auto id, predictor_id(r));
        TRY(const auto number, query_number(r, "known", -1, std::int64_t{1} << 60));
        TRY(const auto seconds, query_number(r, "wait", 0, wish_wait_max));
        return std::make_unique<WishWait>(c, std::move(id), number, std::string(r.query("digest").value_or("")),
                                          std::chrono::seconds(seconds));
      },
      waits);
  server.pooled("GET", "/api/v1/artifacts/{digest}",
                [&c](const Request& r) {
                  auto done = artifact_of(c, r);
                  return done ? *std::move(done) : net::error_response(done.error());
                },
                {.right = right});
  server.pooled("POST", "/api/v1/predictors/{predictor}/report",
                [&c](const Request& r) {
                  const auto hear = [&]() -> Result<Empty> {
                    TRY(const auto id, predictor_id(r));
                    TRY(auto report, parse<PredictorReport>(r.body));
                    if (const auto& death = report.death) {
                      TRY(const auto died, death_from_wire(*death));
                      TRY_VOID(c.service.note_death(died, report.name));
                    }
                    TRY_VOID(c.fleet->hear(id, report_from_wire(std::move(report))));
                    return Empty{};
                  };
                  return answer(hear());
                },
                {.right = right});
  server.pooled("GET", "/api/v1/predictors/{predictor}/log/{segment}",
                [&c](const Request& r) { return answer(log_taken(c, r)); }, {.right = right});
  server.pooled("POST", "/api/v1/predictors/{predictor}/log/{segment}",
                [&c](const Request& r) { return answer(take_log(c, r)); },
                {.body_bytes_max = serve::kPieceBytesMax, .right = right});
  server.pooled("GET", "/api/v1/predictors", [&c](const Request&) { return net::json_response(render(list_of(c))); });
}

}  // namespace millrace::api
