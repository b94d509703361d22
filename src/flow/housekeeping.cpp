#include "flow/housekeeping.hpp"

#include "flow/job_rows_internal.hpp"

namespace millrace::flow {

namespace {

// A job of a run is over with the run: its steps may still be needed.
constexpr std::string_view old_jobs =
    "ended_at < $1 AND (pipeline_run IS NULL OR pipeline_run NOT IN (SELECT id FROM flow_pipeline_runs))";
constexpr std::string_view old_runs = "ended_at < $1";

Result<void> visit_all(meta::Reader& reader, std::string_view sql, const std::function<void(std::string_view)>& visit) {
  TRY(auto rows, reader.query(sql));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!row.is_null(i)) visit(row.text(i));
    }
  }
  return {};
}

Result<std::int64_t> count(meta::Reader& reader, const std::string& table, std::string_view where, TimePoint before) {
  TRY(auto row,
      reader.query_one("SELECT COUNT(*) FROM " + table + " WHERE " + std::string(where), {meta::value(before)}));
  return row->integer(0);
}

}  // namespace

Result<void> texts_in_use(meta::Reader& reader, const std::function<void(std::string_view)>& visit) {
  TRY_VOID(visit_all(reader, "SELECT input, checkpoint FROM flow_jobs WHERE state IN ('queued', 'running')", visit));
  TRY_VOID(visit_all(reader,
                     "SELECT j.input, j.checkpoint, j.result FROM flow_jobs j JOIN flow_pipeline_runs r ON "
                     "j.pipeline_run = r.id WHERE r.state = 'running'",
                     visit));
  TRY_VOID(visit_all(reader,
                     "SELECT s.result FROM flow_steps s JOIN flow_pipeline_runs r ON s.run = r.id WHERE r.state IN "
                     "('running', 'failed', 'cancelled')",
                     visit));
  return visit_all(reader,
                   "SELECT checkpoint FROM flow_jobs WHERE state IN ('failed', 'cancelled') AND checkpoint IS NOT NULL",
                   visit);
}

Result<std::set<std::string>> keys_under_way(meta::Reader& reader) {
  std::set<std::string> out;
  TRY(auto rows, reader.query("SELECT run_key FROM flow_pipeline_runs WHERE state = 'running'"));
  for (const auto& row : rows) out.insert(row.text(0));
  return out;
}

Result<std::optional<TimePoint>> oldest_attempt(meta::Reader& reader) {
  TRY(auto row, reader.query_one("SELECT MIN(started_at) FROM flow_jobs WHERE state = 'running'"));
  return row->maybe_time(0);
}

Result<std::vector<Job>> running_jobs(meta::Reader& reader) {
  TRY(const auto rows,
      reader.query(std::string("SELECT ") + job_columns + " FROM flow_jobs WHERE state = 'running' ORDER BY id"));
  std::vector<Job> out;
  for (const auto& row : rows) out.push_back(read_job(row));
  return out;
}

Result<Forgotten> forget_over(meta::Tx& tx, TimePoint before, std::size_t max) {
  Forgotten out;
  const auto limit = static_cast<std::int64_t>(max);
  const auto chosen = [](const std::string& table, std::string_view where) {
    return "(SELECT id FROM " + table + " WHERE " + std::string(where) + " ORDER BY ended_at, id LIMIT $2)";
  };
  const auto runs = chosen("flow_pipeline_runs", old_runs);
  TRY_VOID(tx.exec("DELETE FROM flow_steps WHERE run IN " + runs, {meta::value(before), limit}));
  TRY(out.runs, tx.exec("DELETE FROM flow_pipeline_runs WHERE id IN " + runs, {meta::value(before), limit}));
  const auto jobs = chosen("flow_jobs", old_jobs);
  TRY_VOID(tx.exec("DELETE FROM flow_job_events WHERE job IN " + jobs, {meta::value(before), limit}));
  TRY(out.jobs, tx.exec("DELETE FROM flow_jobs WHERE id IN " + jobs, {meta::value(before), limit}));
  out.more = out.runs == limit || out.jobs == limit;
  return out;
}

Result<Forgotten> count_over(meta::Reader& reader, TimePoint before) {
  Forgotten out;
  TRY(out.runs, count(reader, "flow_pipeline_runs", old_runs, before));
  // Jobs of those runs go with them.
  TRY(out.jobs, count(reader, "flow_jobs",
                      "ended_at < $1 AND (pipeline_run IS NULL OR pipeline_run NOT IN (SELECT id FROM "
                      "flow_pipeline_runs WHERE ended_at IS NULL OR ended_at >= $1))",
                      before));
  return out;
}

}  // namespace millrace::flow
