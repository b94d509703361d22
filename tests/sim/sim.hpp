// One seed's run: the world, what is expected of it, and what the operations share.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/expect_blobs.hpp"
#include "sim/expect_events.hpp"
#include "sim/expect_jobs.hpp"
#include "sim/expect_log.hpp"
#include "sim/ledger.hpp"
#include "sim/world.hpp"
#include "train/job_source.hpp"

namespace millrace::simulator {

using Counts = std::map<std::string, std::uint64_t>;

inline constexpr std::string_view model_name = "m";
inline constexpr std::string_view source_name = "s";

// An upload that is open across operations.
struct Upload {
  std::unique_ptr<blob::Writer> writer;
  std::string content;
};

// A worker's hold on a job, as it believes: perhaps it was lost long ago, and the worker comes back late.
struct Attempt {
  train::JobLease lease;
};

// A batch of labels as somebody sent it; whoever got no answer sends it again as it was, a refusable one too.
struct SaidLabels {
  std::vector<label::RawLabel> labels;
  bool bad = false;     // a value that is no class
  bool reused = false;  // an id that stands for another label
};

// The registry as the model has it; refreshed whenever nothing is unknown.
struct Release {
  struct Version {
    std::string run;
    bool passed = false, overridden = false, kept = true;
    std::string artifact;
  };
  std::map<std::int64_t, Version> versions;
  std::optional<std::int64_t> current, previous;
  std::int64_t newest() const { return versions.empty() ? 0 : versions.rbegin()->first; }
};

struct Sim {
  Sim(std::uint64_t seed, Plant plant);

  World world;

  // ---- what must be there
  ExpectBlobs blobs;
  ExpectLog log;
  ExpectEvents events;
  ExpectJobs jobs;
  Ledger asked{"jobs"};           // by cause
  Ledger effects{"effects"};      // job@token
  Ledger trainings{"trainings"};  // by cause
  Ledger parts{"dataset rows"};   // digests of the source's newest version
  Ledger versions{"versions"};    // run and artifact
  Ledger moves{"aliases"};        // moves and overrides
  Ledger labels{"labels"};        // all that a label says
  Release release;
  bool project_applied = false;
  bool counter_missed = false;  // retention took events before the consumer "counter" had them

  // ---- what is under way
  std::optional<Upload> upload;
  std::vector<Attempt> attempts;
  std::vector<std::string> raw;                   // contents that were uploaded as data, to be sent again
  std::vector<SaidLabels> said;                   // batches of labels
  std::vector<std::string> late_blobs;            // Plant::reference_before_blob
  std::optional<std::set<Digest>> needed_before;  // Plant::gc_by_old_records
  serve::PredictionLog::Handle schema;
  std::optional<IdMaker> ids;

  // ---- the story
  Counts counts;
  bool fault_set = false;  // an operation may fail for it
  bool unsettled = false;  // something failed, and what it left is not known
  std::string wrong;       // the first thing that must not be
  std::string trace;
  std::uint64_t next_number = 0;

  Modules& m() { return world.modules(); }
  std::uint64_t below(std::uint64_t bound) { return world.story_rng.below(bound); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::string unique(std::string_view what) { return std::string(what) + "-" + std::to_string(++next_number); }
  TimePoint now() { return world.clock.now(); }
  bool has(Plant plant) const { return world.has(plant); }

  void note(std::string_view what, std::string_view how = "");
  void say(std::string text);  // something is wrong; "" is not
  bool ok() const { return wrong.empty(); }
  // An error that only a fault may cause: its outcome is unknown from here on. Without a fault it is wrong.
  void failed(std::string_view what, const Error& error);
  // Looks whether the queue's retention took what a consumer has not had yet.
  void note_missed();
  // A refusal that the rules ask for: fine when `expected`, else wrong.
  void refused(std::string_view what, const Error& error, bool expected);
};

// One kind of thing that happens. It may only touch running modules.
struct Operation {
  std::string_view name;
  unsigned weight;
  void (*run)(Sim&);
};

std::span<const Operation> blob_operations();
std::span<const Operation> garbage_operations();
std::span<const Operation> label_operations();
std::span<const Operation> job_operations();
std::span<const Operation> loop_operations();
std::span<const Operation> release_operations();
std::span<const Operation> log_operations();
std::span<const Operation> queue_operations();

// After opening: what a server does before it takes requests.
void begin(Sim& sim);
// The records, compared with what is expected. Cheap. Only while nothing is unknown, but for what this settles.
void look(Sim& sim);
// And the bytes.
void audit(Sim& sim);

}  // namespace millrace::simulator
