#include "loop/import.hpp"

#include <algorithm>
#include <format>

namespace millrace::loop {

namespace {

Result<ModelSpec> no(const char* reason, std::string message) {
  return fail(Code::failed_precondition, reason, std::move(message));
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

Result<ModelSpec> adopt(const model::Manifest& manifest, ModelSpec spec, const std::vector<data::ColumnField>& schema,
                        const data::ColumnNames& sensitive) {
  if (model::task_name(manifest.task) != spec.task) {
    return no("loop.other_task",
              std::format("the archive's task is {}, the project's is {}", model::task_name(manifest.task), spec.task));
  }
  if (manifest.target != spec.target) {
    return no("loop.other_target",
              std::format("the archive predicts '{}', the project '{}'", manifest.target, spec.target));
  }
  std::vector<std::string> unknown, missing, hidden;
  for (const auto& name : spec.classes) {
    if (std::ranges::find(manifest.classes, name) == manifest.classes.end()) unknown.push_back(name);
  }
  if (!unknown.empty()) {
    return no("loop.other_classes", std::format("the data has values of '{}' that the archive does not know: {}",
                                                spec.target, joined(unknown)));
  }
  if (!manifest.positive.empty() && manifest.positive != spec.positive) {
    return no("loop.other_classes", std::format("the archive's positive class is '{}', the project's is '{}'",
                                                manifest.positive, spec.positive));
  }
  spec.inputs.clear();
  for (const auto& input : manifest.inputs) {
    if (std::ranges::find(schema, input.name, &data::ColumnField::name) == schema.end()) missing.push_back(input.name);
    if (sensitive.contains(input.name)) hidden.push_back(input.name);
    spec.inputs.push_back({input.name, std::string(model::encoding_name(input.encoding))});
  }
  if (!missing.empty()) {
    return no("loop.missing_inputs",
              std::format("the archive needs columns that the data does not have: {}", joined(missing)));
  }
  if (!hidden.empty()) {
    return no("loop.sensitive_input",
              std::format("the archive uses columns that [check] calls sensitive: {}; such are never inputs",
                          joined(hidden)));
  }
  return spec;
}

}  // namespace millrace::loop
