// What the two halves of the predictor share: requests read Routing, loading changes Known.
#pragma once

#include <array>
#include <functional>
#include <thread>

#include "serve/batch.hpp"
#include "serve/predictor.hpp"
#include "serve/shadow_internal.hpp"

namespace millrace::serve {

struct Predictor::Served {
  std::int64_t version = 0;
  std::string name_and_version;
  std::shared_ptr<const model::LoadedModel> model;
  PredictionLog::Handle log, shadow_log;
  double log_share = 1;
  std::shared_ptr<VersionStatistics> statistics;  // of the version, which may leave memory and come back
  std::uint64_t bytes = 0;
  std::shared_ptr<Batcher> batcher = std::make_shared<Batcher>();

  // Of a share of its rows: the lines of requests that begin from now on.
  void log_to(PredictionLog& to, const std::string& name, double share) {
    const auto& manifest = model->manifest();
    log = to.schema({name, version, model::input_schema(manifest).fields, manifest.classes, share});
    shadow_log =
        to.schema({shadow_model(name), version, model::input_schema(manifest).fields, manifest.classes, share});
    log_share = share;
  }
};

// Not what the client sent.
inline bool is_servers_fault(Code code) {
  return code == Code::internal || code == Code::unknown || code == Code::data_loss || code == Code::unavailable ||
         code == Code::deadline_exceeded;
}

// What was answered in place of a version that failed, and its rows where they are not those of that one.
struct Predictor::StoodIn {
  std::vector<model::Answer> answers;
  std::optional<model::ParsedRows> rows;
};

// Requests add to them without a lock.
struct Counters {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> unseen{0};
  std::atomic<std::uint64_t> not_logged{0};
  std::atomic<std::uint64_t> not_sampled{0};
  std::atomic<std::uint64_t> shadow_dropped{0};
  std::atomic<std::uint64_t> fallbacks{0};
  PhaseHistograms phases;
  Cost cost;
  std::atomic<std::size_t> pending{0};       // places that are taken, see Predictor::admit()
  std::atomic<std::uint64_t> overloaded{0};  // requests that found none
  BatchHistogram batches;
  std::shared_ptr<Lane> lane = std::make_shared<Lane>();
  std::atomic<std::int64_t> used{0};  // when it was asked last: the calendar's microseconds

  void answered(std::size_t count, TimePoint now) {
    used.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    requests.fetch_add(1, std::memory_order_relaxed);
    rows.fetch_add(count, std::memory_order_relaxed);
  }
};

struct Predictor::Entry {
  VersionRef ref;
  VersionState state;                    // its `version` is the key, not the number
  std::shared_ptr<const Served> served;  // none: not loaded, or it left memory
  std::shared_ptr<VersionStatistics> statistics = std::make_shared<VersionStatistics>();
  std::uint64_t bytes = 0;   // of it when it was loaded last
  std::int64_t brought = 0;  // when that was
  bool loading = false;
};

struct Predictor::Known {
  std::string name;
  std::map<std::int64_t, std::shared_ptr<Entry>> versions;  // by key: what came later is larger
  std::int64_t last_key = 0;
  std::optional<std::int64_t> serving;  // a key
  bool refuse_unlogged = false, pinned = false;
  Fallback fallback;
  TurnPolicy turns;
  BatchPolicy batching;
  double log_share = 1;
  std::optional<std::int64_t> current, previous;  // the keys of what is wanted
  std::optional<WantedRelease> release;
  bool probation = false;
  std::uint64_t loads = 0;
  // Loads that somebody else finished before them. What they use outlives this.
  std::vector<std::jthread> overtaken;
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
};

struct Predictor::Routed {
  struct Version {
    std::int64_t number = 0;
    std::shared_ptr<const Served> served;  // none: it left memory
    std::shared_ptr<const VersionStatistics> statistics;
  };
  // Of a release whose candidate was loaded.
  struct Release {
    std::string id;
    double weight = 0;
    bool shadow = false;
    bool same_inputs = false;  // as what serves: rows are read alike
    std::vector<int> inputs;   // where each of its inputs stands in a row of what serves; -1: nowhere
    Version candidate;
  };
  std::string name;
  std::optional<Version> serving;
  BatchPolicy batching;
  std::size_t concurrency = 1;  // of computations, where they are batched
  Fallback fallback;
  std::shared_ptr<const Served> previous;  // of `fallback`; in memory
  std::shared_ptr<const Served> constant;  // of `fallback`: the serving model's manifest, but no version
  model::Answer constant_answer;
  std::optional<Release> release;
  bool probation = false;
  std::vector<Version> loaded;
  bool refuse_unlogged = false;
  std::string error;
  std::shared_ptr<Counters> counters;
};

// In parts, so that a change of one model copies a part and not a thousand names.
struct Predictor::Routing {
  using Part = std::map<std::string, std::shared_ptr<const Routed>, std::less<>>;
  static constexpr std::size_t kParts = 64;
  std::array<std::shared_ptr<const Part>, kParts> parts;

  static std::size_t part_of(std::string_view name) { return std::hash<std::string_view>()(name) % kParts; }
  const Routed* find(std::string_view name) const {
    const auto& part = parts[part_of(name)];
    if (!part) return nullptr;
    const auto at = part->find(name);
    return at == part->end() ? nullptr : at->second.get();
  }
};

}  // namespace millrace::serve
