// What may be thrown away: pure decisions, and which blobs the records need. Server side.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::loop {

struct GarbagePolicy {
  Duration every = std::chrono::hours(24);
  // After the start, and after the last one: retention may let several versions go in a row.
  Duration pause = std::chrono::minutes(10);
  // What was written or pinned within it stays, whoever knows it or not.
  Duration grace = std::chrono::hours(24);
  // Of finished jobs and pipeline runs with their history, of what they printed, and of rows that only a training
  // without a kept version learned from.
  Duration history = std::chrono::days(90);
};

struct GarbageSnapshot {
  TimePoint now{};
  Duration up{};                  // since the server started, by the steady clock
  std::optional<TimePoint> last;  // of the last collection; nullopt: never
  bool let_go = false;            // retention let something go since then
};
// Whether it is time to collect. Pure.
bool garbage_due(const GarbagePolicy& policy, const GarbageSnapshot& snapshot);

// The policy's grace, or longer while a job runs: what it has written is named by nobody before it ends. Pure.
Duration garbage_grace(const GarbagePolicy& policy, TimePoint now, std::optional<TimePoint> oldest_attempt);

// Whether the rows of a training are kept: they belong to a version that can be rebuilt, or the training is young.
// Pure.
bool rows_needed(const GarbagePolicy& policy, TimePoint now, TimePoint started, bool has_kept_version);

// Who needs a blob; the first that applies is told.
enum class Need { model, dataset, training, code, work };
std::string_view need_text(Need need);  // "files of model versions"

// Every digest that the records name, from one snapshot. `without`: versions (model, number) that count as let go.
class NeededBlobs {
 public:
  static Result<NeededBlobs> collect(meta::Reader& reader, const GarbagePolicy& policy, TimePoint now,
                                     const std::set<std::pair<std::string, std::int64_t>>& without = {});
  std::optional<Need> why(const Digest& digest) const;
  std::size_t size() const { return needs_.size(); }

 private:
  void add(Need need, std::string_view text);  // every digest in the text
  std::map<Digest, Need> needs_;
};

// What a collection did, or would do.
struct GarbageKept {
  std::string why;
  std::int64_t blobs = 0;
  std::int64_t bytes = 0;
};
struct GarbageReport {
  bool dry_run = false;
  std::vector<std::string> versions_let_go;  // "churn:3", by [retention]
  std::int64_t blobs = 0;                    // removed
  std::int64_t bytes = 0;                    // of everything removed
  std::int64_t uploads = 0;                  // abandoned ones
  std::int64_t quarantined = 0;              // damaged blobs past their time
  std::int64_t jobs = 0;                     // finished long ago, forgotten
  std::int64_t outputs = 0;                  // files with what jobs printed
  std::int64_t scratch = 0;                  // folders of attempts that nobody works in
  std::vector<GarbageKept> kept;             // by why; empty ones are left out
  double took_seconds = 0;
};
std::string render_report(const GarbageReport& report);
Result<GarbageReport> parse_report(std::string_view json);

}  // namespace millrace::loop
