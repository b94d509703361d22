// Job side of `batch`: rows in, the same rows with a model's answers out. Parts of a fixed number of rows become blobs
// as they are done, and the checkpoint names them: an attempt that follows a kill goes on behind them. From the parts
// the one file is made at the end, so that its bytes do not depend on where attempts ended.
#include <algorithm>
#include <format>
#include <thread>

#include "base/fault.hpp"
#include "base/json.hpp"
#include "data/checkout.hpp"
#include "data/ingest.hpp"
#include "loop/job_batch_internal.hpp"
#include "loop/job_run.hpp"
#include "model/loaded.hpp"
#include "table/table.hpp"

namespace millrace::loop {

namespace {

struct BatchCheckpoint {
  std::vector<BatchInput> inputs;  // as they were when the first attempt read them
  std::vector<data::Part> parts;
  std::int64_t rows = 0;
  std::int64_t unseen = 0;
};

// A name that the rows do not have yet.
std::string free_name(const table::Schema& schema, const std::string& name) {
  auto out = name;
  for (int n = 2; schema.index_of(out) >= 0; ++n) out = std::format("{}_{}", name, n);
  return out;
}

// Answers batches, several threads to each. The answers do not depend on how many.
class Scorer {
 public:
  Scorer(const model::LoadedModel& model, const table::Schema& rows, const BatchJob& job, int threads)
      : model_(model), job_(job), threads_(static_cast<std::size_t>(std::max(1, threads))) {
    const auto& classes = model.manifest().classes;
    names_.push_back(free_name(rows, "prediction"));
    if (!classes.empty()) names_.push_back(free_name(rows, "probability"));
    for (const auto& name : classes) names_.push_back(free_name(rows, "probability_" + name));
    names_.push_back(free_name(rows, "model"));
    names_.push_back(free_name(rows, "data"));
  }

  Result<table::Batch> score(const table::Batch& batch) {
    const auto rows = static_cast<std::size_t>(batch.rows());
    const auto& classes = model_.manifest().classes;
    std::vector<std::string> labels(classes.empty() ? 0 : rows);
    std::vector<std::vector<double>> numbers(classes.empty() ? 1 : classes.size() + 1, std::vector<double>(rows));
    const auto share = std::max<std::size_t>(1024, (rows + threads_ - 1) / threads_);
    const auto pieces = (rows + share - 1) / share;
    std::vector<Result<void>> done(pieces);
    std::vector<model::EncodeStats> stats(pieces);
    const auto answer_piece = [&](std::size_t n) -> Result<void> {
      const auto begin = n * share, length = std::min(share, rows - begin);
      TRY(const auto answers,
          model_.predict(batch.slice(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(length)), stats[n]));
      for (std::size_t i = 0; i < length; ++i) put(answers[i], begin + i, labels, numbers);
      return {};
    };
    {
      std::vector<std::jthread> helpers;
      for (std::size_t n = 1; n < pieces; ++n) helpers.emplace_back([&, n] { done[n] = answer_piece(n); });
      if (pieces > 0) done[0] = answer_piece(0);
    }
    for (std::size_t n = 0; n < pieces; ++n) {
      TRY_VOID(std::move(done[n]));
      unseen_ += static_cast<std::int64_t>(stats[n].unseen);
    }
    std::vector<table::NewColumn> columns;
    std::size_t name = 0;
    if (!classes.empty()) columns.push_back({names_[name++], std::move(labels)});
    for (auto& values : numbers) columns.push_back({names_[name++], std::move(values)});
    columns.push_back({names_[name++], std::vector<std::string>(rows, job_.model)});
    columns.push_back({names_[name++], std::vector<std::string>(rows, job_.data)});
    return table::with_columns(batch, columns);
  }
  std::int64_t unseen() const { return unseen_; }

 private:
  // What /predict answers: the decision, its probability and that of each class; or the value.
  static void put(const model::Answer& answer, std::size_t row, std::vector<std::string>& labels,
                  std::vector<std::vector<double>>& numbers) {
    if (labels.empty()) {
      numbers[0][row] = answer.score;
      return;
    }
    const auto probability = [&](std::size_t i) {
      if (!answer.probabilities.empty()) return answer.probabilities[i];
      return i == 1 ? answer.score : 1 - answer.score;
    };
    labels[row] = answer.label;
    numbers[0][row] = probability(static_cast<std::size_t>(answer.decision));
    for (std::size_t i = 0; i + 1 < numbers.size(); ++i) numbers[i + 1][row] = probability(i);
  }

  const model::LoadedModel& model_;
  const BatchJob& job_;
  std::size_t threads_;
  std::vector<std::string> names_;
  std::int64_t unseen_ = 0;
};

Result<std::unique_ptr<table::BatchReader>> open_rows(const BatchJob& job, const std::vector<BatchInput>& inputs,
                                                      const model::LoadedModel& model, blob::Store& blobs) {
  if (inputs.empty()) return data::read_parts(blobs, job.schema, job.parts);
  table::CsvOptions options;
  options.types =
      model::input_schema(model.manifest());  // what training read a column as, not what these rows look like
  return open_inputs(blobs, inputs, options);
}

// One digest for all that was read.
std::string data_digest(const BatchJob& job, const std::vector<BatchInput>& inputs) {
  if (inputs.size() == 1) return inputs[0].digest;
  std::string lines;
  for (const auto& input : inputs) lines += input.digest + "\n";
  if (inputs.empty()) {
    for (const auto& part : job.parts) lines += part.digest + "\n";
  }
  return sha256(lines).hex();
}

// The next rows of a part, answered; stops where the part is full.
class PartRows final : public table::BatchReader {
 public:
  using Next = std::function<Result<std::optional<table::Batch>>()>;
  PartRows(table::Schema schema, Next next) : schema_(std::move(schema)), next_(std::move(next)) {}
  const table::Schema& schema() const override { return schema_; }
  Result<std::optional<table::Batch>> next() override { return next_(); }

