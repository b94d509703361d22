#include "data/records.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/json.hpp"

namespace millrace::data {

std::vector<meta::Migration> migrations() {
  return {{"data", 1, R"sql(
CREATE TABLE data_versions (
  dataset TEXT NOT NULL,
  number BIGINT NOT NULL,
  passed BIGINT NOT NULL,
  state_reason TEXT NOT NULL,
  parent BIGINT,
  mode TEXT NOT NULL,
  row_count BIGINT NOT NULL,
  new_rows BIGINT NOT NULL,
  part_count BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  source_uri TEXT NOT NULL,
  source_size BIGINT NOT NULL,
  source_changed TEXT NOT NULL,
  source_digest TEXT NOT NULL,
  created_by TEXT NOT NULL,
  job TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  format BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (dataset, number)
);
CREATE TABLE data_parts (
  digest TEXT NOT NULL,
  dataset TEXT NOT NULL,
  first_version BIGINT NOT NULL,
  row_count BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  PRIMARY KEY (digest, dataset),
  FOREIGN KEY (dataset, first_version) REFERENCES data_versions (dataset, number)
);
CREATE TABLE data_acceptances (
  dataset TEXT NOT NULL,
  number BIGINT NOT NULL,
  accepted_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  accepted_us BIGINT NOT NULL,
  PRIMARY KEY (dataset, number),
  FOREIGN KEY (dataset, number) REFERENCES data_versions (dataset, number)
);
)sql"}};
}

namespace {

constexpr std::int64_t body_format = 1;

// Of data_versions v left joined with data_acceptances a.
constexpr std::string_view summary_columns =
    "v.dataset, v.number, v.passed, v.state_reason, v.parent, v.mode, v.row_count, v.new_rows, v.part_count, v.bytes, "
    "v.source_uri, v.source_size, v.source_changed, v.source_digest, v.created_by, v.job, v.created_us, a.accepted_by, "
    "a.reason, a.accepted_us";
constexpr std::size_t summary_width = 20;
constexpr std::string_view from_versions =
    " FROM data_versions v LEFT JOIN data_acceptances a ON a.dataset = v.dataset AND a.number = v.number ";

std::string select(std::string_view rest, bool body = false) {
  return "SELECT " + std::string(summary_columns) + (body ? ", v.format, v.body" : "") + std::string(from_versions) +
         std::string(rest);
}

void read_summary(const meta::Row& row, VersionSummary& out) {
  out.dataset = row.text(0);
  out.number = row.integer(1);
  out.state_reason = row.text(3);
  out.parent = row.maybe_integer(4);
  out.mode = row.text(5);
  out.rows = row.integer(6);
  out.new_rows = row.integer(7);
  out.parts = row.integer(8);
  out.bytes = row.integer(9);
  out.provenance = {row.text(10), row.integer(11), row.text(12), row.text(13)};
  out.by = row.text(14);
  out.job = row.text(15);
  out.created = row.time(16);
  if (!row.is_null(17)) out.accepted = Acceptance{row.text(17), row.text(18), row.time(19)};
  out.state = row.truth(2) ? VersionState::ok : out.accepted ? VersionState::accepted : VersionState::failed;
}

Result<std::vector<VersionSummary>> summaries(meta::Reader& reader, const std::string& sql, meta::Params params) {
  TRY(const auto rows, reader.query(sql, std::move(params)));
  std::vector<VersionSummary> out;
  for (const meta::Row& row : rows) read_summary(row, out.emplace_back());
  return out;
}

Result<std::optional<VersionSummary>> first_of(meta::Reader& reader, const std::string& sql, meta::Params params) {
  TRY(const auto row, reader.query_one(sql, std::move(params)));
  if (!row) return std::optional<VersionSummary>();
  VersionSummary out;
  read_summary(*row, out);
  return std::optional(std::move(out));
}

std::string version_name(std::string_view dataset, std::int64_t number) {
  return std::string(dataset) + "@" + std::to_string(number);
}

std::string reason_of(const CheckReport& checks) {
  const auto broken = [](const CheckResult& r) { return r.level == "error"; };
  const auto first = std::ranges::find_if(checks.results, broken);
  if (first == checks.results.end()) return {};
  const auto more = std::ranges::count_if(checks.results, broken) - 1;
  return (first->column.empty() ? first->rule : first->column + ": " + first->rule) + ": " + first->message +
         (more > 0 ? "; and " + std::to_string(more) + " more" : "");
}

struct VersionEvent {
  std::string dataset;
  std::int64_t number = 0;
  std::string state;
  std::int64_t rows = 0;
  std::int64_t new_rows = 0;
  std::string by;
};

Result<void> announce(meta::Tx& tx, std::string subject, const VersionSummary& v, std::string_view by) {
  return tx.emit({std::move(subject), version_name(v.dataset, v.number),
                  json::render(VersionEvent{v.dataset, v.number, std::string(state_name(v.state)), v.rows, v.new_rows,
                                            std::string(by)})});
}

// Digests of the sources whose rows version `number` has: up the parents until one replaced all.
Result<std::vector<std::string>> sources_of(meta::Reader& reader, std::string_view dataset,
                                            std::optional<std::int64_t> number) {
  TRY(const auto rows,
      reader.query(
          "SELECT number, parent, mode, source_digest FROM data_versions WHERE dataset = $1 ORDER BY number DESC",
          {std::string(dataset)}));
  std::vector<std::string> out;
  for (const meta::Row& row : rows) {
    if (!number || row.integer(0) != *number) continue;
    out.push_back(row.text(3));
    number = row.text(2) == "replace" ? std::nullopt : row.maybe_integer(1);
  }
  return out;
}

Result<void> insert_version(meta::Tx& tx, const NewVersion& version, VersionSummary& summary) {
  const IngestOutput& output = version.output;
  const VersionBody body{output.parts, output.schema, output.analysis, output.notes};
  TRY_VOID(
      tx.exec("INSERT INTO data_versions (dataset, number, passed, state_reason, parent, mode, row_count, new_rows, "
              "part_count, bytes, "
              "source_uri, source_size, source_changed, source_digest, created_by, job, created_us, format, body) "
              "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
              {summary.dataset, summary.number, std::int64_t{summary.state == VersionState::ok}, summary.state_reason,
               meta::value(summary.parent), summary.mode, summary.rows, summary.new_rows, summary.parts, summary.bytes,
               summary.provenance.uri, summary.provenance.size, summary.provenance.changed, summary.provenance.digest,
               summary.by, summary.job, meta::value(summary.created), body_format, render(body)}));
  for (const Part& part : output.parts) {
    TRY_VOID(
        tx.exec("INSERT INTO data_parts (digest, dataset, first_version, row_count, bytes) VALUES ($1, $2, $3, $4, $5) "
                "ON CONFLICT (digest, dataset) DO NOTHING",
                {part.digest, summary.dataset, summary.number, part.rows, part.bytes}));
  }
  return {};
}

std::unexpected<Error> no_version(std::string_view dataset, std::optional<std::int64_t> number,
                                  const std::vector<VersionSummary>& all) {
  if (all.empty()) {
    return fail(Code::not_found, "data.no_dataset",
                "there is no dataset '" + std::string(dataset) + "' with rows; millrace data ls shows what exists");
  }
  return fail(Code::not_found, "data.no_version",
              "there is no " + version_name(dataset, number.value_or(0)) + "; versions 1 to " +
                  std::to_string(all.front().number) + " exist");
}

}  // namespace

std::string_view state_name(VersionState state) {
  constexpr std::array<std::string_view, 3> names = {"ok", "failed", "accepted"};
  return names[static_cast<std::size_t>(state)];
}

Result<AddedVersion> add_version(meta::Tx& tx, const NewVersion& version, TimePoint now) {
  const IngestOutput& output = version.output;
  TRY(const auto newest, latest(tx, version.dataset));
  const std::optional<std::int64_t> newest_number = newest ? std::optional(newest->number) : std::nullopt;
  TRY(const auto known, sources_of(tx, version.dataset, newest_number));
  if (newest && (output.unchanged || std::ranges::find(known, output.provenance.digest) != known.end())) {
    return AddedVersion{newest->number, newest->state, false};
  }
  if (version.parent != newest_number) {
    return fail(Code::aborted, "data.parent_moved",
                version.dataset + " got " + (newest ? version_name(version.dataset, newest->number) : "no version") +
                    " while this source was read on top of " +
                    (version.parent ? version_name(version.dataset, *version.parent) : "nothing") +
                    "; ingest it again");
  }
  VersionSummary summary;
  summary.dataset = version.dataset;
  summary.number = newest_number.value_or(0) + 1;
  summary.state = output.analysis.checks.passed() ? VersionState::ok : VersionState::failed;
  summary.state_reason = reason_of(output.analysis.checks);
  summary.parent = version.parent;
  summary.mode = version.mode;
  summary.rows = output.analysis.rows;
  summary.new_rows = output.new_rows;
  summary.parts = static_cast<std::int64_t>(output.parts.size());
  for (const Part& part : output.parts) summary.bytes += part.bytes;
  summary.provenance = output.provenance;
  summary.by = version.by;
  summary.job = version.job;
  summary.created = now;
  TRY_VOID(insert_version(tx, version, summary));
  TRY_VOID(announce(tx, "dataset.version", summary, version.by));
  return AddedVersion{summary.number, summary.state, true};
}

Result<VersionRecord> get_version(meta::Reader& reader, std::string_view dataset, std::optional<std::int64_t> number) {
  const std::string name(dataset);
  const auto row = number
                       ? reader.query_one(select("WHERE v.dataset = $1 AND v.number = $2", true), {name, *number})
                       : reader.query_one(select("WHERE v.dataset = $1 ORDER BY v.number DESC LIMIT 1", true), {name});
  if (!row) return fail(row.error());
  if (!*row) {
    TRY(const auto all, list_versions(reader, dataset));
    return no_version(dataset, number, all);
  }
  VersionRecord out;
  read_summary(**row, out);
  if ((*row)->integer(summary_width) != body_format) {
    return fail(
        Code::failed_precondition, "data.format",
        version_name(dataset, out.number) + " was recorded by a newer Millrace in a form that this one does not know");
  }
  TRY(auto body, parse_version_body((*row)->text(summary_width + 1)));
  out.part_list = std::move(body.parts);
  out.schema = std::move(body.schema);
  out.analysis = std::move(body.analysis);
  out.notes = std::move(body.notes);
  return out;
}

Result<std::vector<VersionSummary>> list_versions(meta::Reader& reader, std::string_view dataset) {
  return summaries(reader, select("WHERE v.dataset = $1 ORDER BY v.number DESC"), {std::string(dataset)});
}

Result<std::vector<VersionSummary>> list_datasets(meta::Reader& reader) {
  return summaries(reader,
                   select("WHERE v.number = (SELECT MAX(m.number) FROM data_versions m WHERE m.dataset = v.dataset) "
                          "ORDER BY v.dataset"),
                   {});
}

Result<std::optional<VersionSummary>> latest(meta::Reader& reader, std::string_view dataset) {
  return first_of(reader, select("WHERE v.dataset = $1 ORDER BY v.number DESC LIMIT 1"), {std::string(dataset)});
}

Result<std::optional<VersionSummary>> latest_usable(meta::Reader& reader, std::string_view dataset) {
  return first_of(
      reader,
      select("WHERE v.dataset = $1 AND (v.passed = 1 OR a.accepted_by IS NOT NULL) ORDER BY v.number DESC LIMIT 1"),
      {std::string(dataset)});
}

Result<std::optional<VersionSummary>> latest_at(meta::Reader& reader, std::string_view dataset, TimePoint at) {
  return first_of(reader, select("WHERE v.dataset = $1 AND v.created_us <= $2 ORDER BY v.number DESC LIMIT 1"),
                  {std::string(dataset), meta::value(at)});
}

Result<std::optional<std::int64_t>> prepare_ingest(meta::Reader& reader, std::string_view dataset, IngestInput& input) {
  TRY(const auto newest, latest(reader, dataset));
  if (!newest) return std::optional<std::int64_t>();
  TRY(auto record, get_version(reader, dataset, newest->number));
  input.parent_parts = std::move(record.part_list);
  input.parent_schema = std::move(record.schema);
  TRY(input.parent_sources, sources_of(reader, dataset, newest->number));
  return std::optional(newest->number);
}

Result<VersionSummary> accept(meta::Tx& tx, std::string_view dataset, std::int64_t number, std::string_view by,
                              std::string_view reason, TimePoint now) {
  const std::string name(dataset);
  const std::string sql = select("WHERE v.dataset = $1 AND v.number = $2");
  TRY(auto found, first_of(tx, sql, {name, number}));
  if (!found) {
    TRY(const auto all, list_versions(tx, dataset));
    return no_version(dataset, number, all);
  }
  if (found->usable()) return std::move(*found);
  if (reason.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return fail(
        Code::invalid_argument, "data.no_reason",
        "say why " + version_name(dataset, number) + " may be trained on although its checks failed: --reason \"...\"");
  }
  TRY_VOID(tx.exec(
      "INSERT INTO data_acceptances (dataset, number, accepted_by, reason, accepted_us) VALUES ($1, $2, $3, $4, $5)",
      {name, number, std::string(by), std::string(reason), meta::value(now)}));
  TRY(found, first_of(tx, sql, {name, number}));
  TRY_VOID(announce(tx, "dataset.accepted", *found, by));
  return std::move(*found);
}

Result<bool> references(meta::Reader& reader, std::string_view digest) {
  TRY(const auto row, reader.query_one("SELECT 1 FROM data_parts WHERE digest = $1 LIMIT 1", {std::string(digest)}));
  return row.has_value();
}

Result<DatasetName> parse_dataset_name(std::string_view text) {
  const std::size_t at = text.rfind('@');
  DatasetName out{std::string(text.substr(0, at)), std::nullopt};
  bool good = !out.dataset.empty();
  if (good && at != std::string_view::npos) {
    const std::string_view digits = text.substr(at + 1);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    good = error == std::errc() && end == digits.data() + digits.size() && number > 0;
    out.number = number;
  }
  if (good) return out;
  return fail(Code::invalid_argument, "data.bad_name",
              "'" + std::string(text) + "' names no dataset version; write customers or customers@3");
}

Result<VersionBody> parse_version_body(std::string_view json) {
  return json::parse<VersionBody>(json, "the record of a dataset version");
}
std::string render(const VersionBody& body) { return json::render(body); }

}  // namespace millrace::data
