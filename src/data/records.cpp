#include "data/records.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <format>

namespace millrace::data {

std::vector<meta::Migration> migrations() {
  return {{"data", 1, R"sql(
CREATE TABLE data_versions (
  dataset TEXT NOT NULL,
  number BIGINT NOT NULL,
  passed BIGINT NOT NULL,
  failure TEXT NOT NULL,
  parent BIGINT NOT NULL,
  mode TEXT NOT NULL,
  row_count BIGINT NOT NULL,
  part_count BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  source_uri TEXT NOT NULL,
  source_size BIGINT NOT NULL,
  source_changed TEXT NOT NULL,
  source_digest TEXT NOT NULL,
  made_by TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  format BIGINT NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (dataset, number)
);
CREATE TABLE data_parts (
  digest TEXT NOT NULL,
  dataset TEXT NOT NULL,
  first_version BIGINT NOT NULL,
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
)sql"},
          {"data", 2, R"sql(
CREATE TABLE data_parts_gone (
  digest TEXT NOT NULL,
  dataset TEXT NOT NULL,
  row_count BIGINT NOT NULL,
  reason TEXT NOT NULL,
  since_version BIGINT NOT NULL,
  gone_us BIGINT NOT NULL,
  PRIMARY KEY (digest, dataset)
);
)sql"}};
}

namespace {

constexpr std::int64_t content_format = 1;

constexpr std::string_view columns =
    "v.dataset, v.number, v.passed, v.failure, v.parent, v.row_count, v.part_count, v.bytes, v.source_uri, "
    "v.source_size, v.source_changed, v.source_digest, v.made_by, v.created_us, a.accepted_by, a.reason, a.accepted_us";
constexpr std::size_t columns_count = 17;
constexpr std::string_view tables =
    " FROM data_versions v LEFT JOIN data_acceptances a ON a.dataset = v.dataset AND a.number = v.number ";
// As of the moment that is the second parameter.
constexpr std::string_view tables_then =
    " FROM data_versions v LEFT JOIN data_acceptances a ON a.dataset = v.dataset AND a.number = v.number AND "
    "a.accepted_us <= $2 ";

DatasetVersion head_from(const meta::Row& row) {
  DatasetVersion out;
  out.dataset = row.text(0);
  out.number = row.integer(1);
  out.state_reason = row.text(3);
  out.parent = row.integer(4);
  out.rows = row.integer(5);
  out.part_count = row.integer(6);
  out.bytes = row.integer(7);
  out.content.provenance = {row.text(8), row.integer(9), row.text(10), row.text(11)};
  out.by = row.text(12);
  out.created = row.time(13);
  out.state = row.truth(2) ? VersionState::ok : VersionState::failed;
  if (!row.is_null(14)) {
    out.state = VersionState::accepted;
    out.state_by = row.text(14);
    out.state_reason = row.text(15);
    out.state_at = row.time(16);
  }
  return out;
}

Result<std::optional<DatasetVersion>> first_of(meta::Reader& reader, std::string_view rest, meta::Params params,
                                               std::string_view from = tables) {
  TRY(const auto row,
      reader.query_one(std::format("SELECT {}, v.format, v.content {} {}", columns, from, rest), std::move(params)));
  if (!row) return std::optional<DatasetVersion>();
  auto out = head_from(*row);
  if (row->integer(columns_count) != content_format) {
    return fail(Code::failed_precondition, "data.format",
                std::format("{}@{} was recorded by a newer Millrace in a form that this one does not know", out.dataset,
                            out.number));
  }
  TRY(out.content, parse_ingest_output(row->text(columns_count + 1)));
  return std::optional(std::move(out));
}

Result<std::optional<DatasetVersion>> first_head(meta::Reader& reader, std::string_view rest, meta::Params params,
                                                 std::string_view from = tables) {
  TRY(const auto row, reader.query_one(std::format("SELECT {} {} {}", columns, from, rest), std::move(params)));
  if (!row) return std::optional<DatasetVersion>();
  return std::optional(head_from(*row));
}

constexpr std::string_view newest_of = "WHERE v.dataset = $1 ORDER BY v.number DESC LIMIT 1";
constexpr std::string_view newest_then = "WHERE v.dataset = $1 AND v.created_us <= $2 ORDER BY v.number DESC LIMIT 1";
constexpr std::string_view newest_usable_of =
    "WHERE v.dataset = $1 AND (v.passed = 1 OR a.accepted_by IS NOT NULL) ORDER BY v.number DESC LIMIT 1";

// "age: min: 312 of 7,120 values below 16 ...; and 2 more"
std::string failure_of(const CheckReport& checks) {
  const auto broken = [](const CheckResult& r) { return r.level == "error"; };
  const auto first = std::ranges::find_if(checks.results, broken);
  if (first == checks.results.end()) return {};
  const auto more = std::ranges::count_if(checks.results, broken) - 1;
  return (first->column.empty() ? "" : first->column + ": ") + first->rule + ": " + first->message +
         (more > 0 ? std::format("; and {} more", more) : "");
}

// An append must keep every row of what it was read on top of.
Result<void> check_base(const DatasetVersion& version, const std::optional<DatasetVersion>& base) {
  const IngestOutput& content = version.content;
  if (content.mode != "append") return {};
  const auto kept = content.parts.begin() + static_cast<std::ptrdiff_t>(content.parts.size()) - content.new_parts;
  const std::vector<Part> below(content.parts.begin(), kept);
  if (below == (base ? base->content.parts : std::vector<Part>{})) return {};
  return fail(Code::aborted, "data.parent_moved",
              std::format("{} got {} while these rows were read on top of an older version; ingest them again",
                          version.dataset, base ? std::format("version {}", base->number) : "another base"));
}

Result<void> insert(meta::Tx& tx, const DatasetVersion& v) {
  const Provenance& from = v.content.provenance;
  TRY_VOID(
      tx.exec("INSERT INTO data_versions (dataset, number, passed, failure, parent, mode, row_count, part_count, "
              "bytes, source_uri, "
              "source_size, source_changed, source_digest, made_by, created_us, format, content) "
              "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
              {v.dataset, v.number, std::int64_t{v.state == VersionState::ok}, v.state_reason, v.parent, v.content.mode,
               v.rows, v.part_count, v.bytes, from.uri, from.size, from.changed, from.digest, v.by,
               meta::value(v.created), content_format, render(v.content)}));
  for (const Part& part : v.content.parts) {
    TRY_VOID(
        tx.exec("INSERT INTO data_parts (digest, dataset, first_version) VALUES ($1, $2, $3) ON CONFLICT (digest, "
                "dataset) DO NOTHING",
                {part.digest, v.dataset, v.number}));
  }
  return {};
}

Result<void> announce(meta::Tx& tx, std::string subject, const DatasetVersion& v) {
  return tx.emit(
      {std::move(subject), v.dataset, std::format(R"({{"version":{},"state":"{}"}})", v.number, state_name(v.state))});
}

}  // namespace

std::string_view state_name(VersionState state) {
  constexpr std::array<std::string_view, 3> names = {"ok", "failed", "accepted"};
  return names[static_cast<std::size_t>(state)];
}

Result<DatasetVersion> add_version(meta::Tx& tx, const std::string& dataset, IngestOutput content,
                                   const std::string& by, TimePoint now) {
  TRY(auto newest, newest_version(tx, dataset));
  if (newest && (content.unchanged || render(newest->content) == render(content))) return std::move(*newest);
  TRY(const auto base, newest_usable(tx, dataset));
  DatasetVersion out;
  out.dataset = dataset;
  out.number = newest ? newest->number + 1 : 1;
  out.parent = base ? base->number : 0;
  out.rows = content.analysis.rows;
  out.part_count = static_cast<std::int64_t>(content.parts.size());
  for (const Part& part : content.parts) out.bytes += part.bytes;
  out.state = content.analysis.checks.passed() ? VersionState::ok : VersionState::failed;
  out.state_reason = failure_of(content.analysis.checks);
  out.created = now;
  out.by = by;
  out.content = std::move(content);
  TRY_VOID(check_base(out, base));
  TRY_VOID(insert(tx, out));
  TRY_VOID(announce(tx, "dataset.version", out));
  return out;
}

Result<DatasetVersion> accept(meta::Tx& tx, const std::string& dataset, std::int64_t number, const std::string& by,
                              const std::string& reason, TimePoint now) {
  TRY(auto version, get_version(tx, dataset, number));
  if (version.state == VersionState::accepted) return version;
  if (version.state == VersionState::ok) {
    return fail(Code::failed_precondition, "data.not_failed",
                std::format("{}@{} passed its checks: there is nothing to accept", dataset, number));
  }
  if (reason.find_first_not_of(" \t\r\n") == std::string::npos) {
    return fail(Code::invalid_argument, "data.no_reason",
                std::format("say why {}@{} may be trained on although its checks failed; the reason is recorded",
                            dataset, number));
  }
  TRY_VOID(tx.exec(
      "INSERT INTO data_acceptances (dataset, number, accepted_by, reason, accepted_us) VALUES ($1, $2, $3, $4, $5)",
      {dataset, number, by, reason, meta::value(now)}));
  version.state = VersionState::accepted;
  version.state_by = by;
  version.state_reason = reason;
  version.state_at = now;
  TRY_VOID(announce(tx, "dataset.accepted", version));
  return version;
}

Result<DatasetVersion> get_version(meta::Reader& reader, const std::string& dataset, std::int64_t number,
                                   TimePoint at) {
  TRY(auto version, first_of(reader, "WHERE v.dataset = $1 AND v.number = $3 AND v.created_us <= $2",
                             {dataset, meta::value(at), number}, tables_then));
  if (version) return std::move(*version);
  TRY(const auto newest,
      reader.query_one("SELECT MAX(number) FROM data_versions WHERE dataset = $1 AND created_us <= $2",
                       {dataset, meta::value(at)}));
  const bool none = !newest || newest->is_null(0);
  std::string words;
  if (at != as_of_now)
    words = none ? std::format("there was no version of a dataset '{}' at {}", dataset, format_time(at))
                 : std::format("dataset '{}' had no version {} at {} (the newest was {})", dataset, number,
                               format_time(at), newest->integer(0));
  else
    words = none
                ? std::format("there is no dataset '{}'; see them with: millrace data ls", dataset)
                : std::format("dataset '{}' has no version {} (the newest is {})", dataset, number, newest->integer(0));
  return fail(Code::not_found, "data.no_version", std::move(words));
}

Result<std::optional<DatasetVersion>> newest_version(meta::Reader& reader, const std::string& dataset) {
  return first_of(reader, newest_of, {dataset});
}

Result<std::optional<DatasetVersion>> newest_usable(meta::Reader& reader, const std::string& dataset) {
  return first_of(reader, newest_usable_of, {dataset});
}

Result<std::optional<DatasetVersion>> newest_head(meta::Reader& reader, const std::string& dataset) {
  return first_head(reader, newest_of, {dataset});
}

Result<std::optional<DatasetVersion>> newest_usable_head(meta::Reader& reader, const std::string& dataset) {
  return first_head(reader, newest_usable_of, {dataset});
}

Result<std::optional<DatasetVersion>> version_at(meta::Reader& reader, const std::string& dataset, TimePoint at) {
  return first_of(reader, newest_then, {dataset, meta::value(at)}, tables_then);
}

Result<std::optional<DatasetVersion>> head_at(meta::Reader& reader, const std::string& dataset, TimePoint at) {
  return first_head(reader, newest_then, {dataset, meta::value(at)}, tables_then);
}

Result<std::vector<DatasetVersion>> list_versions(meta::Reader& reader, const std::string& dataset, TimePoint at) {
  TRY(const auto rows,
      reader.query(std::format("SELECT {} {} WHERE ($1 = '' OR v.dataset = $1) AND v.created_us <= $2 ORDER BY "
                               "v.dataset, v.number DESC",
                               columns, tables_then),
                   {dataset, meta::value(at)}));
  std::vector<DatasetVersion> out;
  for (const meta::Row& row : rows) out.push_back(head_from(row));
  return out;
}

Result<std::vector<std::string>> sources_of(meta::Reader& reader, const std::string& dataset, std::int64_t number) {
  TRY(const auto rows, reader.query("SELECT number, parent, mode, source_digest FROM data_versions WHERE dataset = $1 "
                                    "AND number <= $2 ORDER BY number DESC",
                                    {dataset, number}));
  std::vector<std::string> out;
  for (const meta::Row& row : rows) {
    if (row.integer(0) != number) continue;
    out.push_back(row.text(3));
    number = row.text(2) == "replace" ? 0 : row.integer(1);
  }
  return out;
}

Result<std::vector<std::string>> part_digests(meta::Reader& reader) {
  TRY(const auto rows, reader.query("SELECT DISTINCT digest FROM data_parts"));
  std::vector<std::string> out;
  out.reserve(rows.size());
  for (const meta::Row& row : rows) out.push_back(row.text(0));
  return out;
}

Result<std::vector<PartUse>> part_uses(meta::Reader& reader) {
  TRY(const auto rows,
      reader.query(
          "SELECT p.digest, p.dataset, p.first_version, v.source_uri FROM data_parts p JOIN data_versions v ON "
          "v.dataset = p.dataset AND v.number = p.first_version ORDER BY p.dataset, p.first_version"));
  std::vector<PartUse> out;
  out.reserve(rows.size());
  for (const meta::Row& row : rows) out.push_back({row.text(0), row.text(1), row.integer(2), row.text(3)});
  return out;
}

Result<std::vector<std::string>> datasets_of_part(meta::Reader& reader, const std::string& digest) {
  TRY(const auto rows, reader.query("SELECT dataset FROM data_parts WHERE digest = $1 ORDER BY dataset", {digest}));
  std::vector<std::string> out;
  for (const meta::Row& row : rows) out.push_back(row.text(0));
  return out;
}

Result<void> let_parts_go(meta::Tx& tx, const std::string& dataset, const std::vector<std::string>& digests,
                          const std::string& reason, TimePoint now) {
  TRY(auto newest, newest_version(tx, dataset));
  if (!newest) return fail(Code::not_found, "data.no_version", "there is no dataset '" + dataset + "'");
  IngestOutput content = newest->content;
  std::vector<Part> gone;
  std::erase_if(content.parts, [&](const Part& part) {
    const bool goes = std::ranges::find(digests, part.digest) != digests.end();
    if (goes) gone.push_back(part);
    return goes;
  });
  if (gone.empty()) return {};
  for (const Part& part : gone) content.analysis.rows -= part.rows;
  content.mode = "replace";
  content.new_parts = 0;
  content.new_rows = 0;
  content.notes = {"let go: " + reason};
  if (content.parts.empty()) content.analysis.columns.clear();
  TRY(const auto added, add_version(tx, dataset, std::move(content), reason, now));
  for (const Part& part : gone) {
    TRY_VOID(tx.exec("DELETE FROM data_parts WHERE digest = $1 AND dataset = $2", {part.digest, dataset}));
    TRY_VOID(
        tx.exec("INSERT INTO data_parts_gone (digest, dataset, row_count, reason, since_version, gone_us) VALUES "
                "($1, $2, $3, $4, $5, $6)",
                {part.digest, dataset, part.rows, reason, added.number, meta::value(now)}));
  }
  return {};
}

Result<void> check_readable(meta::Reader& reader, const DatasetVersion& version) {
  TRY(const auto rows,
      reader.query("SELECT digest, reason, since_version, gone_us FROM data_parts_gone WHERE dataset = "
                   "$1 ORDER BY since_version",
                   {version.dataset}));
  std::int64_t gone = 0, since = 0;
  std::string why;
  for (const meta::Row& row : rows) {
    const auto part = std::ranges::find(version.content.parts, row.text(0), &Part::digest);
    if (part == version.content.parts.end()) continue;
    gone += part->rows;
    since = row.integer(2);
    if (why.find(row.text(1)) == std::string::npos)
      why += (why.empty() ? "" : "; ") + format_time(row.time(3)).substr(0, 10) + " " + row.text(1);
  }
  if (gone == 0) return {};
  return fail(Code::failed_precondition, "data.rows_gone",
              std::format("{} of the {} rows of {}@{} were let go: {}. Read {}@{} or a later one", gone, version.rows,
                          version.dataset, version.number, why, version.dataset, since));
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
              std::format("'{}' names no dataset version; write customers or customers@3", text));
}

}  // namespace millrace::data
