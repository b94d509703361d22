// The predictor's part in batching: requests that are computed together, and the proof that it makes no difference.
#include <algorithm>
#include <bit>
#include <exception>

#include "base/log.hpp"
#include "serve/batch_tensors.hpp"
#include "serve/predictor_internal.hpp"

namespace millrace::serve {

namespace {

struct RowsPart : Batcher::Part {
  const std::vector<table::Row>* rows_asked = nullptr;
  model::EncodeStats stats;
  Result<std::vector<model::Answer>> answers;
};
struct MatrixPart : Batcher::Part {
  std::span<const float> features;
  std::vector<float>* outputs = nullptr;
  Result<void> done;
};
struct TensorsPart : Batcher::Part {
  std::span<const model::TensorView> inputs;
  Result<model::TensorAnswer> answer;
};

void broken(RowsPart& part, const Error& why) { part.answers = fail(why); }
void broken(MatrixPart& part, const Error& why) { part.done = fail(why); }
void broken(TensorsPart& part, const Error& why) { part.answer = fail(why); }

// Trees answer a row alone and among others to the bit; an engine of matrix products may sum in another order.
bool answers_exactly(const model::Manifest& manifest) { return manifest.engine.name != "onnx"; }

bool same_answers(std::span<const model::Answer> together, std::span<const model::Answer> alone, bool exactly) {
  if (exactly) return std::ranges::equal(together, alone);
  const auto about = [](const model::Answer& a, const model::Answer& b) {
    return a.probabilities.size() == b.probabilities.size() &&
           (!a.probabilities.empty() || about_equal(a.score, b.score)) &&
           std::ranges::equal(a.probabilities, b.probabilities, [](double x, double y) { return about_equal(x, y); });
  };
  return std::ranges::equal(together, alone, about);
}

bool same_floats(std::span<const float> together, std::span<const float> alone, bool exactly) {
  return std::ranges::equal(together, alone, [&](float a, float b) {
    return exactly ? std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) : about_equal(a, b);
  });
}

}  // namespace

bool Predictor::batches(const Held& held) const {
  return held.of_->batching.rows_max > 0 && held.served_->batcher->proof() != Batcher::Proof::differs;
}

// `alone(part)` computes one; `together(parts, proves)` all at once: it answers the parts, or says whether their
// answers are those that they have already. nullopt: it can't, so each is computed alone.
template <class Part, class Alone, class Together>
void Predictor::in_batch(const Held& held, Part& part, Measure& measure, const Alone& alone, const Together& together) {
  auto& batcher = *held.served_->batcher;
  part.may_wait = measure.may_wait();
  const auto entered = env_.clock.steady();
  const auto compute = [&](std::span<Batcher::Part* const> asked) {
    std::vector<Part*> parts;
    std::size_t rows = 0;
    for (auto* one : asked) {
      parts.push_back(static_cast<Part*>(one));
      rows += one->rows;
    }
    held.of_->counters->batches.add(rows);
    try {
      const bool proves = parts.size() > 1 && batcher.proof() == Batcher::Proof::none;
      if (proves || parts.size() == 1) {
        for (auto* one : parts) alone(*one);
      }
      if (parts.size() == 1) return;
      const auto same = together(std::span<Part* const>(parts), proves);
      if (!proves) {
        if (!same) {
          for (auto* one : parts) alone(*one);
        }
        return;
      }
      if (!same) return;
      batcher.proven(*same ? Batcher::Proof::same : Batcher::Proof::differs);
      if (!*same) {
        env_.log.warn("model_not_batched", {{"model", held.name_and_version()},
                                            {"error",
                                             "its answers to several requests at once are not those to each; "
                                             "each is computed by itself from now on"}});
      }
    } catch (const std::exception& error) {
      for (auto* one : parts) broken(*one, {Code::internal, "serve.batch_failed", error.what()});
    }
  };
  batcher.run(part, held.of_->batching, held.of_->concurrency, env_.clock, compute);
  const auto took = env_.clock.steady() - part.began;
  const auto share = static_cast<double>(part.rows) / static_cast<double>(std::max(part.rows, part.rows_together));
  const auto mine = Duration(static_cast<Duration::rep>(static_cast<double>(took.count()) * share));
  measure.batched(part.began - entered, took - mine, part.joined);
}

