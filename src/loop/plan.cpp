#include "loop/plan.hpp"

#include <algorithm>
#include <format>

#include "base/digest.hpp"
#include "base/json.hpp"
#include "eval/gates.hpp"

namespace millrace::loop {

namespace {

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Result<ModelSpec> plan_model(const Project& project, const data::Inference& inference) {
  const auto& config = project.model;
  if (inference.target != config.target.column) {
    return fail(Code::failed_precondition, "loop.other_target",
                std::format("the newest dataset version was read for target '{}', the project now says '{}'; read it "
                            "again with: millrace ingest {}",
                            inference.target, config.target.column, config.target.source));
  }
  ModelSpec model;
  model.name = project.name;
  model.task = config.target.type == "auto" ? inference.task : config.target.type;
  model.target = config.target.column;
  for (const auto& one : inference.classes) model.classes.push_back(one.value);
  model.positive = config.positive.empty() ? inference.positive : config.positive;
  const auto* source = project.source(config.target.source);
  model.key = source && !source->key.empty() ? source->key : "";
  const auto hidden = sensitive_columns(project, config.target.source);
  for (const auto& column : inference.columns) {
    if (column.name == model.target) continue;
    bool named = has(config.inputs, column.name);
    bool sensitive = hidden.contains(column.name);
    bool fit = config.inputs.empty() ? column.role == "input" : named;
    if (fit && !sensitive && !has(config.exclude, column.name) && (column.name != model.key || named)) {
      model.inputs.push_back({column.name, column.encoding});
    } else {
      model.ignored.push_back(column.name);
    }
  }
  for (const auto& name : config.inputs) {
    if (std::none_of(inference.columns.begin(), inference.columns.end(),
                     [&](const auto& c) { return c.name == name; })) {
      return fail(
          Code::not_found, "loop.no_column",
          std::format(
              "[model] inputs names '{}', which the data does not have; see its columns with: millrace data show {}",
              name, config.target.source));
    }
  }
  if (model.inputs.empty()) {
    return fail(Code::failed_precondition, "loop.no_inputs",
                std::format("no column is left to learn '{}' from (ids, constants and long texts are left out); name "
                            "some in [model] inputs",
                            model.target));
  }
  model.ignored.push_back(model.target);
  std::erase(model.ignored, model.key);
  return model;
}

std::vector<std::string> learned_columns(const Project& project, std::string_view dataset,
                                         const data::Inference& inference) {
  std::vector<std::string> out;
  if (project.model.target.source != dataset) return out;
  const auto hidden = sensitive_columns(project, dataset);
  for (const auto& column : inference.columns) {
    const bool used = project.model.inputs.empty() ? column.role == "input" : has(project.model.inputs, column.name);
    if (used && !hidden.contains(column.name) && !has(project.model.exclude, column.name)) out.push_back(column.name);
  }
  return out;
}

data::ColumnNames sensitive_columns(const Project& project, std::string_view dataset) {
  data::ColumnNames out;
  const auto* check = project.check(dataset);
  if (!check) return out;
  for (const auto& column : check->columns) {
    if (!column.sensitive.empty()) out.insert(column.column);
  }
  return out;
}

SplitSpec plan_split(const Project& project, const ModelSpec& model) {
  return {model.key, model.target, project.model.split.test, project.model.split.validation};
}

std::map<std::string, std::string> trainer_parameters(const TrainerConfig& config) {
  if (config.name == "command") return config.parameters;
  auto number = [](double value) { return std::format("{}", value); };
  std::map<std::string, std::string> parameters = {{"learning_rate", number(config.learning_rate)},
                                                   {"depth", std::to_string(config.depth)},
                                                   {"rounds", std::to_string(config.rounds)},
                                                   {"early_stopping_rounds", std::to_string(config.early_stopping)},
                                                   {"subsample", number(config.subsample)},
                                                   {"colsample", number(config.colsample)},
                                                   {"min_child_weight", number(config.min_child_weight)},
                                                   {"lambda", number(config.lambda)},
                                                   {"alpha", number(config.alpha)},
                                                   {"colsample_level", number(config.colsample_level)},
                                                   {"colsample_node", number(config.colsample_node)},
                                                   {"gamma", number(config.gamma)},
                                                   {"max_leaves", std::to_string(config.max_leaves)},
                                                   {"grow_policy", config.grow_policy},
                                                   {"max_bin", std::to_string(config.max_bin)},
                                                   {"max_delta_step", number(config.max_delta_step)}};
  // Only what was asked for: the trainer refuses a weight where there are not two classes.
  if (config.positive_weight != 1.0)
    parameters["positive_weight"] = config.positive_weight ? number(*config.positive_weight) : "balanced";
  return parameters;
}

std::vector<GateText> plan_gates(const Project& project, const std::string& task) {
  std::vector<GateText> gates;
  for (const auto& gate : project.gates) gates.push_back({gate.expression, gate.bound.text});
  if (!gates.empty()) return gates;
  for (auto type : {eval::TaskType::binary, eval::TaskType::multiclass, eval::TaskType::regression}) {
    if (eval::task_name(type) != task) continue;
    for (const auto& line : eval::default_gates(type)) gates.push_back({line.expression, line.required});
  }
  return gates;
}

int plan_threads(const Project& project, int cores) {
  if (project.model.trainer.threads > 0) return project.model.trainer.threads;
  if (project.retrain.resources.cpu >= 1) return static_cast<int>(project.retrain.resources.cpu);
  return std::max(1, cores);
}

std::string render_plan(const RunPlan& plan) { return json::render(plan); }
Result<RunPlan> parse_plan(std::string_view text) { return json::parse<RunPlan>(text, "a run's plan"); }

std::vector<std::string> code_digests(const RunPlan& plan) {
  std::vector<std::string> out = {plan.train.project_digest, plan.code.project_file, plan.code.git_diff};
  for (const auto& file : plan.train.command_files) out.push_back(file.digest);
  std::erase(out, "");
  return out;
}

std::string data_digest(const RowSet& rows) {
  Sha256 hash;
  for (const auto* parts : {&rows.parts, &rows.feedback}) {
    for (const auto& part : *parts) hash.update(part.digest);
    hash.update("\n");
  }
  return hash.finish().hex();
}

}  // namespace millrace::loop
