#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/nearest.hpp"
#include "train/prepare_internal.hpp"

namespace millrace::train {
namespace {

std::unexpected<Error> unknown_column(const std::string& what, const std::string& name, const table::Schema& schema) {
  std::vector<std::string> names;
  for (const auto& field : schema.fields) names.push_back(field.name);
  const std::string near = nearest(name, names);
  return fail(
      Code::invalid_argument, "train.unknown_column",
      what + " '" + name + "' is no column of the data" + (near.empty() ? "" : "; did you mean '" + near + "'?"));
}

std::string class_text(const table::Column& column, std::int64_t row) {
  if (column.type() == table::Type::text) return std::string(column.text_at(row));
  return table::to_text(column.value_at(row));
}

bool is_missing(const table::Column& column, std::int64_t row) {
  return column.is_null(row) || (column.type() == table::Type::float64 && std::isnan(column.float64_at(row)));
}

Result<std::vector<model::InputSpec>> input_specs(const TrainInput& input, const table::Schema& schema) {
  if (input.inputs.empty()) {
    return fail(Code::invalid_argument, "train.no_inputs",
                "no column is left to learn from; name some in [model] inputs");
  }
  std::vector<model::InputSpec> specs;
  for (const auto& choice : input.inputs) {
    const int index = schema.index_of(choice.name);
    if (index < 0) return unknown_column("the input", choice.name, schema);
    if (choice.name == input.target) {
      return fail(Code::invalid_argument, "train.target_is_input",
                  "'" + choice.name + "' is the target and an input too");
    }
    model::InputSpec spec{
        .name = choice.name, .type = schema.fields[static_cast<std::size_t>(index)].type, .fill = choice.fill};
    if (!choice.encoding.empty()) {
      TRY(spec.encoding, model::parse_encoding(choice.encoding));
    }
    if (choice.unseen != "other" && choice.unseen != "as_missing") {
      return fail(Code::invalid_argument, "train.bad_input",
                  "input '" + choice.name + "': unseen is 'other' or 'as_missing'");
    }
    spec.unseen = choice.unseen == "other" ? model::UnseenRule::other : model::UnseenRule::as_missing;
    specs.push_back(std::move(spec));
  }
  return specs;
}

// Numbers as numbers, the rest as text.
void sort_classes(std::vector<std::string>& classes, table::Type type) {
  if (type != table::Type::int64 && type != table::Type::float64) {
    std::ranges::sort(classes);
    return;
  }
  std::ranges::sort(classes, {}, [](const std::string& text) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return std::pair(value, text);
  });
}

// Which classes there are, in order, and the positive one last of two.
Result<void> settle_classes(const TrainInput& input, const std::map<std::string, std::int64_t>& found, Prepared& p) {
  p.classes = input.classes;
  if (p.classes.empty()) {
    for (const auto& [text, rows] : found) p.classes.push_back(text);
    sort_classes(p.classes, p.target_type);
  }
  std::size_t occurring = 0;
  for (const auto& [text, rows] : found) {
    if (std::ranges::find(p.classes, text) == p.classes.end()) {
      return fail(Code::invalid_argument, "train.unknown_class",
                  "the target holds '" + text + "', which is none of the classes");
    }
    occurring += rows > 0;
  }
  if (occurring < 2) {
    return fail(Code::failed_precondition, "train.one_class",
                "all " + std::to_string(p.rows) + " rows to learn from have the same '" + input.target +
                    "': there is nothing to tell apart; label rows of another class, or choose another target");
  }
  if (p.task == model::TaskType::binary) {
    if (p.classes.size() != 2) {
      return fail(Code::failed_precondition, "train.too_many_classes",
                  "a binary target has 2 classes, '" + input.target + "' has " + std::to_string(p.classes.size()) +
                      "; set the task to multiclass");
    }
    p.positive = input.positive.empty() ? p.classes[1] : input.positive;
    if (p.positive == p.classes[0]) std::swap(p.classes[0], p.classes[1]);
    if (p.positive != p.classes[1]) {
      return fail(Code::invalid_argument, "train.unknown_class",
                  "the positive class '" + p.positive + "' does not occur in '" + input.target + "'");
    }
  }
  for (const auto& text : p.classes) {
    const auto rows = found.find(text);
    p.class_rows.push_back(rows == found.end() ? 0 : rows->second);
  }
  return {};
}

}  // namespace

Target::Target(model::TaskType task, table::Type type, const std::vector<std::string>& classes)
    : task_(task), type_(type) {
  for (const auto& text : classes) codes_.emplace(text, static_cast<int>(codes_.size()));
}

