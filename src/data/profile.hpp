// Statistics of every column in one pass, in bounded memory; and a sample of rows drawn on the way. Job side.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "table/table.hpp"

namespace millrace::data {

struct ProfileOptions {
  int histogram_bins = 20;
  std::size_t top = 10;
  // All values of this column are listed in `top`, as long as they are no more than `all_values_max`.
  std::string all_values_of;
  std::size_t all_values_max = 1000;
  // Bounds over all columns together; each column gets its share, within the second and third number.
  // values whose counts are kept, and numbers from which quantiles are computed.
  std::int64_t counted_total = 2'000'000, counted_min = 10'000, counted_max = 100'000;
  std::int64_t kept_total = 20'000'000, kept_min = 20'000, kept_max = 1'000'000;
};

// The same rows in the same order give the same profile; other orders change only `increasing` and what is estimated.
class Profiler {
 public:
  explicit Profiler(const table::Schema& schema, const ProfileOptions& options = {});
  ~Profiler();
  void add(const table::Batch& batch);
  std::int64_t rows() const { return rows_; }
  std::vector<ColumnProfile> finish();  // once

 private:
  struct Column;
  ProfileOptions options_;
  std::int64_t rows_ = 0;
  std::vector<std::unique_ptr<Column>> columns_;
};

// Between `size` and twice as many rows (all when there are fewer), in their order, chosen by a hash of the row's
// number: the same rows give the same sample.
class RowSample {
 public:
  explicit RowSample(std::size_t size) : size_(size) {}
  void add(const table::Batch& batch);
  std::vector<table::Batch> finish();

 private:
  struct Piece {
    table::Batch rows;
    std::vector<std::uint64_t> hashes;
  };
  bool chosen(std::uint64_t hash) const { return level_ == 0 || hash >> (64 - level_) == 0; }
  void thin();
  std::size_t size_;
  std::size_t kept_ = 0;
  std::uint64_t seen_ = 0;
  unsigned level_ = 0;
  std::vector<Piece> pieces_;
};

// numpy's "linear": position (n - 1) * q between the sorted values. `sorted` is not empty.
double quantile_linear(const std::vector<double>& sorted, double q);

}  // namespace millrace::data
