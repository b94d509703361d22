#include "loop/fleet_records.hpp"

namespace millrace::loop {

std::vector<meta::Migration> fleet_migrations() {
  return {{"loop", 6, R"sql(
CREATE TABLE loop_wishes (
  number BIGINT PRIMARY KEY,
  digest TEXT NOT NULL,
  at_us BIGINT NOT NULL
);
CREATE TABLE loop_predictors (
  id TEXT PRIMARY KEY,
  report TEXT NOT NULL,
  heard_us BIGINT NOT NULL
);
CREATE TABLE loop_shipped (
  predictor TEXT NOT NULL,
  segment TEXT NOT NULL,
  accepted BIGINT NOT NULL,
  at_us BIGINT NOT NULL,
  PRIMARY KEY (predictor, segment)
);
)sql"},
          {"loop", 7, R"sql(
CREATE TABLE loop_late_lines (
  model TEXT PRIMARY KEY,
  times BIGINT NOT NULL
);
)sql"}};
}

Result<std::optional<StoredWish>> newest_wish(meta::Reader& reader) {
  TRY(const auto row, reader.query_one("SELECT number, digest FROM loop_wishes ORDER BY number DESC LIMIT 1"));
  if (!row) return std::nullopt;
  return StoredWish{row->integer(0), row->text(1)};
}

Result<StoredWish> put_wish(meta::Tx& tx, const std::string& digest, TimePoint now) {
  TRY(const auto before, newest_wish(tx));
  if (before && before->digest == digest) return *before;
  const StoredWish next{(before ? before->number : 0) + 1, digest};
  TRY_VOID(tx.exec("INSERT INTO loop_wishes (number, digest, at_us) VALUES ($1, $2, $3)",
                   {next.number, next.digest, meta::value(now)}));
  // Numbers go on from the newest; who held which one is in the reports.
  TRY_VOID(tx.exec("DELETE FROM loop_wishes WHERE number < $1", {next.number - 100}));
  return next;
}

Result<void> put_predictor(meta::Tx& tx, const StoredPredictor& predictor) {
  TRY_VOID(
      tx.exec("INSERT INTO loop_predictors (id, report, heard_us) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET "
              "report = excluded.report, heard_us = excluded.heard_us",
              {predictor.id, predictor.report, meta::value(predictor.heard)}));
  return {};
}

Result<std::vector<StoredPredictor>> list_predictors(meta::Reader& reader) {
  std::vector<StoredPredictor> out;
  TRY(const auto rows, reader.query("SELECT id, report, heard_us FROM loop_predictors ORDER BY id"));
  for (const auto& row : rows) out.push_back({row.text(0), row.text(1), row.time(2)});
  return out;
}

Result<void> forget_predictors(meta::Tx& tx, TimePoint heard_before) {
  TRY_VOID(tx.exec("DELETE FROM loop_predictors WHERE heard_us < $1", {meta::value(heard_before)}));
  return {};
}

Result<std::int64_t> late_lines(meta::Reader& reader, std::string_view model) {
  TRY(const auto row, reader.query_one("SELECT times FROM loop_late_lines WHERE model = $1", {std::string(model)}));
  return row ? row->integer(0) : 0;
}

Result<void> note_late_lines(meta::Tx& tx, std::string_view model) {
  TRY_VOID(tx.exec(
      "INSERT INTO loop_late_lines (model, times) VALUES ($1, 1) ON CONFLICT (model) DO UPDATE SET times = times + 1",
      {std::string(model)}));
  return {};
}

Result<std::int64_t> log_accepted(meta::Reader& reader, std::string_view predictor, std::string_view segment) {
  TRY(const auto row, reader.query_one("SELECT accepted FROM loop_shipped WHERE predictor = $1 AND segment = $2",
                                       {std::string(predictor), std::string(segment)}));
  return row ? row->integer(0) : 0;
}

Result<void> put_log_accepted(meta::Tx& tx, std::string_view predictor, std::string_view segment, std::int64_t accepted,
                              TimePoint now) {
  constexpr std::int64_t remembered = 64;
  TRY_VOID(
      tx.exec("INSERT INTO loop_shipped (predictor, segment, accepted, at_us) VALUES ($1, $2, $3, $4) ON CONFLICT "
              "(predictor, segment) DO UPDATE SET accepted = excluded.accepted, at_us = excluded.at_us",
              {std::string(predictor), std::string(segment), accepted, meta::value(now)}));
  TRY_VOID(tx.exec(
      "DELETE FROM loop_shipped WHERE predictor = $1 AND segment NOT IN (SELECT segment FROM loop_shipped WHERE "
      "predictor = $1 ORDER BY at_us DESC, segment DESC LIMIT $2)",
      {std::string(predictor), remembered}));
  return {};
}

}  // namespace millrace::loop
