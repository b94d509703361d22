#include "loop/records.hpp"

#include <algorithm>
#include <iterator>

#include "loop/batch_records.hpp"
#include "loop/fleet_records.hpp"
#include "loop/release_records.hpp"

namespace millrace::loop {

std::vector<meta::Migration> migrations() {
  std::vector<meta::Migration> all = {{"loop", 1, R"sql(
CREATE TABLE loop_projects (
  number BIGINT PRIMARY KEY,
  name TEXT NOT NULL,
  text TEXT NOT NULL,
  digest TEXT NOT NULL,
  applied_us BIGINT NOT NULL,
  applied_by TEXT NOT NULL
);
CREATE TABLE loop_trainings (
  run TEXT PRIMARY KEY,
  dataset_version BIGINT NOT NULL,
  dataset_rows BIGINT NOT NULL,
  labels_usable BIGINT NOT NULL,
  labels_seq BIGINT NOT NULL,
  model_digest TEXT NOT NULL,
  plan TEXT NOT NULL,
  counts BIGINT NOT NULL,
  started_us BIGINT NOT NULL
);
CREATE INDEX loop_trainings_by_time ON loop_trainings (counts, started_us);
CREATE TABLE loop_live (
  model TEXT PRIMARY KEY,
  labels_seq BIGINT NOT NULL,
  result TEXT NOT NULL,
  at_us BIGINT NOT NULL
);
)sql"},
                                      {"loop", 2, R"sql(
CREATE TABLE loop_rolls (
  through BIGINT PRIMARY KEY,
  after_segment BIGINT NOT NULL,
  segments BIGINT NOT NULL,
  line_count BIGINT NOT NULL,
  damaged BIGINT NOT NULL,
  cause TEXT NOT NULL,
  at_us BIGINT NOT NULL
);
CREATE TABLE loop_log_parts (
  model TEXT NOT NULL,
  digest TEXT NOT NULL,
  through BIGINT NOT NULL,
  place BIGINT NOT NULL,
  row_count BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  first_us BIGINT NOT NULL,
  last_us BIGINT NOT NULL,
  hours TEXT NOT NULL,
  let_go_us BIGINT,
  PRIMARY KEY (model, digest)
);
CREATE TABLE loop_log_layouts (
  model TEXT PRIMARY KEY,
  layout TEXT NOT NULL
);
)sql"},
                                      {"loop", 3, R"sql(
CREATE TABLE loop_questions (
  dataset TEXT PRIMARY KEY,
  question TEXT NOT NULL
);
CREATE TABLE loop_chores (
  name TEXT PRIMARY KEY,
  result TEXT NOT NULL,
  at_us BIGINT NOT NULL
);
)sql"},
                                      release_migration(),
                                      batch_migration()};
  std::ranges::move(fleet_migrations(), std::back_inserter(all));
  return all;
}

Result<StoredProject> add_project(meta::Tx& tx, StoredProject project) {
  TRY(auto row, tx.query_one("SELECT COALESCE(MAX(number), 0) FROM loop_projects"));
  project.number = row->integer(0) + 1;
  TRY_VOID(tx.exec(
      "INSERT INTO loop_projects (number, name, text, digest, applied_us, applied_by) VALUES ($1, $2, $3, $4, $5, $6)",
      {project.number, project.name, project.text, project.digest, meta::value(project.applied), project.by}));
  TRY_VOID(tx.emit({"project.applied", project.name, "{\"number\":" + std::to_string(project.number) + "}"}));
  return project;
}

Result<std::optional<StoredProject>> newest_project(meta::Reader& reader) {
  TRY(auto row,
      reader.query_one(
          "SELECT number, name, text, digest, applied_us, applied_by FROM loop_projects ORDER BY number DESC LIMIT 1"));
  if (!row) return std::nullopt;
  return StoredProject{row->integer(0), row->text(1), row->text(2), row->text(3), row->time(4), row->text(5)};
}

Result<std::optional<StoredProject>> project_at(meta::Reader& reader, TimePoint at) {
  TRY(auto row, reader.query_one("SELECT number, name, text, digest, applied_us, applied_by FROM loop_projects WHERE "
                                 "applied_us <= $1 ORDER BY number DESC LIMIT 1",
                                 {meta::value(at)}));
  if (!row) return std::nullopt;
  return StoredProject{row->integer(0), row->text(1), row->text(2), row->text(3), row->time(4), row->text(5)};
}

Result<std::optional<StoredProject>> get_project(meta::Reader& reader, std::int64_t number) {
  TRY(auto row,
      reader.query_one("SELECT number, name, text, digest, applied_us, applied_by FROM loop_projects WHERE number = $1",
                       {number}));
  if (!row) return std::nullopt;
  return StoredProject{row->integer(0), row->text(1), row->text(2), row->text(3), row->time(4), row->text(5)};
}

namespace {

constexpr std::string_view training_columns =
    "run, dataset_version, dataset_rows, labels_usable, labels_seq, model_digest, plan, counts, started_us";

std::optional<Training> training_from(const std::optional<meta::Row>& row) {
  if (!row) return std::nullopt;
  return Training{row->text(0), row->integer(1), row->integer(2), row->integer(3), row->integer(4),
                  row->text(5), row->text(6),    row->truth(7),   row->time(8)};
}

}  // namespace

// The newest is the one that began last, also when the calendar was set back in between: else rules would go on
// comparing with an older one, and hold again and again until the calendar has caught up.
Result<void> add_training(meta::Tx& tx, const Training& one) {
  TRY_VOID(tx.exec(
      "INSERT INTO loop_trainings (" + std::string(training_columns) +
          ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $8 = 1 AND COALESCE(MAX(started_us), $9) >= $9 THEN "
          "COALESCE(MAX(started_us) + 1, $9) ELSE $9 END FROM loop_trainings WHERE counts = 1",
      {one.run, one.dataset_version, one.dataset_rows, one.labels_usable, one.labels_seq, one.model_digest, one.plan,
       std::int64_t{one.counts}, meta::value(one.started)}));
  return {};
}

Result<void> update_plan(meta::Tx& tx, std::string_view run, std::string_view plan) {
  TRY_VOID(tx.exec("UPDATE loop_trainings SET plan = $1 WHERE run = $2", {std::string(plan), std::string(run)}));
  return {};
}

Result<std::optional<Training>> newest_training(meta::Reader& reader) {
  TRY(auto row, reader.query_one("SELECT " + std::string(training_columns) +
                                 " FROM loop_trainings WHERE counts = 1 ORDER BY started_us DESC, run DESC LIMIT 1"));
  return training_from(row);
}

Result<std::optional<Training>> training_of(meta::Reader& reader, std::string_view run) {
  TRY(auto row, reader.query_one("SELECT " + std::string(training_columns) + " FROM loop_trainings WHERE run = $1",
                                 {std::string(run)}));
  return training_from(row);
}

Result<void> each_training(meta::Reader& reader, const std::function<void(const Training&)>& visit) {
  std::string after;
  for (;;) {
    TRY(auto rows, reader.query("SELECT " + std::string(training_columns) +
                                    " FROM loop_trainings WHERE run > $1 ORDER BY run LIMIT 200",
                                {after}));
    if (rows.empty()) return {};
    for (const auto& row : rows) visit(*training_from(row));
    after = rows.back().text(0);
  }
}

Result<void> put_live(meta::Tx& tx, const StoredLive& live) {
  TRY_VOID(
      tx.exec("INSERT INTO loop_live (model, labels_seq, result, at_us) VALUES ($1, $2, $3, $4) "
              "ON CONFLICT (model) DO UPDATE SET labels_seq = excluded.labels_seq, result = excluded.result, at_us = "
              "excluded.at_us",
              {live.model, live.labels_seq, live.result, meta::value(live.at)}));
  return {};
}

Result<std::optional<StoredLive>> get_live(meta::Reader& reader, std::string_view model) {
  TRY(auto row, reader.query_one("SELECT model, labels_seq, result, at_us FROM loop_live WHERE model = $1",
                                 {std::string(model)}));
  if (!row) return std::nullopt;
  return StoredLive{row->text(0), row->integer(1), row->text(2), row->time(3)};
}

Result<void> put_question(meta::Tx& tx, std::string_view dataset, std::string_view question) {
  TRY_VOID(
      tx.exec("INSERT INTO loop_questions (dataset, question) VALUES ($1, $2) ON CONFLICT (dataset) DO UPDATE SET "
              "question = excluded.question",
              {std::string(dataset), std::string(question)}));
  return {};
}

Result<std::optional<std::string>> get_question(meta::Reader& reader, std::string_view dataset) {
  TRY(auto row, reader.query_one("SELECT question FROM loop_questions WHERE dataset = $1", {std::string(dataset)}));
  if (!row) return std::nullopt;
  return row->text(0);
}

Result<void> put_chore(meta::Tx& tx, const StoredChore& chore) {
  TRY_VOID(
      tx.exec("INSERT INTO loop_chores (name, result, at_us) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET "
              "result = excluded.result, at_us = excluded.at_us",
              {chore.name, chore.result, meta::value(chore.at)}));
  return {};
}

Result<std::optional<StoredChore>> get_chore(meta::Reader& reader, std::string_view name) {
  TRY(auto row, reader.query_one("SELECT name, result, at_us FROM loop_chores WHERE name = $1", {std::string(name)}));
  if (!row) return std::nullopt;
  return StoredChore{row->text(0), row->text(1), row->time(2)};
}

}  // namespace millrace::loop
