#include "flow/jobs.hpp"

namespace millrace::flow {

std::vector<meta::Migration> migrations() {
  return {{"flow", 1, R"sql(
    CREATE TABLE flow_jobs (
      id TEXT PRIMARY KEY,
      kind TEXT NOT NULL,
      job_key TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
      input TEXT NOT NULL,
      priority BIGINT NOT NULL,
      attempts BIGINT NOT NULL,
      attempts_max BIGINT NOT NULL,
      timeout_us BIGINT NOT NULL,
      resources TEXT NOT NULL,
      cause TEXT NOT NULL,
      pipeline_run TEXT,
      step TEXT,
      queued_at BIGINT NOT NULL,
      run_after BIGINT NOT NULL,
      started_at BIGINT,
      ended_at BIGINT,
      worker TEXT,
      token BIGINT NOT NULL,
      lease_us BIGINT NOT NULL,
      heard_at BIGINT,
      cancel_by TEXT,
      progress TEXT,
      checkpoint TEXT,
      result TEXT,
      failure_kind TEXT,
      failure_message TEXT,
      failure_detail TEXT
    );
    -- at most one unfinished job per kind and key, whoever forgets to look
    CREATE UNIQUE INDEX flow_jobs_unfinished ON flow_jobs (kind, job_key) WHERE state IN ('queued', 'running');
    CREATE INDEX flow_jobs_waiting ON flow_jobs (priority DESC, queued_at, id) WHERE state = 'queued';
    CREATE INDEX flow_jobs_running ON flow_jobs (worker) WHERE state = 'running';
    CREATE INDEX flow_jobs_of_run ON flow_jobs (pipeline_run);

    CREATE TABLE flow_job_events (
      job TEXT NOT NULL REFERENCES flow_jobs (id),
      n BIGINT NOT NULL,
      at BIGINT NOT NULL,
      what TEXT NOT NULL,
      token BIGINT NOT NULL,
      worker TEXT NOT NULL,
      note TEXT NOT NULL,
      PRIMARY KEY (job, n)
    );
  )sql"},
          {"flow", 2, R"sql(
    CREATE TABLE flow_pipeline_runs (
      id TEXT PRIMARY KEY,
      pipeline TEXT NOT NULL,
      run_key TEXT NOT NULL,
      steps TEXT NOT NULL,
      context TEXT NOT NULL,
      cause TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
      outcome TEXT NOT NULL,
      started_at BIGINT NOT NULL,
      ended_at BIGINT
    );
    CREATE UNIQUE INDEX flow_pipeline_runs_unfinished ON flow_pipeline_runs (pipeline, run_key) WHERE state = 'running';

    CREATE TABLE flow_steps (
      run TEXT NOT NULL REFERENCES flow_pipeline_runs (id),
      name TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'skipped', 'failed', 'cancelled')),
      kind TEXT NOT NULL,
      input_digest TEXT,
      job TEXT,
      result TEXT,
      reused_run TEXT,
      note TEXT NOT NULL,
      started_at BIGINT,
      ended_at BIGINT,
      PRIMARY KEY (run, name)
    );
    CREATE INDEX flow_steps_reuse ON flow_steps (kind, input_digest, ended_at) WHERE state = 'done';
  )sql"},
          {"flow", 3, R"sql(
    CREATE INDEX flow_pipeline_runs_by_key ON flow_pipeline_runs (run_key, started_at);
    CREATE INDEX flow_pipeline_runs_under_way ON flow_pipeline_runs (started_at) WHERE state = 'running';
    CREATE INDEX flow_jobs_over ON flow_jobs (ended_at) WHERE ended_at IS NOT NULL;
  )sql"}};
}

}  // namespace millrace::flow
