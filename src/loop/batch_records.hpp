// Batches of the project file: since when each waits for its schedule, and its runs with what became of them. Every
// function runs in the caller's transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::loop {

struct StoredBatch {
  std::string name;
  std::string schedule;  // as written: another one begins to wait anew
  TimePoint since{};
};
Result<std::vector<StoredBatch>> list_batches(meta::Reader& reader);
Result<void> put_batch(meta::Tx& tx, const StoredBatch& batch);
Result<void> drop_batch(meta::Tx& tx, std::string_view name);

struct BatchRun {
  std::string job;  // its id
  std::string batch;
  std::string cause;                // "schedule daily 02:00", "by hand: who"
  std::optional<TimePoint> due_at;  // nothing: by hand
  TimePoint begun{};
  std::string model;   // "churn:3"
  std::string out;     // where its answers go
  std::string result;  // JSON of BatchResult, once it is committed
  std::optional<TimePoint> written;
  std::string trouble;  // why the answers are not there yet
};
// Of a batch the newest 100 are kept, and all whose answers are not written yet.
Result<void> add_batch_run(meta::Tx& tx, const BatchRun& run);
// False when the job is none of a batch of the project file.
Result<bool> commit_batch_run(meta::Tx& tx, std::string_view job, std::string_view result);
Result<void> note_batch_written(meta::Tx& tx, std::string_view job, TimePoint now);
Result<void> note_batch_trouble(meta::Tx& tx, std::string_view job, std::string_view trouble);
Result<std::vector<BatchRun>> batch_runs(meta::Reader& reader, std::string_view batch,
                                         std::int64_t limit);             // newest first
Result<std::vector<BatchRun>> batch_runs_to_write(meta::Reader& reader);  // oldest first

meta::Migration batch_migration();  // of the loop's tables

}  // namespace millrace::loop
