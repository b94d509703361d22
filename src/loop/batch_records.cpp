#include "loop/batch_records.hpp"

namespace millrace::loop {

meta::Migration batch_migration() {
  return {"loop", 5, R"sql(
CREATE TABLE loop_batches (
  name TEXT PRIMARY KEY,
  schedule TEXT NOT NULL,
  since_us BIGINT NOT NULL
);
CREATE TABLE loop_batch_runs (
  job TEXT PRIMARY KEY,
  batch TEXT NOT NULL,
  cause TEXT NOT NULL,
  due_us BIGINT,
  begun_us BIGINT NOT NULL,
  model TEXT NOT NULL,
  out_path TEXT NOT NULL,
  result TEXT NOT NULL,
  written_us BIGINT,
  trouble TEXT NOT NULL
);
CREATE INDEX loop_batch_runs_by_batch ON loop_batch_runs (batch, job);
)sql"};
}

namespace {

constexpr std::string_view batch_run_columns =
    "job, batch, cause, due_us, begun_us, model, out_path, result, written_us, trouble";

std::vector<BatchRun> batch_runs_from(const std::vector<meta::Row>& rows) {
  std::vector<BatchRun> out;
  for (const auto& row : rows)
    out.push_back({row.text(0), row.text(1), row.text(2), row.maybe_time(3), row.time(4), row.text(5), row.text(6),
                   row.text(7), row.maybe_time(8), row.text(9)});
  return out;
}

}  // namespace

Result<std::vector<StoredBatch>> list_batches(meta::Reader& reader) {
  TRY(const auto rows, reader.query("SELECT name, schedule, since_us FROM loop_batches ORDER BY name"));
  std::vector<StoredBatch> out;
  for (const auto& row : rows) out.push_back({row.text(0), row.text(1), row.time(2)});
  return out;
}

Result<void> put_batch(meta::Tx& tx, const StoredBatch& batch) {
  TRY_VOID(
      tx.exec("INSERT INTO loop_batches (name, schedule, since_us) VALUES ($1, $2, $3) ON CONFLICT (name) DO "
              "UPDATE SET schedule = excluded.schedule, since_us = excluded.since_us",
              {batch.name, batch.schedule, meta::value(batch.since)}));
  return {};
}

Result<void> drop_batch(meta::Tx& tx, std::string_view name) {
  TRY_VOID(tx.exec("DELETE FROM loop_batches WHERE name = $1", {std::string(name)}));
  return {};
}

Result<void> add_batch_run(meta::Tx& tx, const BatchRun& run) {
  TRY_VOID(tx.exec(
      "INSERT INTO loop_batch_runs (job, batch, cause, due_us, begun_us, model, out_path, result, written_us, trouble) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
      {run.job, run.batch, run.cause, meta::value(run.due_at), meta::value(run.begun), run.model, run.out, run.result,
       meta::value(run.written), run.trouble}));
  TRY_VOID(
      tx.exec("DELETE FROM loop_batch_runs WHERE batch = $1 AND (written_us IS NOT NULL OR result = '') AND job NOT IN "
              "(SELECT job FROM loop_batch_runs WHERE batch = $1 ORDER BY job DESC LIMIT 100)",
              {run.batch}));
  return {};
}

Result<bool> commit_batch_run(meta::Tx& tx, std::string_view job, std::string_view result) {
  TRY(const auto known, tx.query_one("SELECT job FROM loop_batch_runs WHERE job = $1", {std::string(job)}));
  if (!known) return false;
  TRY_VOID(tx.exec("UPDATE loop_batch_runs SET result = $1 WHERE job = $2", {std::string(result), std::string(job)}));
  return true;
}

Result<void> note_batch_written(meta::Tx& tx, std::string_view job, TimePoint now) {
  TRY_VOID(tx.exec("UPDATE loop_batch_runs SET written_us = $1, trouble = '' WHERE job = $2",
                   {meta::value(now), std::string(job)}));
  return {};
}

Result<void> note_batch_trouble(meta::Tx& tx, std::string_view job, std::string_view trouble) {
  TRY_VOID(tx.exec("UPDATE loop_batch_runs SET trouble = $1 WHERE job = $2", {std::string(trouble), std::string(job)}));
  return {};
}

Result<std::vector<BatchRun>> batch_runs(meta::Reader& reader, std::string_view batch, std::int64_t limit) {
  TRY(const auto rows, reader.query("SELECT " + std::string(batch_run_columns) +
                                        " FROM loop_batch_runs WHERE batch = $1 ORDER BY job DESC LIMIT $2",
                                    {std::string(batch), limit}));
  return batch_runs_from(rows);
}

Result<std::vector<BatchRun>> batch_runs_to_write(meta::Reader& reader) {
  TRY(const auto rows,
      reader.query("SELECT " + std::string(batch_run_columns) +
                   " FROM loop_batch_runs WHERE result <> '' AND written_us IS NULL ORDER BY job LIMIT 1000"));
  return batch_runs_from(rows);
}

}  // namespace millrace::loop
