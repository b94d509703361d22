#include <algorithm>
#include <map>

#include "base/json.hpp"
#include "model/onnx_export_internal.hpp"
#include "model/runtime_internal.hpp"

namespace millrace::model {

namespace {

constexpr std::int64_t kOnnxPerRow[] = {-1};
constexpr std::string_view kOnnxOutputs[] = {"prediction", "probability", "probabilities"};

// No input begins with it, and no output.
std::string free_onnx_prefix(const Manifest& manifest) {
  std::string prefix = "_";
  while (std::ranges::any_of(manifest.inputs, [&](const Input& input) { return input.name.starts_with(prefix); }))
    prefix += "_";
  return prefix;
}

std::string put_per_row(const std::string& column, OnnxGraph& graph, std::string_view name) {
  return graph.node("Reshape", {column, graph.constant<std::int64_t>({1}, {-1})}, {}, "", std::string(name));
}

void answer_regression(const std::string& margins, Forest::Transform transform, OnnxGraph& graph) {
  const auto value = transform == Forest::Transform::exp       ? graph.node("Exp", {margins})
                     : transform == Forest::Transform::sigmoid ? graph.node("Sigmoid", {margins})
                                                               : margins;
  put_per_row(graph.cast(value, OnnxType::fp64), graph, "prediction");
  graph.output(onnx_value("prediction", OnnxType::fp64, kOnnxPerRow));
}

void declare_class_outputs(const Manifest& manifest, OnnxGraph& graph) {
  const std::int64_t all[] = {-1, static_cast<std::int64_t>(manifest.classes.size())};
  graph.output(onnx_value("prediction", OnnxType::text, kOnnxPerRow, "the decision"));
  graph.output(onnx_value("probability", OnnxType::fp64, kOnnxPerRow, "of the decision"));
  graph.output(
      onnx_value("probabilities", OnnxType::fp64, all, "of each class, in the order of the metadata's `classes`"));
}

void answer_binary(const Manifest& manifest, const std::string& margins, OnnxGraph& graph) {
  const auto yes = graph.node("Sigmoid", {graph.cast(margins, OnnxType::fp64)});
  const auto no = graph.node("Sub", {graph.real(1), yes});
  const auto positive = graph.node("Not", {graph.node("Less", {yes, graph.real(manifest.threshold)})});
  const auto label = graph.node("Where", {positive, graph.constant<std::string>({}, {manifest.classes[1]}),
                                          graph.constant<std::string>({}, {manifest.classes[0]})});
  put_per_row(label, graph, "prediction");
  put_per_row(graph.node("Where", {positive, yes, no}), graph, "probability");
  graph.node("Concat", {no, yes}, {onnx_attribute("axis", std::int64_t{1})}, "", "probabilities");
  declare_class_outputs(manifest, graph);
}

void answer_multiclass(const Manifest& manifest, const std::string& margins, OnnxGraph& graph) {
  const auto count = static_cast<std::int64_t>(manifest.classes.size());
  const OnnxGraph::Attributes last = {onnx_attribute("axis", std::int64_t{1})};
  graph.node("Softmax", {graph.cast(margins, OnnxType::fp64)}, last, "", "probabilities");
  const auto first = graph.node("ArgMax", {margins}, {last[0], onnx_attribute("keepdims", std::int64_t{0})});
  graph.node("Gather", {graph.constant<std::string>({count}, manifest.classes), first}, {}, "", "prediction");
  const std::int64_t axes[] = {1};
  graph.node("ReduceMax", {"probabilities"},
             {onnx_attribute("axes", axes), onnx_attribute("keepdims", std::int64_t{0})}, "", "probability");
  declare_class_outputs(manifest, graph);
}

// What the engine gives, and what becomes of a regression's margin.
struct OnnxMargins {
  std::string name;
  Forest::Transform transform = Forest::Transform::none;
};

Result<OnnxMargins> margins_of_trees(const Manifest& manifest, std::string_view ubj, const std::string& features,
                                     OnnxGraph& graph) {
  const auto forest = read_forest(ubj);
  if (!forest) return no_onnx_form("its trees are of a kind that the export does not know: " + forest.error().message);
  if (static_cast<int>(forest->features) != feature_count(manifest.inputs) ||
      static_cast<int>(forest->base.size()) != output_count(manifest))
    return no_onnx_form("its engine's file and its manifest disagree on the number of features or outputs");
  const auto transform = value_transform(forest->objective);
  if (manifest.task == TaskType::regression && !transform)
    return no_onnx_form("its objective '" + forest->objective + "' is one that the export does not know");
  TRY(auto name, onnx_margins(*forest, features, graph));
  return OnnxMargins{std::move(name), transform.value_or(Forest::Transform::none)};
}

Result<OnnxMargins> margins_of_constant(const Manifest& manifest, std::string_view file, OnnxGraph& graph) {
  TRY(const auto runtime, open_constant(manifest, file));
  std::vector<float> values;
  TRY_VOID(runtime->predict({}, 1, values));
  const auto outputs = graph.constant<float>({1, output_count(manifest)}, values);
  return OnnxMargins{graph.node("Expand", {outputs, graph.node("Shape", {manifest.inputs[0].name})})};
}

Result<OnnxMargins> margins_of(const Manifest& manifest, std::string_view engine_file, const std::string& features,
                               OnnxGraph& graph) {
  if (manifest.engine.name == "xgboost") return margins_of_trees(manifest, engine_file, features, graph);
  return margins_of_constant(manifest, engine_file, graph);
}

std::vector<std::pair<std::string, std::string>> onnx_metadata(const Manifest& manifest) {
  std::vector<std::pair<std::string, std::string>> out = {
      {"model", manifest.name}, {"task", std::string(task_name(manifest.task))}, {"target", manifest.target}};
  if (!manifest.classes.empty()) out.emplace_back("classes", json::render(manifest.classes));
  std::map<std::string, std::string> types;
  for (const auto& input : manifest.inputs) types.emplace(input.name, table::type_name(input.type));
  out.emplace_back("inputs", json::render(types));
  if (manifest.task == TaskType::binary) out.emplace_back("threshold", json::render(manifest.threshold));
  return out;
}

}  // namespace

std::unexpected<Error> no_onnx_form(std::string why) {
  return fail(Code::failed_precondition, "model.no_onnx_form",
              "no ONNX file can say what this model does: " + std::move(why) +
                  "; export the archive, which has the engine's file and manifest.json: --format archive");
}

Result<std::string> onnx_model(const Manifest& manifest, std::string_view engine_file) {
  if (manifest.engine.name != "xgboost" && manifest.engine.name != "constant")
    return no_onnx_form("its engine is " + manifest.engine.name +
                        ", and the export folds in trees of XGBoost and baselines alone" +
                        (manifest.engine.name == "onnx"
                             ? " (the archive's " + manifest.engine.file + " is an ONNX file, over the features)"
                             : ""));
  for (const auto name : kOnnxOutputs) {
    if (std::ranges::find(manifest.inputs, name, &Input::name) != manifest.inputs.end())
      return no_onnx_form("its input '" + std::string(name) + "' has the name of an output");
  }
  OnnxGraph graph(free_onnx_prefix(manifest));
  TRY(const auto features, onnx_features(manifest.inputs, graph));
  TRY(const auto margins, margins_of(manifest, engine_file, features, graph));
  switch (manifest.task) {
    case TaskType::regression:
      answer_regression(margins.name, margins.transform, graph);
      break;
    case TaskType::binary:
      answer_binary(manifest, margins.name, graph);
      break;
    case TaskType::multiclass:
      answer_multiclass(manifest, margins.name, graph);
      break;
  }
  return graph.model(manifest.name, onnx_metadata(manifest));
}

}  // namespace millrace::model
