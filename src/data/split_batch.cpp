// Apart from split.cpp, which needs no Arrow.
#include "data/split.hpp"
#include "table/table.hpp"

namespace millrace::data {

std::vector<Digest> RowDigester::digests(const table::Batch& batch) const {
  std::vector<Digest> out;
  out.reserve(static_cast<std::size_t>(batch.rows()));
  for (std::int64_t row = 0; row < batch.rows(); row++) out.push_back(digest(batch.row(row)));
  return out;
}

}  // namespace millrace::data
