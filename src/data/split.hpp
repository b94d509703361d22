// On which side of the split a row is, for ever: by a hash of its key, or of its content when it has none, so that no
// row ever changes sides from one version to the next and equal rows stay together.
//
// The rule, which never changes (a test holds known digests):
//   digest = SHA-256 of the pairs, one after the other; a pair is <bytes of name>:<name>=<bytes of value>:<value>;
//            by key: one pair, the key's. By content: a pair for each column but the target, in the byte order of their
//            names. Nulls (and NaN) are left out, so that a column added later leaves older rows where they are.
//   value  = canonical_text: true/false; whole numbers as digits, also when stored as float64 and below 2^53; other
//            numbers as the shortest text that reads back; dates YYYY-MM-DD, timestamps in UTC, at midnight as the
//            date; texts as they are. So a column that is widened (table::widest) does not move its rows.
//   bucket = the first 8 bytes of the digest, big endian, / 2^64
//   side   = test when bucket < test, validation when bucket < test + validation, else train.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/digest.hpp"
#include "table/value.hpp"

namespace millrace::table {
class Batch;
}

namespace millrace::data {

enum class Side { train, validation, test };
std::string_view side_name(Side side);

struct Shares {
  double test = 0.2;
  double validation = 0.1;
};

// Pure.
Side side_of(const Digest& row, const Shares& shares = {});

std::string canonical_text(const table::Value& value);

// Names one kind of row. Cheap to copy.
class RowDigester {
 public:
  // `key` empty: by content without `target`. A row whose key is null goes by its content.
  RowDigester(const table::Schema& schema, std::string_view key, std::string_view target);
  Digest digest(const table::Row& row) const;
  // For each row of a batch of that schema, in order.
  std::vector<Digest> digests(const table::Batch& batch) const;

 private:
  std::vector<std::string> names_;
  std::vector<std::size_t> content_;  // places of the columns, in the byte order of their names
  std::size_t key_ = 0;               // its place; names_.size(): none
};

}  // namespace millrace::data
