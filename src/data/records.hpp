// Dataset versions as records of the server. Versions are numbered per dataset from 1 without gaps and never change;
// accepting a failed one is recorded beside it; all history stays. Each function runs in the caller's transaction and
// emits its event there: `dataset.version`, `dataset.accepted` (key: the dataset; payload {"version", "state"}).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "data/ingest.hpp"
#include "meta/meta.hpp"

namespace millrace::data {

std::vector<meta::Migration> migrations();

// ok: passed its checks. failed: did not; kept, marked, never trained on. accepted: failed, and somebody said why it
// may be used all the same.
enum class VersionState { ok, failed, accepted };
std::string_view state_name(VersionState state);

struct DatasetVersion {
  std::string dataset;
  std::int64_t number = 0;
  std::int64_t rows = 0;
  std::int64_t bytes = 0;  // of all parts
  std::int64_t part_count = 0;
  VersionState state = VersionState::ok;
  std::string state_by;      // who accepted it
  std::string state_reason;  // and why; of a failed one: its first broken check and how many more
  std::optional<TimePoint> state_at;
  std::int64_t parent = 0;  // the usable version that was the newest before; 0: none
  TimePoint created{};
  std::string by;        // who or which rule made it
  IngestOutput content;  // parts, schema, analysis, provenance; lists have the provenance only
  bool usable() const { return state != VersionState::failed; }
};

// Records what an ingest found; the state follows from its checks. Exactly the content of the newest version is not
// recorded again: that version is the answer, so a job may commit twice.
// aborted `data.parent_moved` when rows would be lost: an append that was read on top of parts which are not those of
// the newest usable version any more. Ingest again.
Result<DatasetVersion> add_version(meta::Tx& tx, const std::string& dataset, IngestOutput content,
                                   const std::string& by, TimePoint now);

// Lets a failed version be trained on. invalid_argument `data.no_reason` for an empty reason, failed_precondition
// `data.not_failed` for a version that passed. One that is accepted already stays as it is.
Result<DatasetVersion> accept(meta::Tx& tx, const std::string& dataset, std::int64_t number, const std::string& by,
                              const std::string& reason, TimePoint now);

// Reading "as of" a moment gives what stood then: versions recorded by then, accepted only if somebody had by then.
inline constexpr TimePoint as_of_now = TimePoint::max();

// not_found `data.no_version`, naming what there is.
Result<DatasetVersion> get_version(meta::Reader& reader, const std::string& dataset, std::int64_t number,
                                   TimePoint at = as_of_now);
Result<std::optional<DatasetVersion>> newest_version(meta::Reader& reader, const std::string& dataset);
// The newest that may be trained on.
Result<std::optional<DatasetVersion>> newest_usable(meta::Reader& reader, const std::string& dataset);
// The same two without their content (as in lists): cheap, for whoever looks every second.
Result<std::optional<DatasetVersion>> newest_head(meta::Reader& reader, const std::string& dataset);
Result<std::optional<DatasetVersion>> newest_usable_head(meta::Reader& reader, const std::string& dataset);
// As the dataset was at a moment: the newest version recorded by then, usable or not.
Result<std::optional<DatasetVersion>> version_at(meta::Reader& reader, const std::string& dataset, TimePoint at);
Result<std::optional<DatasetVersion>> head_at(meta::Reader& reader, const std::string& dataset,
                                              TimePoint at);  // without content
// Newest first; of all datasets, by name, when `dataset` is empty.
Result<std::vector<DatasetVersion>> list_versions(meta::Reader& reader, const std::string& dataset,
                                                  TimePoint at = as_of_now);

// Digests of the sources whose rows a version has: its own, then its ancestors' back to the last replacement.
Result<std::vector<std::string>> sources_of(meta::Reader& reader, const std::string& dataset, std::int64_t number);
// The blobs that are parts of some version, each once, in no order. For blob::Store::collect_garbage.
Result<std::vector<std::string>> part_digests(meta::Reader& reader);

// Each part of each dataset, with the version that brought it and where that was read.
struct PartUse {
  std::string digest;
  std::string dataset;
  std::int64_t first_version = 0;
  std::string source_uri;
};
Result<std::vector<PartUse>> part_uses(meta::Reader& reader);

// Datasets that have this blob as a part.
Result<std::vector<std::string>> datasets_of_part(meta::Reader& reader, const std::string& digest);

// Retention and erasure: a new version without these parts of the newest one, with `reason` in its notes. Their blobs
// lose their reference; older versions stay as records, and check_readable() says what of them is gone. Digests that
// the newest version does not have are passed over.
Result<void> let_parts_go(meta::Tx& tx, const std::string& dataset, const std::vector<std::string>& digests,
                          const std::string& reason, TimePoint now);
// failed_precondition `data.rows_gone`, with how many, why and since when, for a version whose rows are not all there.
Result<void> check_readable(meta::Reader& reader, const DatasetVersion& version);

// "customers@3" -> {"customers", 3}; "customers" -> {"customers", nullopt}. invalid_argument `data.bad_name`.
struct DatasetName {
  std::string dataset;
  std::optional<std::int64_t> number;
};
Result<DatasetName> parse_dataset_name(std::string_view text);

}  // namespace millrace::data
