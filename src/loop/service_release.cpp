// Releases: how a version comes to be current, and how that is taken back.
#include <algorithm>
#include <format>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "loop/fleet.hpp"
#include "loop/service.hpp"

namespace millrace::loop {

namespace {

// What a killed process forgets of a release's counts.
constexpr Duration keep_counts_every = std::chrono::seconds(10);

const std::vector<std::string> at_once = {"full"};

Result<serve::VersionRef> version_ref(meta::Reader& reader, const std::string& model, std::int64_t number) {
  TRY(const auto version, registry::get_version(reader, model, number));
  TRY(const auto digest, Digest::parse(version.artifact));
  return serve::VersionRef{number, digest};
}

std::string said_by(const std::string& what, const registry::Actor& by) {
  return std::format("{} by {}{}", what, by.name, by.reason.empty() ? "" : ": " + by.reason);
}

}  // namespace

Result<void> Service::begin_release(meta::Tx& tx, const std::string& model, std::int64_t candidate,
                                    const std::vector<std::string>& steps, const registry::Actor& by) {
  const auto now = env_.clock.now();
  TRY(const auto current, registry::alias(tx, model, registry::current_alias));
  TRY_VOID(end_release(tx, model, "replaced", std::format("{}:{} came", model, candidate), now));
  Release release;
  release.id = ids_.make().text();
  release.model = model;
  release.candidate = candidate;
  if (current) release.previous = current->version;
  release.steps = current ? steps : at_once;
  release.since = release.began = now;
  release.cause = said_by("begun", by);
  if (release.at().kind == ReleaseStep::Kind::full) TRY_VOID(registry::promote(tx, model, candidate, by, now));
  if (!current) {
    release.ended = now;
    release.outcome = "finished";
    release.why = "the first version: there is nothing to go back to";
  }
  return add_release(tx, release);
}

Result<registry::Promotion> Service::promote(const std::string& model, std::int64_t version,
                                             const registry::Actor& by) {
  TRY(auto done, store_.write([&](meta::Tx& tx) -> Result<registry::Promotion> {
    const auto now = env_.clock.now();
    TRY(const auto before, registry::alias(tx, model, registry::current_alias));
    TRY(const auto running, release_under_way(tx, model));
    TRY(auto moved, registry::promote(tx, model, version, by, now));
    if (running && (moved.changed || running->candidate != version))
      TRY_VOID(end_release(tx, model, "ended", said_by(std::format("{}:{} was promoted", model, version), by), now));
    if (moved.changed && before) {
      Release release{.id = ids_.make().text(), .model = model, .candidate = version, .previous = before->version};
      release.steps = at_once;
      release.since = release.began = now;
      release.cause = said_by("promoted", by);
      TRY_VOID(add_release(tx, release));
    }
    TRY_VOID(env_.faults.reach("loop.promote.before_commit"));
    return moved;
  }));
  TRY_VOID(env_.faults.reach("loop.promote.after_commit"));
  changed();
  return done;
}

Result<registry::Promotion> Service::rollback(const std::string& model, const registry::Actor& by) {
  TRY(auto done, store_.write_urgent([&](meta::Tx& tx) -> Result<registry::Promotion> {
    const auto now = env_.clock.now();
    TRY(const auto running, release_under_way(tx, model));
    if (running) TRY_VOID(end_release(tx, model, "ended", said_by("rolled back", by), now));
    if (running && running->at().kind != ReleaseStep::Kind::full) {
      TRY(const auto current, registry::alias(tx, model, registry::current_alias));
      TRY(const auto previous, registry::alias(tx, model, registry::previous_alias));
      TRY_VOID(env_.faults.reach("loop.rollback.before_commit"));
      return registry::Promotion{current ? current->version : 0,
                                 previous ? std::optional(previous->version) : std::nullopt, true};
    }
    TRY(auto moved, registry::rollback(tx, model, by, now));
    TRY_VOID(env_.faults.reach("loop.rollback.before_commit"));
    return moved;
  }));
  TRY_VOID(env_.faults.reach("loop.rollback.after_commit"));
  changed();
  return done;
}

namespace {

serve::TurnPolicy turns_of(const ServeConfig& config) {
  serve::TurnPolicy out{.concurrency = static_cast<std::size_t>(config.concurrency.value_or(0))};
  if (config.priority != "normal") out.urgency = config.priority == "high" ? Urgency::high : Urgency::low;
  return out;
}

}  // namespace

Result<std::vector<serve::WantedModel>> Service::wanted() {
  const auto project = this->project();
  return store_.read([&](meta::Reader& reader) -> Result<std::vector<serve::WantedModel>> {
    std::vector<serve::WantedModel> out;
    TRY(auto names, registry::list_models(reader));
    for (const auto& name : names) {
      serve::WantedModel wanted{.name = name};
      if (project && project->name == name) {
        wanted.refuse_unlogged = project->serve.log_full == "refuse";
        wanted.log_share = project->serve.log_share;
        wanted.fallback = project->serve.fallback;
        wanted.turns = turns_of(project->serve);
        wanted.batching = project->serve.batching;
      }
      TRY(const auto current, registry::alias(reader, name, registry::current_alias));
      if (current) {
        TRY(wanted.current, version_ref(reader, name, current->version));
      }
      TRY(const auto previous, registry::alias(reader, name, registry::previous_alias));
      if (previous) {
        TRY(const bool dead, died_serving(reader, name, previous->version));
        if (!dead) {
          TRY(wanted.previous, version_ref(reader, name, previous->version));
        }
      }
      TRY(const auto release, release_under_way(reader, name));
      if (release) {
        const auto step = release->at();
        const auto probation = project ? project->release.probation : Probation{};
        if (release->previous)
          wanted.watched = serve::Watched{.model = name,
                                          .release = release->id,
                                          .version = release->candidate,
                                          .previous = *release->previous,
                                          .watched_from = release->since,
                                          .watched_until = release->since + probation.time,
                                          .requests = probation.requests};
        wanted.probation = step.kind == ReleaseStep::Kind::full && current && current->version == release->candidate;
        if (step.kind != ReleaseStep::Kind::full) {
          TRY(const auto candidate, version_ref(reader, name, release->candidate));
          wanted.release = serve::WantedRelease{.id = release->id,
                                                .candidate = candidate,
                                                .weight = step.weight,
                                                .shadow = step.kind == ReleaseStep::Kind::shadow};
        }
      }
      out.push_back(std::move(wanted));
    }
    return out;
  });
}

Result<void> Service::note_death(const serve::Death& death, const std::string& predictor) {
  const auto& watched = death.watched;
  const auto now = env_.clock.now();
  // A predictor says it again and again: what is known needs no transaction.
  TRY(const bool news, store_.read([&](meta::Reader& reader) -> Result<bool> {
    TRY(auto release, find_release(reader, watched.release));
    return release && add_death(*release, death, predictor);
  }));
  if (!news) return {};
  std::string why;
  TRY_VOID(store_.write_urgent([&](meta::Tx& tx) -> Result<void> {
    TRY(auto release, find_release(tx, watched.release));
    if (!release || !add_death(*release, death, predictor)) return {};
    if (!release->under_way()) return update_release(tx, *release);
    const bool full = release->at().kind == ReleaseStep::Kind::full;
    why = std::format("{} ended {} while {}:{} was {}", signal_name(death.signal),
                      predictor.empty() ? "the server" : "predictor " + predictor, watched.model, watched.version,
                      full ? "on probation" : "beside the version before");
    release->ended = now;
    release->outcome = "died";
    release->why = why;
    TRY_VOID(update_release(tx, *release));
    if (full && release->previous)
      TRY_VOID(registry::promote(tx, watched.model, *release->previous, {"release " + release->id, why}, now));
    return env_.faults.reach("loop.death.before_commit");
  }));
  if (why.empty()) return {};
  TRY_VOID(env_.faults.reach("loop.death.after_commit"));
  env_.log.error(predictor.empty() ? "version_ended_server" : "version_ended_predictor",
                 {{"model", watched.model}, {"version", watched.version}, {"signal", death.signal}, {"why", why}});
  if (!predictor.empty()) changed();
  return {};
}

// What came since the last look is added to what is recorded, so that a restart forgets little.
Result<Release> Service::count_release(Release release, const serve::Predictor& predictor, ReleaseSnapshot& snapshot) {
  ReleaseCounts read;
  for (const auto& model : predictor.statistics()) {
    if (model.name != release.model) continue;
    for (const auto& version : model.versions) {
      const auto& counts = version.counts;
      const auto broke = static_cast<std::int64_t>(counts.broke);
      const auto asked = static_cast<std::int64_t>(counts.succeeded + counts.shadowed) + broke;
      if (version.number == release.candidate) read.candidate = asked, read.candidate_failed = broke;
      if (version.number == release.previous) read.previous = asked, read.previous_failed = broke;
    }
  }
  if (fleet_) {
    const auto candidate = fleet_->seen(release.model, release.candidate).counts;
    read.candidate += candidate.asked;
    read.candidate_failed += candidate.broke;
    const auto previous = release.previous ? fleet_->seen(release.model, *release.previous).counts : FleetCounts();
    read.previous += previous.asked;
    read.previous_failed += previous.broke;
  }
  auto [at, fresh] = counted_.try_emplace(release.id);
  auto& counted = at->second;
  if (fresh) {
    counted.kept = env_.clock.steady();
    // What it answered before its release, by number, is no part of it. The other's requests before it are.
    if (release.counts == ReleaseCounts{}) counted.last = {read.candidate, read.candidate_failed, 0, 0};
  }
  counted.seen = read;
  const auto before = release.counts;
  const auto add = [&](std::int64_t ReleaseCounts::* one) {
    const auto had = counted.last.*one;
    const auto has = read.*one;
    release.counts.*one += has < had ? has : has - had;  // counters that begin anew are of a version loaded anew
  };
  for (const auto one : {&ReleaseCounts::candidate, &ReleaseCounts::candidate_failed, &ReleaseCounts::previous,
                         &ReleaseCounts::previous_failed})
    add(one);
  snapshot.counts = release.counts;
  const bool keep = env_.clock.steady() - counted.kept >= keep_counts_every;
  if (!(release.counts == before) && keep) {
    TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
      TRY(auto present, release_under_way(tx, release.model));
      if (!present || present->id != release.id) return {};
      present->counts = release.counts;
      return update_release(tx, *present);
    }));
    counted.last = read;
    counted.kept = env_.clock.steady();
  }
  return release;
}