Result<std::vector<model::Answer>> Predictor::compute_rows(const Held& held, const std::vector<table::Row>& rows,
                                                           model::EncodeStats& stats, Measure& measure) {
  const auto& model = held.model();
  RowsPart part;
  part.rows = rows.size();
  part.kind = "rows";
  part.rows_asked = &rows;
  const auto alone = [&](RowsPart& one) {
    one.stats = {};
    one.answers = model.predict(*one.rows_asked, one.stats);
  };
  const auto together = [&](std::span<RowsPart* const> parts, bool proves) -> std::optional<bool> {
    std::vector<table::Row> all;
    for (const auto* one : parts) all.insert(all.end(), one->rows_asked->begin(), one->rows_asked->end());
    model::EncodeStats seen;
    auto answers = model.predict(all, seen);
    if (!answers || answers->size() != all.size()) return std::nullopt;
    auto from = answers->begin();
    for (auto* one : parts) {
      const auto to = from + static_cast<std::ptrdiff_t>(one->rows_asked->size());
      if (proves) {
        if (!one->answers || !same_answers({from, to}, *one->answers, answers_exactly(model.manifest()))) return false;
      } else {
        one->stats = {};
        one->answers = std::vector(std::make_move_iterator(from), std::make_move_iterator(to));
      }
      from = to;
    }
    if (!proves) parts.front()->stats = seen;
    return true;
  };
  in_batch(held, part, measure, alone, together);
  stats = std::move(part.stats);
  return std::move(part.answers);
}

Result<void> Predictor::compute_matrix(const Held& held, std::span<const float> features, std::size_t rows,
                                       std::vector<float>& outputs, Measure& measure) {
  const auto& runtime = held.model().runtime();
  if (!batches(held) || rows == 0) return runtime.predict(features, rows, outputs);
  MatrixPart part;
  part.rows = rows;
  part.kind = "matrix";
  part.features = features;
  part.outputs = &outputs;
  const auto alone = [&](MatrixPart& one) { one.done = runtime.predict(one.features, one.rows, *one.outputs); };
  const auto together = [&](std::span<MatrixPart* const> parts, bool proves) -> std::optional<bool> {
    std::vector<float> all, answers;
    std::size_t count = 0;
    for (const auto* one : parts) {
      all.insert(all.end(), one->features.begin(), one->features.end());
      count += one->rows;
    }
    if (!runtime.predict(all, count, answers) || answers.size() % count != 0) return std::nullopt;
    const auto width = answers.size() / count;
    std::span<const float> left(answers);
    for (auto* one : parts) {
      const auto mine = left.first(one->rows * width);
      left = left.subspan(mine.size());
      if (proves) {
        if (!one->done || !same_floats(mine, *one->outputs, answers_exactly(held.model().manifest()))) return false;
      } else {
        one->outputs->assign(mine.begin(), mine.end());
        one->done = {};
      }
    }
    return true;
  };
  in_batch(held, part, measure, alone, together);
  return std::move(part.done);
}

Result<model::TensorAnswer> Predictor::compute_tensors(const Held& held, std::span<const model::TensorView> inputs,
                                                       std::span<const std::size_t> outputs, std::size_t rows,
                                                       Measure& measure) {
  const auto& model = *held.model().runtime().tensors();
  const auto kind = batches(held) ? batch_kind(model.signature(), inputs, outputs) : std::nullopt;
  if (!kind) return model.run(inputs, outputs);
  TensorsPart part;
  part.rows = rows;
  part.kind = *kind;
  part.inputs = inputs;
  const auto alone = [&](TensorsPart& one) { one.answer = model.run(one.inputs, outputs); };
  const auto together = [&](std::span<TensorsPart* const> parts, bool proves) -> std::optional<bool> {
    std::vector<std::span<const model::TensorView>> requests;
    std::vector<std::size_t> counts;
    for (const auto* one : parts) {
      requests.push_back(one->inputs);
      counts.push_back(one->rows);
    }
    const auto all = put_together(requests);
    const auto answer = model.run(all.views, outputs);
    if (!answer) return std::nullopt;
    auto apart = take_apart(*answer, counts);
    if (!apart) return proves ? std::optional(false) : std::nullopt;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!proves) {
        parts[i]->answer = std::move((*apart)[i]);
        continue;
      }
      if (!parts[i]->answer || !about_equal(model.signature(), outputs, (*apart)[i], *parts[i]->answer)) return false;
    }
    return true;
  };
  in_batch(held, part, measure, alone, together);
  return std::move(part.answer);
}

}  // namespace millrace::serve
