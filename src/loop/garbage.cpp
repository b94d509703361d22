#include "loop/garbage.hpp"

#include <algorithm>
#include <array>

#include "base/digest_scan.hpp"
#include "base/json.hpp"
#include "data/records.hpp"
#include "flow/housekeeping.hpp"
#include "loop/batch_records.hpp"
#include "loop/plan.hpp"
#include "loop/records.hpp"
#include "registry/registry.hpp"

namespace millrace::loop {

bool garbage_due(const GarbagePolicy& policy, const GarbageSnapshot& s) {
  if (s.up < policy.pause) return false;
  if (!s.last) return true;
  const auto since = s.now - *s.last;
  // A clock that was set back must not put it off for ever.
  if (since < Duration(0)) return true;
  return since >= policy.every || (s.let_go && since >= policy.pause);
}

Duration garbage_grace(const GarbagePolicy& policy, TimePoint now, std::optional<TimePoint> oldest_attempt) {
  if (!oldest_attempt) return policy.grace;
  return std::max(policy.grace, now - *oldest_attempt + std::chrono::hours(1));
}

bool rows_needed(const GarbagePolicy& policy, TimePoint now, TimePoint started, bool has_kept_version) {
  return has_kept_version || now - started < policy.history;
}

std::string_view need_text(Need need) {
  static constexpr auto texts = std::to_array<std::string_view>(
      {"files of model versions", "rows of dataset versions", "rows that trainings learned from",
       "project files and code that runs were started with",
       "needed by work under way, or that may be taken up again"});
  return texts[static_cast<std::size_t>(need)];
}

void NeededBlobs::add(Need need, std::string_view text) {
  for (const auto& digest : digests_in(text)) needs_.try_emplace(digest, need);
}

Result<NeededBlobs> NeededBlobs::collect(meta::Reader& reader, const GarbagePolicy& policy, TimePoint now,
                                         const std::set<std::pair<std::string, std::int64_t>>& without) {
  NeededBlobs out;
  std::set<std::string> runs;  // with a version whose file is kept
  TRY(auto artifacts, registry::kept_artifacts(reader));
  for (const auto& one : artifacts) {
    if (without.contains({one.model, one.number})) continue;
    out.add(Need::model, one.artifact);
    runs.insert(one.run);
  }
  TRY(auto parts, data::part_digests(reader));
  for (const auto& part : parts) out.add(Need::dataset, part);
  Result<void> readable;
  TRY(const auto under_way, flow::keys_under_way(reader));
  TRY_VOID(each_training(reader, [&](const Training& training) {
    if (rows_needed(policy, now, training.started, runs.contains(training.run)))
      return out.add(Need::training, training.plan);
    if (under_way.contains(training.run)) return out.add(Need::work, training.plan);  // its steps are made from it
    // Small, and what a run is judged by later: as long as its record.
    auto plan = parse_plan(training.plan);
    if (!plan) readable = fail(plan.error());
    for (const auto& digest : plan ? code_digests(*plan) : std::vector<std::string>()) out.add(Need::code, digest);
  }));
  TRY_VOID(readable);
  TRY(const auto batches, batch_runs_to_write(reader));
  for (const auto& run : batches) out.add(Need::work, run.result);
  TRY_VOID(flow::texts_in_use(reader, [&](std::string_view text) { out.add(Need::work, text); }));
  return out;
}

std::optional<Need> NeededBlobs::why(const Digest& digest) const {
  auto found = needs_.find(digest);
  return found == needs_.end() ? std::nullopt : std::optional(found->second);
}

std::string render_report(const GarbageReport& report) { return json::render(report); }
Result<GarbageReport> parse_report(std::string_view text) {
  return json::parse_lenient<GarbageReport>(text, "the last collection's report");
}

}  // namespace millrace::loop
