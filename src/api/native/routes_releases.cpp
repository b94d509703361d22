// Releases of a model.
#include "api/native/routes_internal.hpp"

namespace millrace::api {

namespace {

Release release_to_wire(const loop::Release& from) {
  Release to;
  to.id = from.id;
  to.model = from.model;
  to.candidate = from.candidate;
  to.previous = from.previous;
  to.steps = from.steps;
  to.step = from.step + 1;
  const auto step = from.at();
  if (from.under_way()) to.weight = step.kind == loop::ReleaseStep::Kind::full ? 1 : step.weight;
  to.began = format_time(from.began);
  to.since = format_time(from.since);
  if (from.ended) to.ended = format_time(*from.ended);
  to.outcome = from.under_way() ? "running" : from.outcome;
  to.why = from.why;
  to.cause = from.cause;
  to.candidate_requests = from.counts.candidate;
  to.candidate_failed = from.counts.candidate_failed;
  to.previous_requests = from.counts.previous;
  to.previous_failed = from.counts.previous_failed;
  if (!from.death) return to;
  const auto requests = [](const std::vector<loop::LastRequest>& those) {
    std::vector<ReleaseRequest> out;
    for (const auto& one : those) out.push_back({one.id, one.at, one.version, one.rows, one.answered});
    return out;
  };
  const auto& death = *from.death;
  to.death =
      ReleaseDeath{death.signal, death.name, death.version, death.at, requests(death.requests), death.predictor, {}};
  for (const auto& one : death.others)
    to.death->others.push_back({one.predictor, one.signal, one.name, one.at, requests(one.requests)});
  return to;
}

}  // namespace

void add_release_routes(net::Server& server, Context& c) {
  server.pooled("GET", "/api/v1/models/{model}/releases", [&c](const Request& r) {
    const auto list = [&]() -> Result<ReleaseList> {
      TRY(const auto limit, query_number(r, "limit", 100, 1000));
      TRY(const auto offset, query_number(r, "offset", 0, std::int64_t{1} << 40));
      const auto& model = r.path_parameter("model");
      return c.service.store().read([&](meta::Reader& reader) -> Result<ReleaseList> {
        ReleaseList out;
        TRY(out.count, loop::count_releases(reader, model));
        if (out.count == 0) {
          TRY(const auto known, registry::count_versions(reader, model));
          if (known == 0) {
            TRY(const auto missing, registry::get_version(reader, model, 0));  // says what there is
            (void)missing;
          }
        }
        TRY(const auto releases, loop::list_releases(reader, model, limit, offset));
        for (const auto& one : releases) out.releases.push_back(release_to_wire(one));
        for (const auto& state : c.predictor.states()) {
          if (state.name != model || out.releases.empty()) continue;
          out.releases.front().shadow_dropped = static_cast<std::int64_t>(state.shadow_dropped);
        }
        return out;
      });
    };
    return answer(list());
  });
}

}  // namespace millrace::api
