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
  )sql"}};
}

}  // namespace millrace::flow
