// What is different between two versions of a dataset. Pure; for the server, from the records alone.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace millrace::data {

struct VersionContent {
  std::vector<Part> parts;
  std::vector<ColumnField> schema;
  Analysis analysis;
};

struct ColumnDiff {
  std::string column;
  std::string what;  // added, removed, type, values
  std::string line;  // for a person: "age: mean 38.6 -> 41.2, nulls 2.0 % -> 5.1 %"
  bool operator==(const ColumnDiff&) const = default;
};

struct VersionDiff {
  std::int64_t old_rows = 0;
  std::int64_t new_rows = 0;
  std::vector<Part> parts_added;
  std::vector<Part> parts_removed;
  std::vector<ColumnDiff> columns;  // only those that differ, in the order of the newer schema, removed ones last
  std::vector<std::string> lines;   // all of it for a person
};

VersionDiff diff(const VersionContent& before, const VersionContent& after);

}  // namespace millrace::data