 private:
  table::Schema schema_;
  Next next_;
};

// Cuts a stream of batches into pieces of at most so many rows, the first `skipped` rows left out.
class Cut {
 public:
  Cut(table::BatchReader& from, std::int64_t skipped) : from_(from), skip_(skipped) {}
  Result<std::optional<table::Batch>> take(std::int64_t rows_max) {
    while (!ahead_ || ahead_->rows() == 0) {
      TRY(ahead_, from_.next());
      if (!ahead_) return std::optional<table::Batch>();
      const auto skipped = std::min(skip_, ahead_->rows());
      skip_ -= skipped;
      ahead_ = ahead_->slice(skipped, ahead_->rows() - skipped);
    }
    const auto rows = std::min(rows_max, ahead_->rows());
    auto out = ahead_->slice(0, rows);
    ahead_ = ahead_->slice(rows, ahead_->rows() - rows);
    return std::optional(std::move(out));
  }
  Result<bool> ended() {  // whether there are no more rows
    TRY(const auto one, take(0));
    return !one;
  }

 private:
  table::BatchReader& from_;
  std::int64_t skip_;
  std::optional<table::Batch> ahead_;
};

}  // namespace

Result<BatchResult> run_batch(const BatchJob& asked, JobContext& context) {
  auto& faults = context.task.env.faults;
  auto job = asked;
  if (!job.problem.empty()) return fail(Code::failed_precondition, "loop.batch_not_possible", job.problem);
  TRY(const auto digest, Digest::parse(job.artifact.digest));
  TRY(const auto artifact, context.blobs.read(digest, std::uint64_t{1} << 32));
  model::RuntimeOptions options{.libraries = context.libraries, .explains = false};
  TRY(const auto model, model::LoadedModel::load(artifact, options));

  BatchCheckpoint done;
  if (!context.checkpoint.empty()) {
    TRY(done, json::parse<BatchCheckpoint>(context.checkpoint, "the batch's checkpoint"));
  }
  if (!job.file.digest.empty()) done.inputs = {{job.data.substr(0, job.data.rfind('@')), job.file.digest, 0}};
  if (!job.in.empty() && done.inputs.empty()) {
    TRY(done.inputs, take_inputs(context.task, context.blobs, job.in));
    TRY_VOID(context.save_checkpoint(json::render(done)));
    TRY_VOID(faults.reach("loop.batch.after_input"));
  }
  if (!job.in.empty()) {
    job.data =
        std::format("{}@{}", done.inputs.size() == 1 ? done.inputs[0].name : job.in.substr(job.in.rfind('/') + 1),
                    data_digest(job, done.inputs).substr(0, 16));
  }
  TRY(const auto rows, open_rows(job, done.inputs, *model, context.blobs));
  BatchResult result{.model = job.model,
                     .artifact = job.artifact.digest,
                     .data = job.data,
                     .data_digest = data_digest(job, done.inputs),
                     .inputs = done.inputs,
                     .output = {},
                     .resumed_at = done.rows};
  std::int64_t total = 0;
  for (const auto& part : job.parts) total += part.rows;

  // The schema of the answers is that of no rows, answered.
  TRY(const auto none, table::Batch::from_rows(rows->schema(), {}));
  Scorer scorer(*model, rows->schema(), job, context.threads);
  TRY(const auto empty, scorer.score(none));
  Cut cut(*rows, done.rows);
  for (;;) {
    TRY(const bool ended, cut.ended());
    if (ended && !done.parts.empty()) break;  // of no rows at all there is one empty part
    std::int64_t in_part = 0;
    PartRows part_rows(empty.schema(), [&]() -> Result<std::optional<table::Batch>> {
      if (context.task.cancelled()) return fail(Code::cancelled, "loop.cancelled", "the batch was stopped");
      if (in_part == job.part_rows) return std::optional<table::Batch>();
      TRY(const auto batch, cut.take(job.part_rows - in_part));
      if (!batch) return std::optional<table::Batch>();
      TRY(auto answered, scorer.score(*batch));
      in_part += batch->rows();
      const auto so_far = done.rows + in_part;
      context.task.progress({.phase = "predict",
                             .done = total > 0 ? static_cast<double>(so_far) / static_cast<double>(total) : -1,
                             .step = so_far});
      return std::optional(std::move(answered));
    });
    TRY(auto part, data::store_part(context.blobs, part_rows));
    TRY_VOID(faults.reach("loop.batch.after_part"));
    done.rows += part.rows;
    done.unseen += scorer.unseen() - result.unseen;
    result.unseen = scorer.unseen();
    done.parts.push_back(std::move(part));
    TRY_VOID(context.save_checkpoint(json::render(done)));
    TRY_VOID(faults.reach("loop.batch.after_checkpoint"));
    if (done.rows == 0) break;
  }

  TRY(const auto made, data::checkout(context.task, context.blobs,
                                      {job.format,
                                       done.parts,
                                       data::fields_of(empty.schema()),
                                       job.masked,
                                       {{"millrace.model", result.model},
                                        {"millrace.artifact", result.artifact},
                                        {"millrace.data", result.data},
                                        {"millrace.data_digest", result.data_digest}}}));
  TRY_VOID(faults.reach("loop.batch.after_file"));
  result.output = {made.digest, made.bytes};
  result.rows = made.rows;
  result.unseen = done.unseen;
  return result;
}

}  // namespace millrace::loop
