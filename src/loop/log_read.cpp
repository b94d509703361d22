#include "loop/log_read.hpp"

#include <algorithm>

#include "data/ingest.hpp"
#include "table/table.hpp"

namespace millrace::loop {

namespace {

Error cancelled() { return {Code::cancelled, "loop.cancelled", "the job was cancelled"}; }

// Rows of the parts in `schema`, one after the other; `take` says which of a batch are wanted.
template <class Take>
Result<void> each_row(const LogView& view, const table::Schema& schema, JobContext& context, Take take) {
  std::vector<std::string> columns;
  for (const auto& field : schema.fields) columns.push_back(field.name);
  for (const auto& part : view.parts) {
    TRY(auto opened, data::open_part(context.blobs, part, columns));
    TRY(auto reader, table::conform(std::move(opened), schema));
    for (;;) {
      if (context.task.cancelled && context.task.cancelled()) return fail(cancelled());
      TRY(auto batch, reader->next());
      if (!batch) break;
      TRY_VOID(take(*batch));
    }
  }
  return {};
}

}  // namespace

Result<std::int64_t> read_log_lines(const LogView& view, JobContext& context, const serve::OnLine& on_line) {
  const LogRows rows(view.layout, view.model);
  std::int64_t lines = 0;
  TRY_VOID(each_row(view, rows.light_schema(), context, [&](const table::Batch& batch) -> Result<void> {
    for (std::int64_t i = 0; i < batch.rows(); ++i) {
      TRY(auto found, rows.line_of(batch.row(i), false));
      TRY_VOID(on_line(*found.schema, std::move(found.line)));
    }
    lines += batch.rows();
    return {};
  }));
  TRY_VOID(serve::read_prediction_log(
      context.task.env.fs, view.dir,
      [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
        if (schema.model != view.model) return {};
        if (context.task.cancelled && context.task.cancelled()) return fail(cancelled());
        line.inputs.clear();
        ++lines;
        return on_line(schema, std::move(line));
      },
      view.after));
  return lines;
}

Result<void> read_log_inputs(const LogView& view, const std::vector<Id>& ids, JobContext& context,
                             const serve::OnLine& on_line) {
  const LogRows rows(view.layout, view.model);
  if (ids.empty()) return {};
  std::size_t left = ids.size();
  TRY_VOID(each_row(view, rows.schema(), context, [&](const table::Batch& batch) -> Result<void> {
    if (left == 0) return {};
    const auto column = batch.column(0);  // prediction_id
    for (std::int64_t i = 0; i < batch.rows(); ++i) {
      TRY(auto id, Id::parse(column.text_at(i)));
      if (!std::ranges::binary_search(ids, id)) continue;
      TRY(auto found, rows.line_of(batch.row(i), true));
      --left;
      TRY_VOID(on_line(*found.schema, std::move(found.line)));
    }
    return {};
  }));
  if (left == 0) return {};
  TRY_VOID(serve::read_prediction_log(
      context.task.env.fs, view.dir,
      [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
        if (schema.model != view.model || !std::ranges::binary_search(ids, line.id)) return {};
        return on_line(schema, std::move(line));
      },
      view.after));
  return {};
}

}  // namespace millrace::loop