Result<std::optional<float>> Target::label(const table::Column& column, std::int64_t row) const {
  if (is_missing(column, row)) return std::optional<float>{};
  if (task_ == model::TaskType::regression) {
    return std::optional(type_ == table::Type::int64 ? model::to_feature(column.int64_at(row))
                                                     : model::to_feature(column.float64_at(row)));
  }
  const auto code = codes_.find(class_text(column, row));
  if (code == codes_.end()) {
    return fail(Code::invalid_argument, "train.unknown_class",
                "the target holds '" + class_text(column, row) + "', which is none of the classes");
  }
  return std::optional(static_cast<float>(code->second));
}

Result<Prepared> prepare(const TrainInput& input, TrainingData& data, Task& task) {
  Prepared p;
  TRY(p.task, model::parse_task(input.task));
  const table::Schema& schema = data.schema();
  const int target = schema.index_of(input.target);
  if (target < 0) return unknown_column("the target", input.target, schema);
  p.target_type = schema.fields[static_cast<std::size_t>(target)].type;
  const bool regression = p.task == model::TaskType::regression;
  if (regression && p.target_type != table::Type::int64 && p.target_type != table::Type::float64) {
    return fail(Code::invalid_argument, "train.bad_target",
                "a regression needs a target of numbers; '" + input.target + "' is " +
                    std::string(table::type_name(p.target_type)));
  }
  TRY(auto specs, input_specs(input, schema));
  TRY(auto fitter, model::EncoderFitter::open(std::move(specs)));

  std::map<std::string, std::int64_t> found;  // class -> rows to learn from
  TRY_VOID(data.rewind());
  std::vector<bool> use;
  while (true) {
    TRY_VOID(check_cancelled(task));
    TRY(auto part, data.next());
    if (!part) break;
    const table::Column column = part->rows.column(target);
    use.assign(static_cast<std::size_t>(part->rows.rows()), false);
    for (std::int64_t row = 0; row < part->rows.rows(); ++row) {
      if (is_missing(column, row)) {
        ++p.unlabelled_rows;
        continue;
      }
      const bool validation = part->validation[static_cast<std::size_t>(row)];
      ++(validation ? p.validation_rows : p.rows);
      use[static_cast<std::size_t>(row)] = !validation;
      if (!regression) {
        found[class_text(column, row)] += validation ? 0 : 1;
      } else if (!validation) {
        const double value =
            p.target_type == table::Type::int64 ? static_cast<double>(column.int64_at(row)) : column.float64_at(row);
        if (!std::isfinite(value)) {
          return fail(Code::invalid_argument, "train.bad_target",
                      "the target '" + input.target + "' holds an infinite number");
        }
        p.target_mean += (value - p.target_mean) / static_cast<double>(p.rows);
      }
    }
    TRY_VOID(fitter.add(part->rows, use));
    report(task, {.phase = "read", .step = p.rows + p.validation_rows + p.unlabelled_rows});
  }
  if (p.rows == 0) {
    return fail(Code::failed_precondition, "train.no_rows",
                "no row to learn from has a value in '" + input.target + "' (" + std::to_string(p.unlabelled_rows) +
                    " rows have none)");
  }
  if (!regression) TRY_VOID(settle_classes(input, found, p));
  p.fitted = fitter.finish();
  p.target = Target(p.task, p.target_type, p.classes);
  return p;
}

model::Manifest start_manifest(const TrainInput& input, const Prepared& p, std::string trainer,
                               std::map<std::string, std::string> parameters) {
  model::Manifest m{.name = input.name,
                    .task = p.task,
                    .target = input.target,
                    .target_type = p.target_type,
                    .classes = p.classes,
                    .positive = p.positive,
                    .threshold = input.threshold,
                    .inputs = p.fitted.inputs,
                    .key = input.key,
                    .ignored = input.ignored};
  m.provenance = {.trainer = std::move(trainer),
                  .parameters = std::move(parameters),
                  .seed = input.seed,
                  .nthread = input.nthread,
                  .data = input.data_digest,
                  .project = input.project_digest,
                  .code = input.code_digest,
                  .created = input.created,
                  .quick = input.quick};
  m.facts.rows = p.rows;
  m.facts.validation_rows = p.validation_rows;
  m.facts.unlabelled_rows = p.unlabelled_rows;
  m.facts.class_rows = p.class_rows;
  return m;
}

Result<void> check_cancelled(const Task& task) {
  if (!task.cancelled || !task.cancelled()) return {};
  return fail(Code::cancelled, "train.cancelled", "the training was cancelled");
}

void report(const Task& task, const TaskProgress& progress) {
  if (task.progress) task.progress(progress);
}

}  // namespace millrace::train