Result<void> Service::look_at_releases(const serve::Predictor& predictor) {
  TRY(const auto all, store_.read([](meta::Reader& reader) { return releases_under_way(reader); }));
  std::erase_if(counted_, [&](const auto& one) { return !std::ranges::contains(all, one.first, &Release::id); });
  if (all.empty()) return {};
  const auto states = predictor.states();
  const auto project = this->project();
  for (const auto& one : all) {
    ReleaseSnapshot snapshot;
    snapshot.step = one.at();
    snapshot.since = one.since;
    snapshot.now = env_.clock.now();
    snapshot.candidate_before = one.candidate_before;
    if (project) snapshot.probation = project->release.probation;
    snapshot.may_go_back = one.previous.has_value();
    const bool full = snapshot.step.kind == ReleaseStep::Kind::full;
    for (const auto& state : states) {
      if (state.name != one.model) continue;
      for (const auto& version : state.versions) {
        if (version.version != one.candidate) continue;
        snapshot.ready = version.loaded && (!full || version.serving);
        snapshot.load_error = version.error;
      }
    }
    if (fleet_) {
      const auto seen = fleet_->seen(one.model, one.candidate);
      const bool theirs = (full ? seen.serving : seen.loaded) == seen.connected;
      snapshot.ready = serves_itself_ ? snapshot.ready && theirs : theirs && seen.connected > 0;
      if (snapshot.load_error.empty()) snapshot.load_error = seen.error;
    }
    TRY(const auto counted, count_release(one, predictor, snapshot));
    const auto decision = decide_release(snapshot);
    if (decision.kind != ReleaseDecision::Kind::stay) TRY_VOID(act_on(counted, decision));
  }
  return {};
}

