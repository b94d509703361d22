// Job side of `roll`: closed log segments as Parquet. The same segments give the same blobs, so a job that runs twice
// leaves nothing else behind.
#include <algorithm>
#include <map>

#include "base/fault.hpp"
#include "data/ingest.hpp"
#include "data/profile.hpp"
#include "loop/job_run.hpp"
#include "serve/prediction_log.hpp"
#include "table/table.hpp"

namespace millrace::loop {

namespace {

// What one segment has of one model.
struct Piece {
  std::string path;
  std::int64_t lines = 0;
  std::int64_t first_us = 0;
  std::int64_t last_us = 0;
  std::map<std::int64_t, std::int64_t> hours;
};
struct Model {
  LogLayout layout;
  std::vector<Piece> pieces;
};

std::int64_t hour_of(std::int64_t us) { return std::chrono::floor<std::chrono::hours>(Duration(us)).count(); }

// The first reading: which columns there are, how many lines, from when to when.
Result<std::map<std::string, Model>> look_through(const RollJob& job, JobContext& context, RollResult& result) {
  std::map<std::string, Model> models;
  for (const auto& [name, layout] : job.layouts) models[name].layout = layout;
  TRY(auto segments, serve::list_segments(context.task.env.fs, job.dir, job.after));
  for (const auto& segment : segments) {
    if (segment.number > job.through) break;
    if (context.task.cancelled && context.task.cancelled())
      return fail(Code::cancelled, "loop.cancelled", "the roll was cancelled");
    std::vector<serve::LogSchema> known;  // of this segment
    auto on_line = [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
      auto& model = models[schema.model];
      auto same = [&](const serve::LogSchema& one) {
        return one.version == schema.version && one.model == schema.model && one.inputs == schema.inputs &&
               one.classes == schema.classes;
      };
      if (std::ranges::none_of(known, same)) {
        extend(model.layout, schema, line.scores.size());
        known.push_back(schema);
      }
      extend(model.layout, line);
      if (model.pieces.empty() || model.pieces.back().path != segment.path)
        model.pieces.push_back({segment.path, {}, {}, {}, {}});
      auto& piece = model.pieces.back();
      auto us = static_cast<std::int64_t>(line.time.time_since_epoch().count());
      piece.first_us = piece.lines == 0 ? us : std::min(piece.first_us, us);
      piece.last_us = piece.lines == 0 ? us : std::max(piece.last_us, us);
      ++piece.lines;
      ++piece.hours[hour_of(us)];
      return {};
    };
    TRY(auto stats, serve::read_prediction_segment(context.task.env.fs, segment.path, on_line));
    ++result.segments;
    result.lines += static_cast<std::int64_t>(stats.lines);
    result.damaged += static_cast<std::int64_t>(stats.damaged);
  }
  return models;
}

// The lines of some segments as rows, a segment at a time, each in the order of its ids.
class SegmentRows final : public table::BatchReader {
 public:
  SegmentRows(Fs& fs, const LogRows& rows, const std::string& model, std::span<const Piece> pieces,
              data::Profiler& profiler)
      : fs_(fs), rows_(rows), model_(model), pieces_(pieces), profiler_(profiler) {}
  const table::Schema& schema() const override { return rows_.schema(); }

  Result<std::optional<table::Batch>> next() override {
    if (at_ == pieces_.size()) return std::nullopt;
    std::vector<std::pair<Id, table::Row>> lines;
    TRY_VOID(serve::read_prediction_segment(
        fs_, pieces_[at_++].path, [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
          if (schema.model != model_) return {};
          TRY(auto row, rows_.row_of(schema, line));
          lines.emplace_back(line.id, std::move(row));
          return {};
        }));
    std::ranges::stable_sort(lines, {}, &std::pair<Id, table::Row>::first);
    std::vector<table::Row> some;
    some.reserve(lines.size());
    for (auto& line : lines) some.push_back(std::move(line.second));
    TRY(auto batch, table::Batch::from_rows(rows_.schema(), some));
    profiler_.add(batch);
    return batch;
  }

 private:
  Fs& fs_;
  const LogRows& rows_;
  const std::string& model_;
  std::span<const Piece> pieces_;
  data::Profiler& profiler_;
  std::size_t at_ = 0;
};

Result<RolledModel> write_model(const RollJob& job, JobContext& context, const std::string& name, Model& model) {
  RolledModel out{name, std::move(model.layout), {}, {}};
  const LogRows rows(out.layout, name);
  data::Profiler profiler(rows.schema());
  for (std::size_t at = 0; at < model.pieces.size();) {
    RolledPart part;
    auto begin = at;
    std::int64_t count = 0;
    std::map<std::int64_t, std::int64_t> hours;
    part.first_us = model.pieces[at].first_us;
    part.last_us = model.pieces[at].last_us;
    for (; at < model.pieces.size() && count < job.part_rows; ++at) {
      const auto& piece = model.pieces[at];
      count += piece.lines;
      part.first_us = std::min(part.first_us, piece.first_us);
      part.last_us = std::max(part.last_us, piece.last_us);
      for (const auto& [hour, lines] : piece.hours) hours[hour] += lines;
    }
    for (const auto& [hour, lines] : hours) part.hours.push_back({hour, lines});
    SegmentRows reader(context.task.env.fs, rows, name, std::span(model.pieces).subspan(begin, at - begin), profiler);
    TRY_VOID(context.task.env.faults.reach("loop.roll.before_part"));
    TRY(part.part, data::store_part(context.blobs, reader));
    TRY_VOID(context.task.env.faults.reach("loop.roll.after_part"));
    if (part.part.rows != count)
      return fail(Code::aborted, "loop.log_changed", "a log segment changed while it was read; it is read again");
    out.parts.push_back(std::move(part));
    context.task.progress({"write", -1, count, {}, ""});
  }
  out.columns = profiler.finish();
  return out;
}

}  // namespace

Result<RollResult> run_roll(const RollJob& job, JobContext& context) {
  RollResult result;
  TRY(auto models, look_through(job, context, result));
  for (auto& [name, model] : models) {
    if (model.pieces.empty()) continue;
    TRY(auto written, write_model(job, context, name, model));
    result.models.push_back(std::move(written));
  }
  return result;
}

}  // namespace millrace::loop
