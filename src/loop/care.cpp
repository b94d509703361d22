#include "loop/care.hpp"

#include <algorithm>
#include <format>
#include <map>
#include <set>

#include "base/json.hpp"
#include "data/records.hpp"
#include "flow/housekeeping.hpp"
#include "loop/garbage.hpp"
#include "loop/log_layout.hpp"
#include "loop/log_records.hpp"
#include "loop/plan.hpp"
#include "loop/records.hpp"
#include "registry/registry.hpp"

namespace millrace::loop {

namespace {

constexpr std::string_view segments_chore = "log_segments", losses_chore = "losses";

struct Segments {
  std::vector<serve::PredictionLog::Made> noted;
  std::uint64_t used = 0;  // up to here numbers were given out
};

Result<Segments> read_segments(meta::Reader& reader) {
  TRY(const auto rolled, rolled_through(reader));
  TRY(const auto chore, get_chore(reader, segments_chore));
  Segments out;
  if (chore) {
    TRY(out, json::parse<Segments>(chore->result, "the noted segments"));
  }
  out.used = std::max(out.used, rolled);
  for (auto& range : out.noted) range.first = std::max(range.first, rolled + 1);
  std::erase_if(out.noted, [](const auto& range) { return range.last < range.first; });
  return out;
}

// Adds each digest once: the first use counts.
class References {
 public:
  Result<void> add(const std::string& hex, BlobReference reference) {
    if (hex.empty()) return {};
    TRY(reference.digest, Digest::parse(hex));
    if (seen_.insert(reference.digest).second) all_.push_back(std::move(reference));
    return {};
  }
  std::vector<BlobReference> take() { return std::move(all_); }

