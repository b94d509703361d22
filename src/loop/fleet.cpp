#include "loop/fleet.hpp"

#include <algorithm>
#include <format>
#include <set>

#include "base/digest.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "loop/fleet_records.hpp"

namespace millrace::loop {

namespace {

// What did not change is recorded this often, so that people see when one was last heard of.
constexpr Duration record_every = std::chrono::minutes(1);

std::string ref_text(const std::optional<serve::VersionRef>& ref) {
  return ref ? std::format("{}/{}", ref->number, ref->artifact.hex()) : "-";
}

std::int64_t microseconds(TimePoint at) { return at.time_since_epoch().count(); }

// What is said in it besides how much was asked: a change of that is recorded at once.
std::string lasting_text(FleetReport report) {
  report.unshipped_bytes = 0;
  for (auto& model : report.models) {
    model.requests = model.rows = model.not_logged = 0;
    for (auto& version : model.versions) version.asked = version.broke = 0;
  }
  return json::render(report);
}

}  // namespace

std::string wish_digest(const std::vector<serve::WantedModel>& models) {
  Sha256 hash;
  for (const auto& model : models) {
    hash.update(std::format("{}\n{} {} {} {} {}\n", model.name, ref_text(model.current), ref_text(model.previous),
                            model.refuse_unlogged, model.log_share, model.probation));
    for (const auto& other : model.others) hash.update("other " + ref_text(other) + "\n");
    if (const auto& release = model.release)
      hash.update(std::format("release {} {} {} {}\n", release->id, ref_text(release->candidate), release->weight,
                              release->shadow));
    if (const auto& watched = model.watched)
      hash.update(std::format("watched {} {} {} {} {} {}\n", watched->release, watched->version, watched->previous,
                              microseconds(watched->watched_from), microseconds(watched->watched_until),
                              watched->requests));
  }
  return hash.finish().hex();
}

std::string render_report(const FleetReport& report) { return json::render(report); }
Result<FleetReport> parse_fleet_report(std::string_view text) {
  return json::parse_lenient<FleetReport>(text, "a predictor's report");
}

Result<std::unique_ptr<Fleet>> Fleet::open(Env& env, meta::Store& store, serve::WantedSource& wanted) {
  auto fleet = std::unique_ptr<Fleet>(new Fleet(env, store, wanted));
  TRY(const auto stored, store.read([](meta::Reader& reader) { return list_predictors(reader); }));
  for (const auto& one : stored) {
    auto report = parse_fleet_report(one.report);
    if (!report) continue;  // it will report again
    auto& known = fleet->known_[one.id];
    known.kept_text = lasting_text(*report);
    known.report = *std::move(report);
    known.heard = one.heard;
  }
  return fleet;
}

Result<std::shared_ptr<const NumberedWish>> Fleet::look() {
  std::lock_guard one_at_a_time(look_mutex_);
  auto next = std::make_shared<NumberedWish>();
  TRY(next->models, wanted_.wanted());
  next->digest = wish_digest(next->models);
  if (const auto before = newest(); before && before->digest == next->digest) return before;
  TRY(auto stored, store_.read([](meta::Reader& reader) { return newest_wish(reader); }));
  if (!stored || stored->digest != next->digest) {
    // Also on a full disk: going back is a wish.
    TRY(stored, store_.write_urgent([&](meta::Tx& tx) -> Result<std::optional<StoredWish>> {
      TRY(auto put, put_wish(tx, next->digest, env_.clock.now()));
      return put;
    }));
  }
  next->number = stored->number;
  std::lock_guard lock(mutex_);
  newest_ = next;
  heard_.notify_all();
  return newest_;
}

std::shared_ptr<const NumberedWish> Fleet::newest() const {
  std::lock_guard lock(mutex_);
  return newest_;
}

bool Fleet::connected(const Known& known) const {
  return known.heard_here && env_.clock.steady() - *known.heard_here < kConnected;
}

bool Fleet::reached(const Known& known) const {
  if (!newest_ || known.report.wish != newest_->number || known.report.wish_digest != newest_->digest) return false;
  return std::ranges::all_of(newest_->models, [&](const serve::WantedModel& wanted) {
    if (!wanted.current) return true;
    const auto at = std::ranges::find(known.report.models, wanted.name, &FleetModel::name);
    return at != known.report.models.end() && at->serving == wanted.current->number;
  });
}

void Fleet::waits(std::string_view id) {
  std::lock_guard lock(mutex_);
  const auto at = known_.find(id);
  if (at == known_.end() || !at->second.heard_here) return;
  at->second.heard = env_.clock.now();
  at->second.heard_here = env_.clock.steady();
}

// Counters of a process that was not known before say nothing of what is new, but those of a process that replaced a
// known one do.
void Fleet::count(const Known* before, const FleetReport& report) {
  if (!before || !before->heard_here) return;
  const bool same = before->report.process == report.process;
  for (const auto& model : report.models) {
    const auto& models = before->report.models;
    const auto had_model = std::ranges::find(models, model.name, &FleetModel::name);
    for (const auto& version : model.versions) {
      FleetVersion had;
      if (same && had_model != models.end()) {
        const auto at = std::ranges::find(had_model->versions, version.version, &FleetVersion::version);
        // Counters that begin anew are of a version loaded anew.
        if (at != had_model->versions.end() && at->asked <= version.asked) had = *at;
      }
      auto& sum = counts_[{model.name, version.version}];
      sum.asked += version.asked - had.asked;
      sum.broke += std::max<std::int64_t>(0, version.broke - had.broke);
    }
  }
}

Result<void> Fleet::hear(const std::string& id, FleetReport report) {
  const auto text = lasting_text(report);
  bool record = false;
  {
    std::lock_guard lock(mutex_);
    const auto at = known_.find(id);
    if (at == known_.end() && known_.size() >= kPredictorsMax)
      return fail(Code::resource_exhausted, "loop.too_many_predictors",
                  std::format("{} predictors are known already; those not heard of for {} days are forgotten",
                              kPredictorsMax, std::chrono::duration_cast<std::chrono::days>(kForgotten).count()));
    count(at == known_.end() ? nullptr : &at->second, report);
    auto& known = known_[id];
    const auto now = env_.clock.steady();
    record = known.kept_text != text || now - known.kept >= record_every;
    if (record) {
      known.kept_text = text;
      known.kept = now;
    }
    known.report = report;
    known.heard = env_.clock.now();
    known.heard_here = now;
  }
  heard_.notify_all();
  if (!record) return {};
  const auto now = env_.clock.now();
  // What it says counts from the moment at which it was heard; the record is for the list after a restart.
  auto kept = store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY_VOID(forget_predictors(tx, now - kForgotten));
    return put_predictor(tx, {id, render_report(report), now});
  });
  if (!kept) env_.log.warn("predictor_not_recorded", {{"predictor", report.name}, {"error", kept.error().message}});
  std::lock_guard lock(mutex_);
  std::erase_if(known_, [&](const auto& one) { return one.second.heard < now - kForgotten; });
  return {};
}

