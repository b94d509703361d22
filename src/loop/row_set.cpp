#include "loop/row_set.hpp"

#include <numeric>

#include "base/rng.hpp"

namespace millrace::loop {

RowSetReader::RowSetReader(const RowSet& set, blob::Store& blobs, table::Schema schema)
    : set_(set),
      blobs_(blobs),
      schema_(std::move(schema)),
      digester_(schema_, set.split.key, set.split.target),
      shares_{set.split.test, set.split.validation} {
  for (const auto& part : set_.parts) rows_total_ += part.rows;
  for (const auto& part : set_.feedback) rows_total_ += part.rows;
}

Result<std::unique_ptr<RowSetReader>> RowSetReader::open(const RowSet& set, blob::Store& blobs) {
  TRY(auto schema, data::schema_of(set.schema));
  return std::make_unique<RowSetReader>(set, blobs, std::move(schema));
}

Result<std::optional<SidedBatch>> RowSetReader::next() {
  for (;;) {
    if (!reader_) {
      if (part_ == set_.parts.size() + set_.feedback.size()) return std::nullopt;
      const auto& part = part_ < set_.parts.size() ? set_.parts[part_] : set_.feedback[part_ - set_.parts.size()];
      TRY(auto digest, Digest::parse(part.digest));
      TRY(auto file, blobs_.open(digest));
      TRY(reader_, table::open_parquet(std::move(file)));
      if (reader_->schema() != schema_) {
        return fail(Code::data_loss, "loop.schema_differs",
                    "part " + part.digest + " has other columns than its dataset version says");
      }
    }
    TRY(auto batch, reader_->next());
    if (!batch) {
      reader_.reset();
      ++part_;
      continue;
    }
    SidedBatch sided{*std::move(batch), {}, {}, part_ >= set_.parts.size()};
    sided.digests = digester_.digests(sided.rows);
    for (const auto& digest : sided.digests) sided.sides.push_back(data::side_of(digest, shares_));
    return sided;
  }
}

void RowSetReader::rewind() {
  reader_.reset();
  part_ = 0;
}

bool chosen(const Digest& row, std::int64_t wanted, std::int64_t total) {
  if (wanted <= 0 || wanted >= total) return true;
  // Bytes 8 to 15: the split goes by the first 8, and the two choices must not depend on each other.
  std::uint64_t tail = 0;
  for (int i = 8; i < 16; ++i) tail = tail << 8 | row.bytes[static_cast<std::size_t>(i)];
  return static_cast<double>(tail) < static_cast<double>(wanted) / static_cast<double>(total) * 0x1p64;
}

Result<std::unique_ptr<JobTrainingData>> JobTrainingData::open(const TrainJob& job, blob::Store& blobs) {
  TRY(auto reader, RowSetReader::open(job.rows, blobs));
  auto data = std::unique_ptr<JobTrainingData>(new JobTrainingData(job, std::move(reader)));
  for (const auto& part : job.rows.parts) data->dataset_rows_ += part.rows;
  for (const auto& part : job.rows.feedback) data->feedback_rows_ += part.rows;
  if (job.shuffle_target) TRY_VOID(data->learn_targets());
  return data;
}

Result<void> JobTrainingData::rewind() {
  reader_->rewind();
  feedback_seen_ = 0;
  target_at_ = 0;
  return {};
}

Result<std::optional<train::Part>> JobTrainingData::next_unshuffled() {
  for (;;) {
    TRY(auto batch, reader_->next());
    if (!batch) return std::nullopt;
    train::Part part;
    std::vector<std::int64_t> taken;
    for (std::size_t i = 0; i < batch->sides.size(); ++i) {
      bool take = batch->sides[i] != data::Side::test;
      if (batch->feedback) {
        take = take && (job_.new_rows <= 0 || feedback_seen_ >= feedback_rows_ - job_.new_rows);
        ++feedback_seen_;
      } else {
        take = take && chosen(batch->digests[i], job_.old_rows, dataset_rows_);
      }
      take = take && chosen(batch->digests[i], job_.quick_rows, reader_->rows_total());
      if (!take) continue;
      taken.push_back(static_cast<std::int64_t>(i));
      part.validation.push_back(batch->sides[i] == data::Side::validation);
    }
    if (taken.empty()) continue;
    part.rows = taken.size() == batch->sides.size() ? batch->rows : batch->rows.take(taken);
    return part;
  }
}

Result<void> JobTrainingData::learn_targets() {
  auto column = schema().index_of(job_.model.target);
  if (column < 0) return {};
  for (;;) {
    TRY(auto part, next_unshuffled());
    if (!part) break;
    auto values = part->rows.column(column);
    for (std::int64_t i = 0; i < values.size(); ++i) targets_.push_back(values.value_at(i));
  }
  SeededRng rng(job_.seed);
  for (std::size_t i = targets_.size(); i > 1; --i) std::swap(targets_[i - 1], targets_[rng.below(i)]);
  return rewind();
}

Result<std::optional<train::Part>> JobTrainingData::next() {
  TRY(auto part, next_unshuffled());
  if (!part || !job_.shuffle_target) return part;
  auto column = static_cast<std::size_t>(schema().index_of(job_.model.target));
  std::vector<table::Row> rows;
  for (std::int64_t i = 0; i < part->rows.rows(); ++i) {
    rows.push_back(part->rows.row(i));
    rows.back()[column] = targets_[target_at_++];
  }
  TRY(part->rows, table::Batch::from_rows(schema(), rows));
  return part;
}

}  // namespace millrace::loop
