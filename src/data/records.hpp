// Dataset versions as records of the server. Versions are numbered per dataset from 1 without gaps and never change;
// accepting a failed one is recorded beside it. Each function runs in the caller's transaction and emits its event
// there: `dataset.version` (key: "<dataset>@<number>"), `dataset.accepted`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "data/dataset.hpp"
#include "data/ingest.hpp"
#include "meta/meta.hpp"

namespace millrace::data {

std::vector<meta::Migration> migrations();

// ok: passed its checks. failed: did not; kept, marked, never trained on. accepted: failed, and somebody said why it
// may be used all the same.
enum class VersionState { ok, failed, accepted };
std::string_view state_name(VersionState state);

struct Acceptance {
  std::string by;
  std::string reason;
  TimePoint time{};
};

// What lists show. Everything that is small.
struct VersionSummary {
  std::string dataset;
  std::int64_t number = 0;
  VersionState state = VersionState::ok;
  std::string state_reason;  // of a failed one: its first broken check and how many more
  std::optional<std::int64_t> parent;
  std::string mode;  // append: the parent's parts come first; replace: none of them
  std::int64_t rows = 0;
  std::int64_t new_rows = 0;
  std::int64_t parts = 0;
  std::int64_t bytes = 0;
  Provenance provenance;
  std::string by;   // who or what rule ingested it
  std::string job;  // that read it
  TimePoint created{};
  std::optional<Acceptance> accepted;
  bool usable() const { return state != VersionState::failed; }
};

struct VersionRecord : VersionSummary {
  std::vector<Part> part_list;
  std::vector<ColumnField> schema;
  Analysis analysis;
  std::vector<std::string> notes;  // about the source; analysis.inference has its own
};

struct NewVersion {
  std::string dataset;
  std::optional<std::int64_t> parent;  // the version that the ingest built on; none for the first
  std::string mode = "append";
  IngestOutput output;
  std::string by;
  std::string job;
};
struct AddedVersion {
  std::int64_t number = 0;
  VersionState state = VersionState::ok;
  bool created = false;  // false: the same source was recorded before, or it brought nothing new; `number` has its rows
};

// Records what an ingest found. Repeating it (a job that ran twice) creates nothing.
// aborted `data.parent_moved` when `parent` is not the newest version any more: ingest again, on top of that.
Result<AddedVersion> add_version(meta::Tx& tx, const NewVersion& version, TimePoint now);

// not_found `data.no_dataset`, `data.no_version`, naming what exists. `number` absent: the newest.
Result<VersionRecord> get_version(meta::Reader& reader, std::string_view dataset,
                                  std::optional<std::int64_t> number = {});
Result<std::vector<VersionSummary>> list_versions(meta::Reader& reader, std::string_view dataset);  // newest first
// The newest version of every dataset, by name.
Result<std::vector<VersionSummary>> list_datasets(meta::Reader& reader);
// The newest version, nullopt when there is none; and the newest that may be trained on.
Result<std::optional<VersionSummary>> latest(meta::Reader& reader, std::string_view dataset);
Result<std::optional<VersionSummary>> latest_usable(meta::Reader& reader, std::string_view dataset);
// As the dataset was at a moment: the newest version recorded by then.
Result<std::optional<VersionSummary>> latest_at(meta::Reader& reader, std::string_view dataset, TimePoint at);

// Fills what an ingest on top of the newest version needs: parent_parts, parent_schema, parent_sources. Returns that
// version's number, nullopt for the first ingest.
Result<std::optional<std::int64_t>> prepare_ingest(meta::Reader& reader, std::string_view dataset, IngestInput& input);

// Lets a failed version be trained on. invalid_argument `data.no_reason` for an empty reason. A version that is usable
// already stays as it is.
Result<VersionSummary> accept(meta::Tx& tx, std::string_view dataset, std::int64_t number, std::string_view by,
                              std::string_view reason, TimePoint now);

// Is this blob a part of some version? For blob::Store::collect_garbage.
Result<bool> references(meta::Reader& reader, std::string_view digest);

// "customers@3" -> {"customers", 3}; "customers" -> {"customers", nullopt}. invalid_argument `data.bad_name`.
struct DatasetName {
  std::string dataset;
  std::optional<std::int64_t> number;
};
Result<DatasetName> parse_dataset_name(std::string_view text);

// What is stored as JSON in one column.
struct VersionBody {
  std::vector<Part> parts;
  std::vector<ColumnField> schema;
  Analysis analysis;
  std::vector<std::string> notes;
};
Result<VersionBody> parse_version_body(std::string_view json);
std::string render(const VersionBody& body);

}  // namespace millrace::data
