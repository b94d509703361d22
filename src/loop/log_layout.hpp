// How logged predictions become rows of the dataset MODEL.predictions, and come back exactly. Pure; no Arrow.
// Columns: prediction_id, time, version, key, decision, then scores and inputs as versions bring them (the rules for
// their names are in docs/formats/prediction_log.md), and with the first lines that need them why a version answered
// and which prediction a shadow answer belongs to. A column keeps its name and type for ever; what a version does not
// have is null in its rows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "data/dataset.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::loop {

struct LogInput {
  std::string name;
  std::string type;
  std::string column;  // where it stands in the dataset
  bool operator==(const LogInput&) const = default;
};
struct LogScore {
  std::string name;  // the class it is of; "" for a regression's value
  std::string column;
  bool operator==(const LogScore&) const = default;
};
// What the versions of one kind log.
struct LogKind {
  std::vector<std::string> classes;
  std::vector<LogScore> scores;
  std::vector<LogInput> inputs;
  bool operator==(const LogKind&) const = default;
};
struct LogVersion {
  std::int64_t version = 0;
  std::int64_t kind = 0;  // place in LogLayout::kinds
  bool operator==(const LogVersion&) const = default;
};
struct LogLayout {
  std::vector<data::ColumnField> schema;  // of the dataset
  std::vector<LogKind> kinds;
  std::vector<LogVersion> versions;
  std::string why, live;                               // columns; "": no line needed one yet
  const LogKind* kind_of(std::int64_t version) const;  // nullptr: a version without lines
  bool operator==(const LogLayout&) const = default;
};

std::string predictions_dataset(std::string_view model);  // "churn.predictions"
// "churn" for "churn.predictions"; nothing for any other name.
std::optional<std::string> model_of_predictions(std::string_view dataset);

// Columns for what this line says besides. True when something was added.
bool extend(LogLayout& layout, const serve::LoggedPrediction& line);
// Makes room for lines of this schema. What is there already keeps its place. True when something was added.
bool extend(LogLayout& layout, const serve::LogSchema& schema, std::size_t scores);

// One way in and one way back, for rows of exactly layout.schema. Holds no reference to the layout.
class LogRows {
 public:
  LogRows(const LogLayout& layout, std::string model);

  // invalid_argument `loop.log_row` for a line that the layout has no place for, or whose value is not of its type.
  Result<table::Row> row_of(const serve::LogSchema& schema, const serve::LoggedPrediction& line) const;
  // With `inputs` false the line comes without them, and only light_schema() is looked at.
  struct Line {
    const serve::LogSchema* schema = nullptr;  // lives as long as this object
    serve::LoggedPrediction line;
  };
  Result<Line> line_of(const table::Row& row, bool inputs) const;

  // The columns that line_of(row, false) needs; its rows are in this order.
  const table::Schema& light_schema() const { return light_; }
  const table::Schema& schema() const { return whole_; }

 private:
  struct Version {
    std::int64_t version = 0;
    std::vector<std::size_t> scores, light_scores, inputs;  // places of the columns
    serve::LogSchema schema;
  };
  const Version* find(std::int64_t version) const;
  table::Schema whole_, light_;
  std::optional<std::size_t> why_, live_;  // places of their columns
  std::vector<Version> versions_;          // by version
};

}  // namespace millrace::loop
