// Job side of `assemble` and `live`: the prediction log joined with the labels, as training rows or as live quality.
#include <algorithm>
#include <format>

#include "base/fault.hpp"
#include "data/ingest.hpp"
#include "eval/live.hpp"
#include "label/join.hpp"
#include "loop/job_run.hpp"
#include "loop/labels_text.hpp"
#include "loop/log_read.hpp"
#include "serve/prediction_log.hpp"
#include "table/table.hpp"

namespace millrace::loop {

namespace {

// The lines without their inputs, and what the labels say about them.
struct Logged {
  std::vector<serve::LogSchema> schemas;  // each kind once
  std::vector<std::uint32_t> schema_of;   // by line
  std::vector<float> scores;              // of all lines, one after the other
  std::vector<std::size_t> scores_begin;  // by line, and the end
  std::vector<label::Prediction> predictions;
  label::Joined joined;

  const serve::LogSchema& schema(std::size_t line) const { return schemas[schema_of[line]]; }
  std::span<const float> scores_of(std::size_t line) const {
    return std::span(scores).subspan(scores_begin[line], scores_begin[line + 1] - scores_begin[line]);
  }
};

Result<Logged> read_and_join(const AssembleJob& job, JobContext& context) {
  Logged logged;
  auto on_line = [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
    auto same = [&](const serve::LogSchema& one) {
      return one.version == schema.version && one.classes == schema.classes;
    };
    auto known = std::find_if(logged.schemas.rbegin(), logged.schemas.rend(), same);
    if (known == logged.schemas.rend()) {
      logged.schemas.push_back({schema.model, schema.version, {}, schema.classes});
      known = logged.schemas.rbegin();
    }
    logged.schema_of.push_back(static_cast<std::uint32_t>(logged.schemas.rend() - known) - 1);
    logged.scores_begin.push_back(logged.scores.size());
    logged.scores.insert(logged.scores.end(), line.scores.begin(), line.scores.end());
    logged.predictions.push_back({line.id, std::move(line.key), line.time, schema.model, schema.version});
    return {};
  };
  TRY(auto lines, read_log_lines(job.log, context, on_line));
  logged.scores_begin.push_back(logged.scores.size());
  context.task.progress({"join", -1, lines, {}, ""});
  TRY(auto digest, Digest::parse(job.labels));
  TRY(auto text, context.blobs.read(digest, std::uint64_t{1} << 32));
  TRY(auto labels, parse_labels_text(text));
  label::JoinOptions options;
  if (job.mature_us > 0) options.mature = Duration(job.mature_us);
  options.trust.clear();
  for (const auto& name : job.trust) {
    TRY(auto origin, label::parse_origin(name));
    options.trust.push_back(origin);
  }
  options.now = TimePoint(Duration(job.now_us));
  logged.joined = label::join(logged.predictions, labels, options);
  return logged;
}

// Rows in batches of a schema, for the Parquet writer.
class RowsReader final : public table::BatchReader {
 public:
  RowsReader(table::Schema schema, std::vector<table::Row> rows) : schema_(std::move(schema)), rows_(std::move(rows)) {}
  const table::Schema& schema() const override { return schema_; }
  Result<std::optional<table::Batch>> next() override {
    if (at_ == rows_.size()) return std::nullopt;
    auto end = std::min(rows_.size(), at_ + 65536);
    std::vector<table::Row> some(rows_.begin() + static_cast<std::ptrdiff_t>(at_),
                                 rows_.begin() + static_cast<std::ptrdiff_t>(end));
    at_ = end;
    TRY(auto batch, table::Batch::from_rows(schema_, some));
    return batch;
  }

