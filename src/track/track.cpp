#include "track/track.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace millrace::track {

std::vector<meta::Migration> migrations() {
  return {{"track", 1, R"sql(
CREATE TABLE track_runs (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  cause TEXT NOT NULL,
  params TEXT NOT NULL,
  inputs TEXT NOT NULL,
  outcome TEXT NOT NULL,
  resources TEXT NOT NULL,
  failure TEXT NOT NULL,
  output_path TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  started_us BIGINT,
  ended_us BIGINT
);
CREATE INDEX track_runs_by_time ON track_runs (project, created_us);
CREATE TABLE track_metrics (
  run TEXT NOT NULL REFERENCES track_runs (id),
  name TEXT NOT NULL,
  step BIGINT NOT NULL,
  bits BIGINT NOT NULL,
  time_us BIGINT NOT NULL,
  PRIMARY KEY (run, name, step)
);
)sql"}};
}

namespace {

constexpr std::array<std::string_view, 5> names = {"queued", "running", "finished", "failed", "cancelled"};
constexpr std::string_view columns =
    "id, project, kind, state, cause, params, inputs, outcome, resources, failure, output_path, created_us, "
    "started_us, "
    "ended_us";

Run from_row(const meta::Row& row) {
  Run run;
  run.id = row.text(0);
  run.project = row.text(1);
  run.kind = row.text(2);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (row.text(3) == names[i]) run.state = static_cast<RunState>(i);
  }
  run.cause = row.text(4);
  run.params = row.text(5);
  run.inputs = row.text(6);
  run.outcome = row.text(7);
  run.resources = row.text(8);
  run.failure = row.text(9);
  run.output_path = row.text(10);
  run.created = row.time(11);
  run.started = row.maybe_time(12);
  run.ended = row.maybe_time(13);
  return run;
}

}  // namespace

std::string_view state_name(RunState state) { return names[static_cast<std::size_t>(state)]; }

// Runs are listed by moment, and the calendar may be set back: none is made before the one before it.
Result<void> create_run(meta::Tx& tx, const Run& run) {
  TRY(const auto newest,
      tx.query_one("SELECT created_us FROM track_runs WHERE project = $1 ORDER BY created_us DESC LIMIT 1",
                   {run.project}));
  const auto created = newest ? std::max(run.created, newest->time(0) + Duration(1)) : run.created;
  TRY_VOID(tx.exec("INSERT INTO track_runs (" + std::string(columns) +
                       ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                   {run.id, run.project, run.kind, std::string(state_name(run.state)), run.cause, run.params,
                    run.inputs, run.outcome, run.resources, run.failure, run.output_path, meta::value(created),
                    meta::value(run.started), meta::value(run.ended)}));
  return {};
}

Result<void> update_run(meta::Tx& tx, const Run& run) {
  TRY(auto changed,
      tx.exec("UPDATE track_runs SET state = $1, cause = $2, params = $3, inputs = $4, outcome = $5, resources = $6, "
              "failure = $7, output_path = $8, started_us = $9, ended_us = $10 WHERE id = $11",
              {std::string(state_name(run.state)), run.cause, run.params, run.inputs, run.outcome, run.resources,
               run.failure, run.output_path, meta::value(run.started), meta::value(run.ended), run.id}));
  if (changed == 0) return fail(Code::not_found, "track.no_run", "there is no run " + run.id);
  return {};
}

Result<Run> get_run(meta::Reader& reader, std::string_view id) {
  // Ids sort as text, so a prefix is a range; 'Z' is the last character of the alphabet.
  std::string first(id), last = std::string(id) + "ZZZZZZZZZZZZZZZZZZZZZZZZZZ";
  TRY(auto rows, reader.query("SELECT " + std::string(columns) +
                                  " FROM track_runs WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT 2",
                              {first, last}));
  if (rows.empty() || id.empty()) {
    return fail(Code::not_found, "track.no_run", "there is no run " + first + "; see them with: millrace runs ls");
  }
  if (rows.size() > 1 && rows[0].text(0) != id) {
    return fail(Code::invalid_argument, "track.ambiguous_run",
                "several runs begin with " + first + ": give more of the id");
  }
  return from_row(rows[0]);
}

Result<std::vector<Run>> list_runs(meta::Reader& reader, std::string_view project, int limit, int offset) {
  TRY(auto rows,
      reader.query("SELECT " + std::string(columns) +
                       " FROM track_runs WHERE project = $1 ORDER BY created_us DESC, id DESC LIMIT $2 OFFSET $3",
                   {std::string(project), std::int64_t{limit}, std::int64_t{offset}}));
  std::vector<Run> runs;
  for (const auto& row : rows) runs.push_back(from_row(row));
  return runs;
}

Result<std::vector<std::string>> output_paths(meta::Reader& reader) {
  TRY(auto rows, reader.query("SELECT output_path FROM track_runs WHERE output_path <> ''"));
  std::vector<std::string> out;
  for (const auto& row : rows) out.push_back(row.text(0));
  return out;
}

Result<void> log_metrics(meta::Tx& tx, std::string_view run, std::span<const MetricPoint> points) {
  for (const auto& point : points) {
    // SQLite stores NaN as NULL, so the bits are kept.
    TRY_VOID(tx.exec(
        "INSERT INTO track_metrics (run, name, step, bits, time_us) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (run, name, step) DO UPDATE SET bits = excluded.bits, time_us = excluded.time_us",
        {std::string(run), point.name, point.step, std::bit_cast<std::int64_t>(point.value), meta::value(point.time)}));
  }
  return {};
}

Result<std::vector<MetricPoint>> metric_history(meta::Reader& reader, std::string_view run) {
  TRY(auto rows, reader.query("SELECT name, step, bits, time_us FROM track_metrics WHERE run = $1 ORDER BY name, step",
                              {std::string(run)}));
  std::vector<MetricPoint> points;
  for (const auto& row : rows) {
    points.push_back({row.text(0), row.integer(1), std::bit_cast<double>(row.integer(2)), row.time(3)});
  }
  return points;
}

}  // namespace millrace::track