Result<void> Service::act_on(const Release& release, const ReleaseDecision& decision) {
  using Kind = ReleaseDecision::Kind;
  const auto now = env_.clock.now();
  TRY(const bool moved, store_.write_urgent([&](meta::Tx& tx) -> Result<bool> {
    TRY(auto present, release_under_way(tx, release.model));
    if (!present || present->id != release.id || present->step != release.step) return false;  // somebody was first
    const registry::Actor by{"release " + release.id, decision.why};
    const bool full = present->at().kind == ReleaseStep::Kind::full;
    present->counts = release.counts;
    if (decision.kind == Kind::next) {
      ++present->step;
      present->since = now;
      present->candidate_before = release.counts.candidate;
      if (present->at().kind == ReleaseStep::Kind::full)
        TRY_VOID(registry::promote(tx, release.model, release.candidate, by, now));
    } else {
      present->ended = now;
      present->outcome = decision.kind == Kind::back ? "back" : "finished";
      present->why = decision.why;
      if (decision.kind == Kind::back && full)
        TRY_VOID(registry::promote(tx, release.model, *release.previous, by, now));
    }
    TRY_VOID(update_release(tx, *present));
    TRY_VOID(env_.faults.reach("loop.release.before_commit"));
    return true;
  }));
  if (!moved) return {};
  TRY_VOID(env_.faults.reach("loop.release.after_commit"));
  auto& counted = counted_[release.id];
  counted.last = counted.seen;
  counted.kept = env_.clock.steady();
  const auto name = std::format("{}:{}", release.model, release.candidate);
  if (decision.kind == Kind::back) {
    env_.log.warn("release_went_back", {{"version", name}, {"release", release.id}, {"why", decision.why}});
  } else {
    env_.log.info(decision.kind == Kind::next ? "release_step" : "release_finished",
                  {{"version", name}, {"release", release.id}, {"why", decision.why}});
  }
  changed();
  return {};
}

}  // namespace millrace::loop
