#include "loop/log_records.hpp"

#include <algorithm>
#include <format>

#include "data/records.hpp"
#include "loop/log_decide.hpp"

namespace millrace::loop {

namespace {

Result<std::vector<RolledPart>> parts_where(meta::Reader& reader, std::string_view model) {
  TRY(auto rows,
      reader.query("SELECT digest, row_count, bytes, first_us, last_us, hours FROM loop_log_parts WHERE model "
                   "= $1 AND let_go_us IS NULL ORDER BY through, place",
                   {std::string(model)}));
  std::vector<RolledPart> out;
  for (const auto& row : rows) {
    RolledPart part{{row.text(0), row.integer(1), row.integer(2)}, row.integer(3), row.integer(4), {}};
    TRY(part.hours, parse_job<std::vector<HourRows>>(row.text(5)));
    out.push_back(std::move(part));
  }
  return out;
}

std::string span_text(const std::vector<RolledPart>& parts) {
  auto [first, last] = std::pair(parts.front().first_us, parts.front().last_us);
  for (const auto& part : parts) {
    first = std::min(first, part.first_us);
    last = std::max(last, part.last_us);
  }
  auto text = [](std::int64_t us) { return format_time(TimePoint(Duration(us))).substr(0, 19); };
  return text(first) + " to " + text(last);
}

Result<void> add_model(meta::Tx& tx, const RollJob& job, RolledModel model, const std::string& cause, TimePoint now) {
  auto dataset = predictions_dataset(model.model);
  TRY(auto before, data::newest_version(tx, dataset));
  data::IngestOutput content;
  content.mode = "append";
  if (before) content.parts = before->content.parts;
  content.analysis.rows = before ? before->rows : 0;
  std::int64_t bytes = 0;
  for (const auto& part : model.parts) {
    content.parts.push_back(part.part);
    content.new_rows += part.part.rows;
    bytes += part.part.bytes;
  }
  content.new_parts = static_cast<std::int64_t>(model.parts.size());
  content.analysis.rows += content.new_rows;
  content.analysis.columns = std::move(model.columns);
  content.schema = model.layout.schema;
  content.provenance = {std::format("log:{}-{}", job.after + 1, job.through), bytes, "", ""};
  content.notes = {
      std::format("{} new lines, {}; the statistics are theirs alone", content.new_rows, span_text(model.parts)),
      "lines that came since are in the log; they come with the next roll: millrace ingest " + dataset};
  TRY(auto added, data::add_version(tx, dataset, std::move(content), cause, now));
  (void)added;
  std::int64_t place = 0;
  for (const auto& part : model.parts) {
    TRY_VOID(
        tx.exec("INSERT INTO loop_log_parts (model, digest, through, place, row_count, bytes, first_us, last_us, "
                "hours) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                {model.model, part.part.digest, static_cast<std::int64_t>(job.through), place++, part.part.rows,
                 part.part.bytes, part.first_us, part.last_us, render_job(part.hours)}));
  }
  TRY_VOID(
      tx.exec("INSERT INTO loop_log_layouts (model, layout) VALUES ($1, $2) ON CONFLICT (model) DO UPDATE SET "
              "layout = excluded.layout",
              {model.model, render_job(model.layout)}));
  return {};
}

}  // namespace

Result<std::uint64_t> rolled_through(meta::Reader& reader) {
  TRY(auto row, reader.query_one("SELECT COALESCE(MAX(through), 0) FROM loop_rolls"));
  return static_cast<std::uint64_t>(row->integer(0));
}

Result<std::map<std::string, LogLayout>> log_layouts(meta::Reader& reader) {
  TRY(auto rows, reader.query("SELECT model, layout FROM loop_log_layouts"));
  std::map<std::string, LogLayout> out;
  for (const auto& row : rows) {
    TRY(out[row.text(0)], parse_job<LogLayout>(row.text(1)));
  }
  return out;
}

Result<std::vector<RolledPart>> log_parts(meta::Reader& reader, std::string_view model) {
  return parts_where(reader, model);
}

Result<LogView> log_view(meta::Reader& reader, std::string_view model, std::string dir) {
  LogView view;
  view.dir = std::move(dir);
  view.model = model;
  TRY(view.after, rolled_through(reader));
  TRY(auto parts, parts_where(reader, model));
  for (auto& part : parts) view.parts.push_back(std::move(part.part));
  TRY(auto layout, reader.query_one("SELECT layout FROM loop_log_layouts WHERE model = $1", {std::string(model)}));
  if (layout) {
    TRY(view.layout, parse_job<LogLayout>(layout->text(0)));
  }
  return view;
}

Result<bool> add_roll(meta::Tx& tx, const RollJob& job, RollResult result, const std::string& cause, TimePoint now) {
  TRY(auto through, rolled_through(tx));
  if (through != job.after) return false;
  TRY_VOID(
      tx.exec("INSERT INTO loop_rolls (through, after_segment, segments, line_count, damaged, cause, at_us) VALUES "
              "($1, $2, $3, $4, $5, $6, $7)",
              {static_cast<std::int64_t>(job.through), static_cast<std::int64_t>(job.after), result.segments,
               result.lines, result.damaged, cause, meta::value(now)}));
  for (auto& model : result.models) TRY_VOID(add_model(tx, job, std::move(model), cause, now));
  return true;
}

Result<bool> lines_due(meta::Reader& reader, std::string_view model, Duration keep, TimePoint now) {
  TRY(auto row,
      reader.query_one("SELECT 1 FROM loop_log_parts WHERE model = $1 AND let_go_us IS NULL AND last_us < $2 LIMIT 1",
                       {std::string(model), meta::value(now - keep)}));
  return row.has_value();
}

Result<void> let_part_go(meta::Tx& tx, std::string_view model, std::string_view digest, const std::string& reason,
                         TimePoint now) {
  TRY_VOID(tx.exec("UPDATE loop_log_parts SET let_go_us = $1 WHERE model = $2 AND digest = $3 AND let_go_us IS NULL",
                   {meta::value(now), std::string(model), std::string(digest)}));
  return data::let_parts_go(tx, predictions_dataset(model), {std::string(digest)}, reason, now);
}

Result<std::int64_t> let_lines_go(meta::Tx& tx, std::string_view model, Duration keep, TimePoint now) {
  TRY(auto parts, parts_where(tx, model));
  std::vector<RolledPart> gone;
  for (auto at : parts_to_let_go(parts, keep, now)) gone.push_back(parts[at]);
  if (gone.empty()) return 0;
  std::vector<std::string> digests;
  std::int64_t rows = 0;
  for (const auto& part : gone) {
    digests.push_back(part.part.digest);
    rows += part.part.rows;
    TRY_VOID(tx.exec("UPDATE loop_log_parts SET let_go_us = $1 WHERE model = $2 AND digest = $3",
                     {meta::value(now), std::string(model), part.part.digest}));
  }
  auto why = std::format("[retention] predictions = \"{}\": {} rows, {}", format_duration(keep), rows, span_text(gone));
  TRY_VOID(data::let_parts_go(tx, predictions_dataset(model), digests, why, now));
  return rows;
}

}  // namespace millrace::loop