 private:
  std::set<Digest> seen_;
  std::vector<BlobReference> all_;
};

Result<std::map<std::string, RunPlan>> plans_by_run(meta::Reader& reader, std::map<std::string, TimePoint>& started) {
  std::map<std::string, RunPlan> plans;
  Result<void> readable;
  TRY_VOID(each_training(reader, [&](const Training& training) {
    auto plan = parse_plan(training.plan);
    if (!plan) readable = fail(plan.error());
    if (plan) plans[training.run] = std::move(*plan);
    started[training.run] = training.started;
  }));
  TRY_VOID(readable);
  return plans;
}

Result<void> add_models(meta::Reader& reader, const std::map<std::string, RunPlan>& plans, References& out) {
  TRY(const auto artifacts, registry::kept_artifacts(reader));
  for (const auto& one : artifacts) {
    BlobReference reference;
    reference.use = one.number == 0 ? BlobUse::baseline : BlobUse::model;
    reference.of = one.number == 0 ? one.model + ":baseline" : std::format("{}:{}", one.model, one.number);
    reference.name = one.model;
    const auto plan = plans.find(one.run);
    if (plan != plans.end() && one.number > 0) reference.source = plan->second.imported;
    // A rebuild makes the baseline of its run too.
    for (const auto& other : artifacts) {
      if (other.run == one.run && other.model == one.model && other.number > 0 && plan != plans.end() &&
          plan->second.imported.empty())
        reference.again = std::format("{}:{}", other.model, other.number);
    }
    for (const auto alias : {registry::current_alias, registry::previous_alias}) {
      TRY(const auto move, registry::alias(reader, one.model, alias));
      if (move && move->version == one.number) reference.state = "which is " + std::string(alias);
    }
    TRY_VOID(out.add(one.artifact, std::move(reference)));
  }
  return {};
}

Result<void> add_parts(meta::Reader& reader, References& out) {
  TRY(const auto uses, data::part_uses(reader));
  constexpr std::string_view file = "file:", log = "log:";
  for (const auto& one : uses) {
    BlobReference reference;
    reference.use = one.source_uri.starts_with(log) ? BlobUse::rolled : BlobUse::part;
    reference.of = std::format("{}@{}", one.dataset, one.first_version);
    reference.name = one.dataset;
    if (one.source_uri.starts_with(file)) reference.source = one.source_uri.substr(file.size());
    TRY_VOID(out.add(one.digest, std::move(reference)));
  }
  return {};
}

void add_gaps(const std::vector<std::int64_t>& newest_first, const std::string& what, std::vector<std::string>& out) {
  auto next = static_cast<std::int64_t>(newest_first.size());
  for (const auto number : newest_first) {
    if (number != next--) {
      out.push_back(std::format("{} are not numbered 1 to {}", what, newest_first.size()));
      return;
    }
  }
}

}  // namespace

Result<std::vector<BlobReference>> blob_references(meta::Reader& reader, TimePoint now) {
  References out;
  std::map<std::string, TimePoint> started;
  TRY(const auto plans, plans_by_run(reader, started));
  TRY_VOID(add_models(reader, plans, out));
  TRY_VOID(add_parts(reader, out));
  std::set<std::string> with_version;
  TRY(const auto artifacts, registry::kept_artifacts(reader));
  for (const auto& one : artifacts) with_version.insert(one.run);
  for (const auto& [run, plan] : plans) {
    for (const auto& digest : code_digests(plan)) TRY_VOID(out.add(digest, {.use = BlobUse::code, .of = "run " + run}));
    if (!rows_needed({}, now, started[run], with_version.contains(run))) continue;
    for (const auto* parts : {&plan.train.rows.parts, &plan.train.rows.feedback}) {
      for (const auto& part : *parts) TRY_VOID(out.add(part.digest, {.use = BlobUse::rows, .of = "run " + run}));
    }
  }
  return out.take();
}

Result<std::vector<std::string>> contradictions(meta::Reader& reader, TimePoint now) {
  std::vector<std::string> out;
  TRY(const auto models, registry::list_models(reader));
  for (const auto& model : models) {
    TRY(const auto heads, registry::list_heads(reader, model));
    std::vector<std::int64_t> numbers;
    for (const auto& head : heads) {
      if (head.number > 0) numbers.push_back(head.number);
    }
    add_gaps(numbers, "the versions of model " + model, out);
    for (const auto alias : {registry::current_alias, registry::previous_alias}) {
      TRY(const auto move, registry::alias(reader, model, alias));
      const auto named = [&](const auto& head) { return head.number == move->version; };
      if (move && std::ranges::none_of(heads, named))
        out.push_back(std::format("{} of {} points at version {}, which is not there", alias, model, move->version));
    }
  }
  TRY(const auto versions, data::list_versions(reader, ""));
  std::map<std::string, std::vector<std::int64_t>> datasets;
  for (const auto& version : versions) datasets[version.dataset].push_back(version.number);
  for (const auto& [dataset, numbers] : datasets) add_gaps(numbers, "the versions of dataset " + dataset, out);
  constexpr auto clocks_differ_max = std::chrono::hours(24);
  TRY(const auto running, flow::running_jobs(reader));
  for (const auto& job : running) {
    if (job.token < 1 || !job.worker || job.worker->empty())
      out.push_back(std::format("job {} ({}) is running, but no worker has it", job.id, job.kind));
    if (job.started_at && *job.started_at > now + clocks_differ_max)
      out.push_back(
          std::format("job {} ({}) began at {}, which is to come", job.id, job.kind, format_time(*job.started_at)));
  }
  return out;
}

Result<std::vector<serve::PredictionLog::Made>> noted_segments(meta::Reader& reader) {
  TRY(auto segments, read_segments(reader));
  return std::move(segments.noted);
}

Result<void> note_segments(meta::Tx& tx, const serve::PredictionLog::Made& made, TimePoint now) {
  TRY(auto segments, read_segments(tx));
  // Of this process's range an earlier part may be noted, or rolled.
  std::erase_if(segments.noted, [&](const auto& range) { return range.first >= made.first; });
  segments.noted.push_back(made);
  segments.used = std::max(segments.used, made.last);
  return put_chore(tx, {std::string(segments_chore), json::render(segments), now});
}

Result<std::uint64_t> segment_numbers_used(meta::Reader& reader) {
  TRY(const auto segments, read_segments(reader));
  return segments.used;
}

Result<void> forget_segment(meta::Tx& tx, std::uint64_t number, TimePoint now) {
  TRY(auto segments, read_segments(tx));
  std::vector<serve::PredictionLog::Made> left;
  for (const auto& range : segments.noted) {
    if (number < range.first || number > range.last) {
      left.push_back(range);
      continue;
    }
    if (range.first < number) left.push_back({range.first, number - 1});
    if (number < range.last) left.push_back({number + 1, range.last});
  }
  segments.noted = std::move(left);
  return put_chore(tx, {std::string(segments_chore), json::render(segments), now});
}

Result<std::vector<Loss>> losses(meta::Reader& reader) {
  TRY(const auto chore, get_chore(reader, losses_chore));
  if (!chore) return std::vector<Loss>();
  return json::parse<std::vector<Loss>>(chore->result, "the losses");
}

Result<void> give_up(meta::Tx& tx, const BlobReference& blob, TimePoint now) {
  const auto hex = blob.digest.hex();
  if (blob.use == BlobUse::model || blob.use == BlobUse::baseline) {
    TRY(const auto artifacts, registry::kept_artifacts(tx));
    for (const auto& one : artifacts) {
      if (one.artifact == hex && one.number > 0) TRY_VOID(registry::let_bytes_go(tx, one.model, one.number));
    }
  }
  if (blob.use == BlobUse::rolled)
    TRY_VOID(let_part_go(tx, model_of_predictions(blob.name).value_or(""), hex, "lost", now));
  if (blob.use == BlobUse::part) {
    TRY(const auto datasets, data::datasets_of_part(tx, hex));
    for (const auto& dataset : datasets) TRY_VOID(data::let_parts_go(tx, dataset, {hex}, "lost", now));
  }
  TRY(auto all, losses(tx));
  if (std::ranges::contains(all, hex, &Loss::digest)) return {};
  all.push_back({hex, blob.of, format_time(now)});
  return put_chore(tx, {std::string(losses_chore), json::render(all), now});
}

}  // namespace millrace::loop
