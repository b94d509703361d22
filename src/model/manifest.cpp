#include "model/manifest.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.hpp"

namespace millrace::model {
namespace stored {

// manifest.json. Separate from Manifest so that the file's words do not follow the code's enumerators.
struct StoredInput {
  std::string name;
  std::string type;
  std::string encoding;
  std::vector<std::string> categories;
  std::string unseen;
  bool required = false;
  std::optional<double> fill;
};

struct StoredManifest {
  int format = 0;
  std::string name;
  std::string task;
  std::string target;
  std::string target_type;
  std::vector<std::string> classes;
  std::string positive;
  double threshold = 0.5;
  std::vector<StoredInput> inputs;
  std::string key;
  std::vector<std::string> ignored;
  EngineInfo engine;
  Provenance provenance;
  TrainingFacts facts;
  std::vector<GoldenRow> golden;
  double golden_tolerance = 1e-4;
};

struct FormatOnly {
  int format = 0;
};

}  // namespace stored

using namespace stored;

namespace {

constexpr std::string_view kOther = "other";
constexpr std::string_view kAsMissing = "as_missing";

std::unexpected<Error> bad(std::string message) {
  return fail(Code::invalid_argument, "model.bad_artifact", "the model's manifest is not valid: " + std::move(message));
}

bool fits(Encoding encoding, table::Type type) {
  using table::Type;
  switch (encoding) {
    case Encoding::number:
      return type == Type::int64 || type == Type::float64;
    case Encoding::boolean:
      return type == Type::boolean;
    case Encoding::category:
      return type == Type::text || type == Type::int64 || type == Type::boolean;
    case Encoding::date_parts:
      return type == Type::date || type == Type::timestamp;
  }
  return false;
}

Result<void> check_input(const Input& input) {
  if (input.name.empty()) return bad("an input has no name");
  if (!fits(input.encoding, input.type)) {
    return bad("input '" + input.name + "' of type " + std::string(table::type_name(input.type)) +
               " can't be encoded as " + std::string(encoding_name(input.encoding)));
  }
  if (input.encoding != Encoding::category && !input.categories.empty()) {
    return bad("input '" + input.name + "' has categories but is encoded as " +
               std::string(encoding_name(input.encoding)));
  }
  if (std::ranges::adjacent_find(input.categories, std::greater_equal<>()) != input.categories.end()) {
    return bad("the categories of input '" + input.name + "' are not sorted or hold doubles");
  }
  if (input.fill && !std::isfinite(*input.fill))
    return bad("input '" + input.name + "' is filled with no finite number");
  return {};
}

Result<void> check_classes(const Manifest& m) {
  switch (m.task) {
    case TaskType::regression:
      if (!m.classes.empty()) return bad("a regression has no classes");
      break;
    case TaskType::binary:
      if (m.classes.size() != 2)
        return bad("a binary model has 2 classes, this one " + std::to_string(m.classes.size()));
      if (m.positive != m.classes[1]) return bad("the positive class must be the second one");
      if (!(m.threshold >= 0 && m.threshold <= 1)) return bad("the threshold is not within 0 and 1");
      break;
    case TaskType::multiclass:
      if (m.classes.size() < 2) return bad("a multiclass model has at least 2 classes");
      break;
  }
  std::set<std::string_view> seen(m.classes.begin(), m.classes.end());
  if (seen.size() != m.classes.size()) return bad("a class is named twice");
  return {};
}

}  // namespace

std::string_view task_name(TaskType task) {
  switch (task) {
    case TaskType::binary:
      return "binary";
    case TaskType::multiclass:
      return "multiclass";
    case TaskType::regression:
      return "regression";
  }
  return "?";
}

Result<TaskType> parse_task(std::string_view name) {
  for (auto task : {TaskType::binary, TaskType::multiclass, TaskType::regression}) {
    if (task_name(task) == name) return task;
  }
  return fail(Code::invalid_argument, "model.bad_task",
              "no task '" + std::string(name) + "'; tasks: binary, multiclass, regression");
}

std::string_view encoding_name(Encoding encoding) {
  switch (encoding) {
    case Encoding::number:
      return "number";
    case Encoding::boolean:
      return "boolean";
    case Encoding::category:
      return "category";
    case Encoding::date_parts:
      return "date_parts";
  }
  return "?";
}

Result<Encoding> parse_encoding(std::string_view name) {
  for (auto encoding : {Encoding::number, Encoding::boolean, Encoding::category, Encoding::date_parts}) {
    if (encoding_name(encoding) == name) return encoding;
  }
  return fail(Code::invalid_argument, "model.bad_encoding",
              "no encoding '" + std::string(name) + "'; encodings: number, boolean, category, date_parts");
}

int feature_count(const Input& input) {
  if (input.encoding != Encoding::date_parts) return 1;
  return input.type == table::Type::timestamp ? 5 : 4;
}

int feature_count(const std::vector<Input>& inputs) {
  int count = 0;
  for (const auto& input : inputs) count += feature_count(input);
  return count;
}

std::vector<std::string> feature_names(const std::vector<Input>& inputs) {
  static constexpr std::string_view kParts[] = {".year", ".month", ".day", ".weekday", ".hour"};
  std::vector<std::string> names;
  for (const auto& input : inputs) {
    if (input.encoding != Encoding::date_parts) {
      names.push_back(input.name);
      continue;
    }
    for (int i = 0; i < feature_count(input); ++i) names.push_back(input.name + std::string(kParts[i]));
  }
  return names;
}

table::Schema input_schema(const Manifest& manifest) {
  table::Schema schema;
  for (const auto& input : manifest.inputs) schema.fields.push_back({input.name, input.type});
  return schema;
}

int output_count(const Manifest& manifest) {
  if (manifest.bare_outputs > 0) return manifest.bare_outputs;
  return manifest.task == TaskType::multiclass ? static_cast<int>(manifest.classes.size()) : 1;
}

std::string render_manifest(const Manifest& m) {
  StoredManifest stored{.format = m.format,
                        .name = m.name,
                        .task = std::string(task_name(m.task)),
                        .target = m.target,
                        .target_type = std::string(table::type_name(m.target_type)),
                        .classes = m.classes,
                        .positive = m.positive,
                        .threshold = m.threshold,
                        .key = m.key,
                        .ignored = m.ignored,
                        .engine = m.engine,
                        .provenance = m.provenance,
                        .facts = m.facts,
                        .golden = m.golden,
                        .golden_tolerance = m.golden_tolerance};
  for (const auto& input : m.inputs) {
    stored.inputs.push_back({input.name, std::string(table::type_name(input.type)),
                             std::string(encoding_name(input.encoding)), input.categories,
                             std::string(input.unseen == UnseenRule::other ? kOther : kAsMissing), input.required,
                             input.fill});
  }
  return json::render(stored);
}

Result<Manifest> parse_manifest(std::string_view text) {
  // The format first: a newer file may hold keys that this build can't know.
  auto format = json::parse_lenient<FormatOnly>(text, "manifest.json");
  if (!format) return bad(format.error().message);
  if (format->format > Manifest::kFormat) {
    return fail(Code::failed_precondition, "model.newer_format",
                "the model was written by a newer Millrace (format " + std::to_string(format->format) +
                    "; this one reads up to " + std::to_string(Manifest::kFormat) + "): update this one");
  }
  if (format->format < 1) return bad("it has no format number");
  auto read = json::parse<StoredManifest>(text, "manifest.json");
  if (!read) return bad(read.error().message);
  auto& s = *read;
  Manifest m{.format = s.format,
             .name = std::move(s.name),
             .target = std::move(s.target),
             .classes = std::move(s.classes),
             .positive = std::move(s.positive),
             .threshold = s.threshold,
             .key = std::move(s.key),
             .ignored = std::move(s.ignored),
             .engine = std::move(s.engine),
             .provenance = std::move(s.provenance),
             .facts = std::move(s.facts),
             .golden = std::move(s.golden),
             .golden_tolerance = s.golden_tolerance};
  auto task = parse_task(s.task);
  if (!task) return bad(task.error().message);
  m.task = *task;
  auto target_type = table::parse_type(s.target_type);
  if (!target_type) return bad(target_type.error().message);
  m.target_type = *target_type;
  for (auto& input : s.inputs) {
    auto type = table::parse_type(input.type);
    if (!type) return bad(type.error().message);
    auto encoding = parse_encoding(input.encoding);
    if (!encoding) return bad(encoding.error().message);
    if (input.unseen != kOther && input.unseen != kAsMissing) return bad("no unseen rule '" + input.unseen + "'");
    m.inputs.push_back({std::move(input.name), *type, *encoding, std::move(input.categories),
                        input.unseen == kOther ? UnseenRule::other : UnseenRule::as_missing, input.required,
                        input.fill});
  }
  TRY_VOID(check_manifest(m));
  return m;
}

Result<void> check_manifest(const Manifest& m) {
  if (m.inputs.empty() && m.engine.name != "constant") return bad("it has no inputs");
  std::set<std::string_view> names;
  for (const auto& input : m.inputs) {
    TRY_VOID(check_input(input));
    if (!names.insert(input.name).second) return bad("the input '" + input.name + "' is named twice");
  }
  for (const auto& name : m.ignored) {
    if (names.contains(name)) return bad("'" + name + "' is an input and ignored too");
  }
  TRY_VOID(check_classes(m));
  if (m.engine.name.empty() || m.engine.file.empty()) return bad("it names no engine or no engine file");
  if (!(m.golden_tolerance >= 0)) return bad("the golden tolerance is no number");
  for (const auto& row : m.golden) {
    if (row.inputs.size() != m.inputs.size() || row.outputs.size() != static_cast<std::size_t>(output_count(m))) {
      return bad("a golden row has the wrong width");
    }
  }
  return {};
}

}  // namespace millrace::model
