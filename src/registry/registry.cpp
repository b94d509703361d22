#include "registry/registry.hpp"

#include <algorithm>
#include <array>
#include <format>

namespace millrace::registry {

std::vector<meta::Migration> migrations() {
  return {{"registry", 1, R"sql(
CREATE TABLE registry_versions (
  model TEXT NOT NULL,
  number BIGINT NOT NULL,
  run TEXT NOT NULL,
  artifact TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  bytes_kept BIGINT NOT NULL,
  verdict TEXT NOT NULL,
  verdict_lines TEXT NOT NULL,
  override_by TEXT NOT NULL,
  override_reason TEXT NOT NULL,
  report TEXT NOT NULL,
  lineage TEXT NOT NULL,
  quick BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (model, number)
);
CREATE TABLE registry_aliases (
  model TEXT NOT NULL,
  seq BIGINT NOT NULL,
  alias TEXT NOT NULL,
  version BIGINT NOT NULL,
  moved_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  since_us BIGINT NOT NULL,
  PRIMARY KEY (model, seq),
  FOREIGN KEY (model, version) REFERENCES registry_versions (model, number)
);
CREATE INDEX registry_aliases_by_name ON registry_aliases (model, alias, seq);
)sql"}};
}

namespace {

constexpr std::array<std::string_view, 3> verdicts = {"passed", "failed", "overridden"};
constexpr std::string_view version_columns =
    "model, number, run, artifact, bytes, bytes_kept, verdict, verdict_lines, override_by, override_reason, report, "
    "lineage, "
    "quick, created_us";

ModelVersion version_from(const meta::Row& row) {
  ModelVersion version;
  version.model = row.text(0);
  version.number = row.integer(1);
  version.run = row.text(2);
  version.artifact = row.text(3);
  version.bytes = row.integer(4);
  version.bytes_kept = row.truth(5);
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    if (row.text(6) == verdicts[i]) version.verdict = static_cast<VerdictState>(i);
  }
  version.verdict_lines = row.text(7);
  version.override_by = row.text(8);
  version.override_reason = row.text(9);
  version.report = row.text(10);
  version.lineage = row.text(11);
  version.quick = row.truth(12);
  version.created = row.time(13);
  return version;
}

AliasMove move_from(const meta::Row& row) {
  return {row.text(0), row.integer(1), row.text(2), row.text(3), row.time(4)};
}

// A failed version is overridden by the promotion that makes it `current` for the first time; before that it was
// failed.
Result<void> take_back_override(meta::Reader& reader, ModelVersion& version, TimePoint at) {
  if (at == as_of_now || version.verdict != VerdictState::overridden) return {};
  TRY(auto row, reader.query_one("SELECT since_us FROM registry_aliases WHERE model = $1 AND alias = $2 AND version = "
                                 "$3 ORDER BY seq LIMIT 1",
                                 {version.model, std::string(current_alias), version.number}));
  if (row && row->time(0) <= at) return {};
  version.verdict = VerdictState::failed;
  version.override_by.clear();
  version.override_reason.clear();
  return {};
}

Result<void> move_alias(meta::Tx& tx, std::string_view model, std::string_view alias, std::int64_t version,
                        const Actor& by, TimePoint now) {
  TRY_VOID(
      tx.exec("INSERT INTO registry_aliases (model, seq, alias, version, moved_by, reason, since_us) "
              "SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6 FROM registry_aliases WHERE model = $1",
              {std::string(model), std::string(alias), version, by.name, by.reason, meta::value(now)}));
  return tx.emit({"model.alias", std::string(model), std::format(R"({{"alias":"{}","version":{}}})", alias, version)});
}

Result<Promotion> swap_current(meta::Tx& tx, std::string_view model, std::int64_t to, const Actor& by, TimePoint now) {
  TRY(auto current, alias(tx, model, current_alias));
  TRY(auto previous, alias(tx, model, previous_alias));
  Promotion done{to, previous ? std::optional(previous->version) : std::nullopt, false};
  if (current && current->version == to) return done;
  if (current) {
    TRY_VOID(move_alias(tx, model, previous_alias, current->version, by, now));
    done.previous = current->version;
  }
  TRY_VOID(move_alias(tx, model, current_alias, to, by, now));
  done.changed = true;
  return done;
}

}  // namespace

std::string_view verdict_name(VerdictState state) { return verdicts[static_cast<std::size_t>(state)]; }

Result<ModelVersion> add_version(meta::Tx& tx, ModelVersion version, bool baseline) {
  if (baseline) {
    version.number = 0;
    // A newer baseline would change what version 0 answers, so the first one stays.
    TRY(auto row, tx.query_one("SELECT " + std::string(version_columns) +
                                   " FROM registry_versions WHERE model = $1 AND number = 0",
                               {version.model}));
    if (row) return version_from(*row);
  } else {
    TRY(auto row,
        tx.query_one("SELECT COALESCE(MAX(number), 0) FROM registry_versions WHERE model = $1", {version.model}));
    version.number = row->integer(0) + 1;
  }
  TRY_VOID(tx.exec(
      "INSERT INTO registry_versions (" + std::string(version_columns) +
          ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
      {version.model, version.number, version.run, version.artifact, version.bytes, std::int64_t{version.bytes_kept},
       std::string(verdict_name(version.verdict)), version.verdict_lines, version.override_by, version.override_reason,
       version.report, version.lineage, std::int64_t{version.quick}, meta::value(version.created)}));
  TRY_VOID(tx.emit({"model.version", version.model,
                    std::format(R"({{"version":{},"verdict":"{}"}})", version.number, verdict_name(version.verdict))}));
  return version;
}

Result<ModelVersion> get_version(meta::Reader& reader, std::string_view model, std::int64_t number, TimePoint at) {
  TRY(auto row, reader.query_one("SELECT " + std::string(version_columns) +
                                     " FROM registry_versions WHERE model = $1 AND number = $2 AND created_us <= $3",
                                 {std::string(model), number, meta::value(at)}));
  if (row) {
    auto version = version_from(*row);
    TRY_VOID(take_back_override(reader, version, at));
    return version;
  }
  TRY(auto newest, reader.query_one("SELECT MAX(number) FROM registry_versions WHERE model = $1 AND created_us <= $2",
                                    {std::string(model), meta::value(at)}));
  const auto then = at == as_of_now ? std::string() : " at " + format_time(at);
  if (newest->is_null(0)) {
    return fail(Code::not_found, "registry.no_model",
                then.empty() ? std::format("there is no model '{}'; see the models with: millrace models ls", model)
                             : std::format("there was no version of a model '{}'{}", model, then));
  }
  return fail(
      Code::not_found, "registry.no_version",
      then.empty()
          ? std::format("model '{}' has no version {} (the newest is {}); see them with: millrace models ls {}", model,
                        number, newest->integer(0), model)
          : std::format("model '{}' had no version {}{} (the newest was {})", model, number, then, newest->integer(0)));
}

Result<std::vector<ModelVersion>> list_versions(meta::Reader& reader, std::string_view model, TimePoint at,
                                                const Page& page) {
  TRY(auto rows, reader.query("SELECT " + std::string(version_columns) +
                                  " FROM registry_versions WHERE model = $1 AND created_us <= $2 "
                                  "ORDER BY number DESC LIMIT $3 OFFSET $4",
                              {std::string(model), meta::value(at), page.limit, page.offset}));
  std::vector<ModelVersion> versions;
  for (const auto& row : rows) {
    versions.push_back(version_from(row));
    TRY_VOID(take_back_override(reader, versions.back(), at));
  }
  return versions;
}

Result<std::int64_t> count_versions(meta::Reader& reader, std::string_view model, TimePoint at) {
  TRY(auto rows, reader.query("SELECT count(*) FROM registry_versions WHERE model = $1 AND created_us <= $2",
                              {std::string(model), meta::value(at)}));
  return rows[0].integer(0);
}

Result<std::vector<ModelVersion>> list_heads(meta::Reader& reader, std::string_view model) {
  TRY(auto rows,
      reader.query("SELECT model, number, run, artifact, bytes, bytes_kept, verdict, '', override_by, override_reason, "
                   "'', '', quick, created_us FROM registry_versions WHERE model = $1 ORDER BY number DESC",
                   {std::string(model)}));
  std::vector<ModelVersion> versions;
  for (const auto& row : rows) versions.push_back(version_from(row));
  return versions;
}

Result<std::vector<std::string>> list_models(meta::Reader& reader) {
  TRY(auto rows, reader.query("SELECT DISTINCT model FROM registry_versions ORDER BY model"));
  std::vector<std::string> models;
  for (const auto& row : rows) models.push_back(row.text(0));
  return models;
}

Result<std::optional<AliasMove>> alias(meta::Reader& reader, std::string_view model, std::string_view name,
                                       TimePoint at) {
  TRY(auto row, reader.query_one("SELECT alias, version, moved_by, reason, since_us FROM registry_aliases "
                                 "WHERE model = $1 AND alias = $2 AND since_us <= $3 ORDER BY seq DESC LIMIT 1",
                                 {std::string(model), std::string(name), meta::value(at)}));
  if (!row) return std::nullopt;
  return move_from(*row);
}

Result<std::vector<AliasMove>> alias_history(meta::Reader& reader, std::string_view model, TimePoint at,
                                             const Page& page) {
  TRY(auto rows, reader.query("SELECT alias, version, moved_by, reason, since_us FROM registry_aliases WHERE model = "
                              "$1 AND since_us <= $2 ORDER BY seq DESC LIMIT $3 OFFSET $4",
                              {std::string(model), meta::value(at), page.limit, page.offset}));
  std::vector<AliasMove> moves;
  for (const auto& row : rows) moves.push_back(move_from(row));
  return moves;
}

Result<Promotion> promote(meta::Tx& tx, std::string_view model, std::int64_t number, const Actor& by, TimePoint now) {
  TRY(auto version, get_version(tx, model, number));
  if (!version.bytes_kept) {
    return fail(
        Code::failed_precondition, "registry.bytes_gone",
        std::format(
            "{}:{} has no artifact any more ([retention] models); rebuild it with: millrace models rebuild {}:{}",
            model, number, model, number));
  }
  TRY(auto current, alias(tx, model, current_alias));
  bool already = current && current->version == number;
  if (version.verdict == VerdictState::failed && !already) {
    if (by.reason.empty()) {
      return fail(
          Code::failed_precondition, "registry.gate_not_passed",
          std::format("{}:{} did not pass its gates; see which with: millrace models show {}:{}; to promote it all the "
                      "same: millrace promote {}:{} --reason \"...\" (recorded)",
                      model, number, model, number, model, number));
    }
    TRY_VOID(
        tx.exec("UPDATE registry_versions SET verdict = 'overridden', override_by = $1, override_reason = $2 "
                "WHERE model = $3 AND number = $4",
                {by.name, by.reason, std::string(model), number}));
  }
  return swap_current(tx, model, number, by, now);
}

Result<Promotion> rollback(meta::Tx& tx, std::string_view model, const Actor& by, TimePoint now) {
  TRY(auto previous, alias(tx, model, previous_alias));
  if (!previous) {
    return fail(
        Code::failed_precondition, "registry.no_previous",
        std::format("model '{}' has no previous version to go back to; see: millrace models ls {}", model, model));
  }
  return swap_current(tx, model, previous->version, by, now);
}

std::vector<std::int64_t> to_let_go(const std::vector<ModelVersion>& versions, std::optional<std::int64_t> current,
                                    std::optional<std::int64_t> previous, std::optional<std::int64_t> keep) {
  std::vector<std::int64_t> numbers, gone;
  if (!keep) return gone;
  for (const auto& version : versions) {
    if (version.number > 0) numbers.push_back(version.number);
  }
  std::sort(numbers.rbegin(), numbers.rend());
  auto kept = std::min<std::size_t>(numbers.size(), static_cast<std::size_t>(std::max<std::int64_t>(*keep, 1)));
  for (const auto& version : versions) {
    bool newest = std::find(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(kept), version.number) !=
                  numbers.begin() + static_cast<std::ptrdiff_t>(kept);
    if (version.bytes_kept && version.number > 0 && !newest && version.number != current &&
        version.number != previous) {
      gone.push_back(version.number);
    }
  }
  return gone;
}

Result<std::vector<KeptArtifact>> kept_artifacts(meta::Reader& reader) {
  TRY(auto rows, reader.query("SELECT model, number, run, artifact, bytes FROM registry_versions WHERE bytes_kept = 1 "
                              "ORDER BY model, number"));
  std::vector<KeptArtifact> out;
  for (const auto& row : rows) out.push_back({row.text(0), row.integer(1), row.text(2), row.text(3), row.integer(4)});
  return out;
}

Result<void> let_bytes_go(meta::Tx& tx, std::string_view model, std::int64_t number) {
  TRY_VOID(tx.exec("UPDATE registry_versions SET bytes_kept = 0 WHERE model = $1 AND number = $2",
                   {std::string(model), number}));
  return {};
}

}  // namespace millrace::registry
