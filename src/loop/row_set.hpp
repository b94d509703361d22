// Job side: the rows of a RowSet from their blobs, each with its digest and its side. Needs Arrow: job processes only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/digest.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"
#include "data/split.hpp"
#include "loop/jobs.hpp"
#include "table/table.hpp"
#include "train/trainer.hpp"

namespace millrace::loop {

struct SidedBatch {
  table::Batch rows;
  std::vector<Digest> digests;
  std::vector<data::Side> sides;
  bool feedback = false;
};

// All rows, dataset parts first, in their order; the same every pass.
class RowSetReader {
 public:
  RowSetReader(const RowSet& set, blob::Store& blobs, table::Schema schema);
  static Result<std::unique_ptr<RowSetReader>> open(const RowSet& set, blob::Store& blobs);
  const table::Schema& schema() const { return schema_; }
  Result<std::optional<SidedBatch>> next();
  void rewind();
  std::int64_t rows_total() const { return rows_total_; }

 private:
  RowSet set_;
  blob::Store& blobs_;
  table::Schema schema_;
  data::RowDigester digester_;
  data::Shares shares_;
  std::size_t part_ = 0;
  std::unique_ptr<table::BatchReader> reader_;
  std::int64_t rows_total_ = 0;
};

// Deterministic choices by the row's digest: about `wanted` of `total` rows. 0: all. Pure. The same row is chosen again
// in any later set.
bool chosen(const Digest& row, std::int64_t wanted, std::int64_t total);

// What a trainer sees of a TrainJob: no test rows, sampled as the job says, the target shuffled when it says so.
class JobTrainingData final : public train::TrainingData {
 public:
  static Result<std::unique_ptr<JobTrainingData>> open(const TrainJob& job, blob::Store& blobs);
  const table::Schema& schema() const override { return reader_->schema(); }
  Result<std::optional<train::Part>> next() override;
  Result<void> rewind() override;

 private:
  JobTrainingData(const TrainJob& job, std::unique_ptr<RowSetReader> reader) : job_(job), reader_(std::move(reader)) {}
  Result<void> learn_targets();
  Result<std::optional<train::Part>> next_unshuffled();

  TrainJob job_;
  std::unique_ptr<RowSetReader> reader_;
  std::int64_t dataset_rows_ = 0;
  std::int64_t feedback_rows_ = 0;
  std::int64_t feedback_seen_ = 0;
  std::vector<table::Value> targets_;  // shuffled, in the order of the rows; empty when the job does not shuffle
  std::size_t target_at_ = 0;
};

}  // namespace millrace::loop