bool Fleet::knows(std::string_view id) const {
  std::lock_guard lock(mutex_);
  return known_.contains(id);
}

std::vector<FleetPredictor> Fleet::list() const {
  std::lock_guard lock(mutex_);
  std::vector<FleetPredictor> out;
  for (const auto& [id, known] : known_)
    out.push_back({id, known.report, known.heard, connected(known), connected(known) && reached(known)});
  std::ranges::sort(out, {}, [](const auto& one) { return std::tie(one.report.name, one.id); });
  return out;
}

std::vector<std::string> Fleet::behind_locked() const {
  std::vector<std::string> out;
  for (const auto& [id, known] : known_) {
    if (connected(known) && !reached(known)) out.push_back(known.report.name);
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::string> Fleet::behind() const {
  std::lock_guard lock(mutex_);
  return behind_locked();
}

std::vector<std::string> Fleet::wait(Duration patience) {
  const auto until = env_.clock.steady() + patience;
  std::unique_lock lock(mutex_);
  for (;;) {
    auto late = behind_locked();
    const auto left = until - env_.clock.steady();
    if (late.empty() || left <= Duration(0)) return late;
    heard_.wait_for(lock, left);
  }
}

FleetSeen Fleet::seen(std::string_view model, std::int64_t version) const {
  std::lock_guard lock(mutex_);
  FleetSeen out;
  for (const auto& [id, known] : known_) {
    if (!connected(known)) continue;
    ++out.connected;
    const auto at = std::ranges::find(known.report.models, model, &FleetModel::name);
    if (at == known.report.models.end()) continue;
    if (at->serving == version) ++out.serving;
    for (const auto& one : at->versions) {
      if (one.version != version) continue;
      if (one.loaded) ++out.loaded;
      if (!one.error.empty()) out.error = known.report.name + ": " + one.error;
    }
  }
  if (const auto at = counts_.find(std::pair(std::string(model), version)); at != counts_.end())
    out.counts = at->second;
  return out;
}

bool Fleet::wants(const Digest& artifact) const {
  const auto wish = newest();
  if (!wish) return false;
  const auto is = [&](const auto& ref) { return ref && ref->artifact == artifact; };
  return std::ranges::any_of(wish->models, [&](const auto& model) {
    return is(model.current) || is(model.previous) ||
           (model.release && model.release->candidate.artifact == artifact) ||
           std::ranges::contains(model.others, artifact, &serve::VersionRef::artifact);
  });
}

}  // namespace millrace::loop
