// The job side of the simulated loop: what millrace-job would compute, without Arrow, DuckDB and XGBoost. Rows are
// short texts, a model is a text, a part of the rolled log is a list of lines; the same input gives the same bytes.
#pragma once

#include <string>
#include <vector>

#include "loop/jobs.hpp"
#include "sim/sim.hpp"

namespace millrace::simulator {

// What a job of the loop answers, its blobs stored on the way. An error is what the disk or a blob said.
struct Worked {
  std::string result;             // JSON, for complete()
  std::string part;               // ingest: the digest that is new; "" when nothing is
  std::string run, artifact;      // evaluate
  bool passed = false;            // evaluate
  std::int64_t opponent = 0;      // evaluate: the version that it was measured against; 0: none
  std::string opponent_artifact;  // and its digest
};
Result<Worked> work(Sim& sim, const train::JobLease& lease);

// Stores as a job does, in another process.
Result<Digest> store_as_job(Sim& sim, const std::string& content);

// The lines of a log, wherever they are.
Result<std::vector<ExpectLog::Seen>> lines_of(Sim& sim, const loop::LogView& view);

}  // namespace millrace::simulator