 private:
  table::Schema schema_;
  std::vector<table::Row> rows_;
  std::size_t at_ = 0;
};

// A logged input in the dataset's type: what was int64 in one version of the data may be float64 in the next.
Result<table::Value> convert(const table::Value& value, table::Type type) {
  if (table::is_null(value)) return value;
  if (type == table::Type::float64 && std::holds_alternative<std::int64_t>(value))
    return table::Value(static_cast<double>(std::get<std::int64_t>(value)));
  return table::from_text(table::to_text(value), type);
}

}  // namespace

Result<AssembleResult> run_assemble(const AssembleJob& job, JobContext& context) {
  TRY(auto logged, read_and_join(job, context));
  TRY(auto schema, data::schema_of(job.schema));
  auto target = schema.index_of(job.spec.target);
  auto key = job.spec.key.empty() ? -1 : schema.index_of(job.spec.key);
  if (target < 0)
    return fail(Code::failed_precondition, "loop.no_target", "the data has no column '" + job.spec.target + "'");
  AssembleResult result;
  result.labels_seq = job.labels_seq;
  result.predictions = static_cast<std::int64_t>(logged.predictions.size());
  // In the order of the join: by time, then id. Only these lines are read with their inputs.
  std::vector<std::pair<Id, std::size_t>> wanted;
  std::vector<std::pair<table::Value, std::optional<table::Row>>> found;  // the truth, and the row once it is read
  for (const auto& joined : logged.joined.rows) {
    if (!joined.truth()) continue;
    auto truth = table::from_text(*joined.truth(), schema.fields[static_cast<std::size_t>(target)].type);
    if (!truth || table::is_null(*truth)) {
      ++result.unusable;
      continue;
    }
    wanted.emplace_back(logged.predictions[joined.prediction].id, found.size());
    found.emplace_back(*std::move(truth), std::nullopt);
  }
  std::ranges::sort(wanted);
  std::vector<Id> ids;
  for (const auto& one : wanted) ids.push_back(one.first);
  auto take = [&](const serve::LogSchema& line_schema, serve::LoggedPrediction&& line) -> Result<void> {
    auto& [truth, place] =
        found[std::ranges::lower_bound(wanted, line.id, {}, &std::pair<Id, std::size_t>::first)->second];
    table::Row row(schema.fields.size());
    for (std::size_t i = 0; i < line_schema.inputs.size(); ++i) {
      auto at = schema.index_of(line_schema.inputs[i].name);
      if (at < 0) continue;  // a column that the data has no more
      auto value = convert(line.inputs[i], schema.fields[static_cast<std::size_t>(at)].type);
      if (!value) return {};
      row[static_cast<std::size_t>(at)] = *std::move(value);
    }
    if (key >= 0 && !line.key.empty()) {
      if (auto value = table::from_text(line.key, schema.fields[static_cast<std::size_t>(key)].type))
        row[static_cast<std::size_t>(key)] = *std::move(value);
    }
    row[static_cast<std::size_t>(target)] = truth;
    place = std::move(row);
    const auto at = line.time.time_since_epoch().count();
    result.first_us = result.last_us == 0 ? at : std::min<std::int64_t>(result.first_us, at);
    result.last_us = std::max<std::int64_t>(result.last_us, at);
    return {};
  };
  TRY_VOID(read_log_inputs(job.log, ids, context, take));
  std::vector<table::Row> rows;
  for (auto& [truth, row] : found) {
    if (row) {
      rows.push_back(*std::move(row));
    } else {
      ++result.unusable;
    }
  }
  result.rows = static_cast<std::int64_t>(rows.size());
  if (rows.empty()) return result;
  RowsReader reader(schema, std::move(rows));
  TRY_VOID(context.task.env.faults.reach("loop.assemble.before_blob"));
  TRY(auto part, data::store_part(context.blobs, reader));
  TRY_VOID(context.task.env.faults.reach("loop.assemble.after_blob"));
  result.parts.push_back(std::move(part));
  return result;
}

Result<LiveResult> run_live(const AssembleJob& job, JobContext& context) {
  TRY(auto logged, read_and_join(job, context));
  eval::LiveTask task;
  task.classes = job.spec.classes;
  task.task = job.spec.task == "binary"       ? eval::TaskType::binary
              : job.spec.task == "multiclass" ? eval::TaskType::multiclass
                                              : eval::TaskType::regression;
  std::vector<eval::LivePrediction> live;
  LiveResult result;
  for (const auto& joined : logged.joined.rows) {
    const auto& schema = logged.schema(joined.prediction);
    const auto scores = logged.scores_of(joined.prediction);
    eval::LivePrediction one;
    one.version = std::format("{}:{}", schema.model, schema.version);
    one.waiting = joined.state == label::State::waiting;
    if (task.task != eval::TaskType::multiclass) {
      one.scores.assign(scores.begin(), scores.end());
    } else {  // in the task's order of classes; a version may know fewer
      one.scores.assign(task.classes.size(), 0.0);
      for (std::size_t i = 0; i < schema.classes.size() && i < scores.size(); ++i) {
        auto at = std::find(task.classes.begin(), task.classes.end(), schema.classes[i]);
        if (at != task.classes.end()) one.scores[static_cast<std::size_t>(at - task.classes.begin())] = scores[i];
      }
    }
    if (const auto* truth = joined.truth()) {
      if (task.task == eval::TaskType::regression) {
        if (auto number = table::from_text(*truth, table::Type::float64); number && !table::is_null(*number))
          one.truth = std::get<double>(*number);
      } else if (auto at = std::find(task.classes.begin(), task.classes.end(), *truth); at != task.classes.end()) {
        one.truth = static_cast<double>(at - task.classes.begin());
      }
      ++result.labels_joined;
    }
    live.push_back(std::move(one));
  }
  result.labels_unmatched = static_cast<std::int64_t>(logged.joined.unmatched.size());
  result.labels_seq = job.labels_seq;
  result.late_lines = job.late_lines;
  std::vector<std::string> metrics = job.metrics;
  metrics.insert(metrics.begin(), "");  // the primary
  for (const auto& metric : metrics) {
    task.metric = metric;
    TRY(auto quality, eval::live_quality(live, task));
    for (const auto& one : quality) {
      LiveLine line{one.version,
                    one.metric,
                    static_cast<std::int64_t>(one.predictions),
                    static_cast<std::int64_t>(one.labelled),
                    static_cast<std::int64_t>(one.waiting),
                    one.value,
                    {},
                    {},
                    one.why_undefined};
      if (one.interval) {
        line.low = one.interval->low;
        line.high = one.interval->high;
      }
      result.versions.push_back(std::move(line));
    }
  }
  return result;
}

}  // namespace millrace::loop
