// The predictor's part for models that take tensors by their own names.
#include <algorithm>
#include <cmath>
#include <format>

#include "base/text.hpp"
#include "model/tensor_rows.hpp"
#include "serve/predictor_internal.hpp"
#include "serve/tensor_answer.hpp"

namespace millrace::serve {

namespace {

// Rows as the engine knows them: the first axis of an input that may have any number of them.
std::size_t rows_in(const model::TensorSignature& signature, std::span<const model::TensorView> inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto& shape = signature.inputs[i].shape;
    if (!shape.empty() && shape[0] < 0 && !inputs[i].shape.empty()) return static_cast<std::size_t>(inputs[i].shape[0]);
  }
  return 1;
}

}  // namespace

Result<AnsweredTensors> Predictor::answer_tensors(const Held& held, std::span<const model::TensorView> inputs,
                                                  std::span<const std::size_t> outputs, Measure& measure) {
  const auto* model = held.model().runtime().tensors();
  if (!model) return fail(Code::internal, "serve.no_tensors", "this model takes rows");
  measure.infers();
  const auto rows = rows_in(model->signature(), inputs);
  TRY(auto answer, compute_tensors(held, inputs, outputs, rows, measure));
  const auto now = env_.clock.now();
  measure.inferred(rows, now);
  held.of_->counters->answered(rows, now);
  return AnsweredTensors{std::move(answer), ids_.make()};
}

Result<AnsweredTensors> Predictor::answer_matrix(const Held& held, std::span<const float> features, std::size_t rows,
                                                 Measure& measure) {
  auto outputs = std::make_shared<std::vector<float>>();
  measure.infers();
  TRY_VOID(compute_matrix(held, features, rows, *outputs, measure));
  const auto now = env_.clock.now();
  measure.inferred(rows, now);
  held.of_->counters->answered(rows, now);
  const std::string_view bytes(reinterpret_cast<const char*>(outputs->data()), outputs->size() * sizeof(float));
  const auto width = static_cast<std::int64_t>(held.model().manifest().bare_outputs);
  model::TensorAnswer answer{
      .outputs = {{.shape = {static_cast<std::int64_t>(rows), width}, .bytes = bytes, .texts = {}}},
      .memory = std::move(outputs)};
  return AnsweredTensors{std::move(answer), ids_.make()};
}

Result<std::vector<AnsweredTensors>> Predictor::answer_tensor_rows(const Held& held, const model::ParsedRows& rows,
                                                                   Measure& measure) {
  const auto& signature = held.model().manifest().tensors;
  const auto outputs = signature.plain_outputs();
  const auto count = rows.rows.size();
  const auto step = model::one_row_at_a_time(signature) ? 1 : count;
  std::vector<AnsweredTensors> out;
  for (std::size_t first = 0; first < count; first += step) {
    TRY(const auto tensors, model::tensors_of_rows(signature, std::span(rows.rows).subspan(first, step)));
    TRY(auto answered, answer_tensors(held, tensors.views, outputs, measure));
    out.push_back(std::move(answered));
  }
  return out;
}

Result<std::string> Predictor::predict_tensors(const Held& held, const PredictRequest& request, Problem* problem) {
  auto measured = measure(held, request.turn);
  const auto& manifest = held.model().manifest();
  if (manifest.inputs.empty()) {
    return fail(Code::invalid_argument, "serve.not_by_row",
                std::format("'{}' takes no rows but tensors: POST /v2/models/{}/infer", manifest.name, manifest.name));
  }
  const auto& parser = held.model().parser();
  TRY(const auto rows, request.format == RowFormat::csv ? parser.parse_csv(request.body, {}, problem)
                                                        : parser.parse_json(request.body, {}, problem));
  const auto count = rows.rows.size();
  TRY(const auto answers, answer_tensor_rows(held, rows, measured));
  std::string out = rows.single ? "{" : "{\"predictions\":[";
  for (std::size_t i = 0; i < count; ++i) {
    if (!rows.single) out += i ? ",{" : "{";
    out += "\"prediction\":";
    TRY_VOID(append_tensor_row(out, manifest.tensors, answers, i, count));
    out += ",\"id\":\"" + (i < answers.size() ? answers[i].id : ids_.make()).text() + '"';
    if (!rows.single) out += '}';
  }
  if (!rows.single) out += ']';
  out += ",\"model\":";
  append_json_text(out, held.name_and_version());
  out += ",\"took_ms\":";
  const auto took = std::chrono::duration<double, std::milli>(env_.clock.steady() - measured.came()).count();
  append_json_number(out, std::round(took * 1000) / 1000);
  measured.succeeded();
  return out + '}';
}

}  // namespace millrace::serve
