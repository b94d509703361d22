// Model versions, aliases, verdicts, lineage.
// Versions never change once created, but for their verdict being overridden (recorded) and their bytes being let go
// (retention; the record stays). Aliases are the only thing that moves; every move is kept. Each function runs in the
// caller's transaction and emits its event there: `model.version`, `model.alias`.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::registry {

std::vector<meta::Migration> migrations();

// Reading "as of" a moment gives what stood then: versions that were recorded by then, with the verdict that they had
// then, and aliases where they pointed. (Whether a version's bytes are kept is told as of now.)
inline constexpr TimePoint as_of_now = TimePoint::max();

inline constexpr std::string_view current_alias = "current";
inline constexpr std::string_view previous_alias = "previous";

enum class VerdictState { passed, failed, overridden };
std::string_view verdict_name(VerdictState state);

struct ModelVersion {
  std::string model;
  std::int64_t number = 0;  // from 1, without gaps; 0 is the baseline (most frequent class, mean)
  std::string run;          // the run that made it
  std::string artifact;     // digest, hex
  std::int64_t bytes = 0;
  bool bytes_kept = true;  // false once retention let the artifact go
  VerdictState verdict = VerdictState::failed;
  std::string verdict_lines;  // JSON of the gate lines
  std::string override_by;    // who let it past a failed gate, and why; empty otherwise
  std::string override_reason;
  std::string report;   // JSON: metrics overall and per slice, rows compared and their digest
  std::string lineage;  // JSON: digests of data, project file, code; parameters, seeds, threads, build; the train input
  bool quick = false;   // trained on a sample: never passes
  TimePoint created{};
};

struct AliasMove {
  std::string alias;
  std::int64_t version = 0;
  std::string by;
  std::string reason;
  TimePoint since{};
};

struct Actor {
  std::string name;    // a person, or "rule: new_labels >= 100"
  std::string reason;  // may be empty for rules and for versions that passed
};

// Gives the next number (`number` is ignored, but 0 with `baseline`), whatever the verdict. The caller has proven that
// a fresh process loads the artifact and answers its golden rows.
Result<ModelVersion> add_version(meta::Tx& tx, ModelVersion version, bool baseline = false);
// not_found `registry.no_model` / `registry.no_version`, naming what exists.
Result<ModelVersion> get_version(meta::Reader& reader, std::string_view model, std::int64_t number,
                                 TimePoint at = as_of_now);
// Newest first; `limit` of them after the first `offset`.
struct Page {
  std::int64_t limit = std::numeric_limits<std::int64_t>::max(), offset = 0;
};
Result<std::vector<ModelVersion>> list_versions(meta::Reader& reader, std::string_view model, TimePoint at = as_of_now,
                                                const Page& page = {});
Result<std::int64_t> count_versions(meta::Reader& reader, std::string_view model, TimePoint at = as_of_now);
// The same without verdict lines, report and lineage: cheap, for whoever looks often.
Result<std::vector<ModelVersion>> list_heads(meta::Reader& reader, std::string_view model);
Result<std::vector<std::string>> list_models(meta::Reader& reader);

// Where an alias points; nullopt when it points nowhere.
Result<std::optional<AliasMove>> alias(meta::Reader& reader, std::string_view model, std::string_view alias,
                                       TimePoint at = as_of_now);
Result<std::vector<AliasMove>> alias_history(meta::Reader& reader, std::string_view model, TimePoint at = as_of_now,
                                             const Page& page = {});  // newest first, all aliases

struct Promotion {
  std::int64_t current = 0;
  std::optional<std::int64_t> previous;
  bool changed = false;
};
// Points `current` at `number` and `previous` at what was current. failed_precondition `registry.gate_not_passed` when
// the verdict is failed and by.reason is empty; with a reason the verdict becomes overridden, by whom and why.
// failed_precondition `registry.bytes_gone` when retention let its bytes go. Repeating the call changes nothing.
Result<Promotion> promote(meta::Tx& tx, std::string_view model, std::int64_t number, const Actor& by, TimePoint now);
// Points `current` back at `previous` (and `previous` at what was current). failed_precondition `registry.no_previous`.
Result<Promotion> rollback(meta::Tx& tx, std::string_view model, const Actor& by, TimePoint now);

// Which versions' bytes may go under `keep` newest: never one that `current` or `previous` names, nor the baseline.
// Pure.
std::vector<std::int64_t> to_let_go(const std::vector<ModelVersion>& versions, std::optional<std::int64_t> current,
                                    std::optional<std::int64_t> previous, std::optional<std::int64_t> keep);
// Versions whose artifact is kept, of all models: what garbage collection must leave.
struct KeptArtifact {
  std::string model;
  std::int64_t number = 0;
  std::string run;
  std::string artifact;
  std::int64_t bytes = 0;
};
Result<std::vector<KeptArtifact>> kept_artifacts(meta::Reader& reader);
Result<void> let_bytes_go(meta::Tx& tx, std::string_view model, std::int64_t number);

// "churn:3" -> {"churn", 3}; "churn" -> {"churn", nullopt}; "churn:baseline" -> {"churn", 0}. invalid_argument
// `registry.bad_name`.
struct VersionName {
  std::string model;
  std::optional<std::int64_t> number;
};
Result<VersionName> parse_version_name(std::string_view text);

}  // namespace millrace::registry
