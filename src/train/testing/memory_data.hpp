// Training data and a run log in memory, for tests.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "train/trainer.hpp"

namespace millrace::train::testing {

class MemoryData final : public TrainingData {
 public:
  // `validation`: one per row. Rows are handed out `part_rows` at a time.
  MemoryData(table::Schema schema, std::vector<table::Row> rows, std::vector<bool> validation,
             std::size_t part_rows = 100)
      : schema_(std::move(schema)), rows_(std::move(rows)), validation_(std::move(validation)), part_rows_(part_rows) {}

  const table::Schema& schema() const override { return schema_; }
  Result<void> rewind() override {
    at_ = 0;
    return {};
  }
  Result<std::optional<Part>> next() override {
    if (at_ >= rows_.size()) return std::optional<Part>{};
    const std::size_t end = std::min(at_ + part_rows_, rows_.size());
    const std::vector<table::Row> some(rows_.begin() + static_cast<std::ptrdiff_t>(at_),
                                       rows_.begin() + static_cast<std::ptrdiff_t>(end));
    TRY(auto batch, table::Batch::from_rows(schema_, some));
    Part part{std::move(batch),
              {validation_.begin() + static_cast<std::ptrdiff_t>(at_),
               validation_.begin() + static_cast<std::ptrdiff_t>(end)}};
    at_ = end;
    return std::optional(std::move(part));
  }
  const std::vector<table::Row>& rows() const { return rows_; }

 private:
  table::Schema schema_;
  std::vector<table::Row> rows_;
  std::vector<bool> validation_;
  std::size_t part_rows_;
  std::size_t at_ = 0;
};

class MemoryLog final : public RunLog {
 public:
  void metric(std::string_view name, std::int64_t step, double value) override {
    metrics[std::string(name)].emplace_back(step, value);
  }
  Result<void> checkpoint(std::string_view bytes) override {
    checkpoints.emplace_back(bytes);
    return {};
  }
  std::map<std::string, std::vector<std::pair<std::int64_t, double>>> metrics;
  std::vector<std::string> checkpoints;
};

}  // namespace millrace::train::testing
