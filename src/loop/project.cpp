#include "loop/project.hpp"

#include <algorithm>
#include <format>

#include "loop/project_fields_internal.hpp"
#include "loop/project_schema_internal.hpp"

namespace millrace::loop {
namespace {

using Kind = Tree::Kind;

void sources(Fields file, std::vector<SourceConfig>& all) {
  Fields section = file.table("source");
  const auto one = [](Fields fields, SourceConfig& source) {
    fields.text("uri", source.uri);
    fields.text("key", source.key);
    fields.flag("header", source.header);
    fields.texts("names", source.names);
    fields.text("delimiter", source.delimiter);
    fields.text("encoding", source.encoding);
    fields.text("format", source.format);
  };
  if (section.writing()) {
    for (auto& source : all) one(section.table(source.name), source);
  } else if (const Tree* tree = file.find("source")) {
    for (const auto& member : tree->members())
      one(section.table(member.key), all.emplace_back(SourceConfig{.name = member.key}));
  }
}

void checks(Fields file, std::vector<CheckConfig>& all) {
  if (file.writing() && all.empty()) return;
  Fields section = file.table("check");
  const auto column_of = [](Fields fields, ColumnCheck& column) {
    fields.text("type", column.type);
    fields.number("min", column.min);
    fields.number("max", column.max);
    fields.comparison("nulls", column.nulls);
    fields.texts("values", column.values);
    fields.flag("unique", column.unique);
    fields.text("new_values", column.new_values);
    fields.text("sensitive", column.sensitive);
  };
  if (section.writing()) {
    for (auto& check : all) {
      Fields fields = section.table(check.source);
      fields.comparison("rows", check.rows);
      for (auto& column : check.columns) column_of(fields.table(column.column, true), column);
    }
  } else if (const Tree* tree = file.find("check")) {
    for (const auto& member : tree->members()) {
      CheckConfig& check = all.emplace_back(CheckConfig{.source = member.key});
      Fields fields = section.table(member.key);
      fields.comparison("rows", check.rows);
      for (const auto& column : member.value.members())
        if (column.value.is(Kind::table))
          column_of(fields.table(column.key), check.columns.emplace_back(ColumnCheck{.column = column.key}));
    }
  }
}

void target(Fields model, TargetConfig& target, std::string& positive, LabelsConfig& labels) {
  std::string column = target.source.empty() ? "" : target.source + "." + target.column;
  if (const Tree* plain = model.find("target"); plain && plain->is(Kind::text)) {
    column = plain->as_text();
  } else {
    Fields fields = model.table("target", true);
    if (!model.writing()) fields.text("expr", column);
    fields.text("column", column);
    fields.text("type", target.type);
    if (!model.writing()) {
      fields.text("positive", positive);
      fields.duration("mature", labels.mature);
    }
  }
  const auto [source, name] = schema::split_target(column);
  target.source = std::string(source);
  target.column = std::string(name);
}

// What stands there besides the command's own keys. Each value is kept as JSON, the form in which the command gets it.
void command_parameters(Fields fields, const Tree* table, std::map<std::string, std::string>& parameters) {
  if (!fields.writing()) {
    for (const auto& member : table->members())
      if (!schema::is_command_key(member.key) && !member.value.is(Kind::null))
        parameters[member.key] = render_json(member.value);
    return;
  }
  for (const auto& [name, value] : parameters)
    if (auto tree = parse_json_tree("{\"x\":" + value + "}", "a parameter")) fields.put(name, *tree->find("x"));
}

void trainer(Fields model, TrainerConfig& trainer) {
  if (const Tree* plain = model.find("trainer"); plain && plain->is(Kind::text)) trainer.name = plain->as_text();
  Fields fields = model.table("trainer");
  fields.text("name", trainer.name);
  fields.text("command", trainer.command);
  fields.texts("files", trainer.files);
  fields.whole("seed", trainer.seed);
  fields.whole("threads", trainer.threads);
  if (trainer.name == "command") return command_parameters(fields, model.find("trainer"), trainer.parameters);
  fields.number("learning_rate", trainer.learning_rate);
  fields.whole("depth", trainer.depth);
  fields.whole("rounds", trainer.rounds);
  fields.whole("early_stopping", trainer.early_stopping);
  fields.number("subsample", trainer.subsample);
  fields.number("colsample", trainer.colsample);
  fields.number("min_child_weight", trainer.min_child_weight);
  fields.number("lambda", trainer.lambda);
  fields.number("alpha", trainer.alpha);
  fields.number("colsample_level", trainer.colsample_level);
  fields.number("colsample_node", trainer.colsample_node);
  fields.number("gamma", trainer.gamma);
  fields.whole("max_leaves", trainer.max_leaves);
  fields.text("grow_policy", trainer.grow_policy);
  fields.whole("max_bin", trainer.max_bin);
  fields.number("max_delta_step", trainer.max_delta_step);
  fields.number_or("positive_weight", "balanced", trainer.positive_weight);
}

void model(Fields file, ModelConfig& model, LabelsConfig& labels) {
  Fields fields = file.table("model");
  target(fields, model.target, model.positive, labels);
  fields.text("positive", model.positive);
  fields.texts("inputs", model.inputs);
  fields.texts("exclude", model.exclude);
  Fields split = fields.table("split", true);
  split.text("by", model.split.by);
  split.number("test", model.split.test);
  split.number("validation", model.split.validation);
  trainer(fields, model.trainer);
}

void gates(Fields file, std::vector<GateConfig>& all) {
  if (file.writing()) {
    if (all.empty()) return;
    Fields section = file.table("gates");
    for (const auto& gate : all) section.put(gate.expression, Tree::text(gate.bound.text));
  } else if (const Tree* tree = file.find("gates")) {
    for (const auto& member : tree->members())
      if (auto bound = parse_comparison(member.value.as_text())) all.push_back({member.key, *std::move(bound)});
  }
}

void window(Fields retrain, flow::Window& window) {
  using Of = flow::Window::Kind;
  if (retrain.writing() && window.kind != Of::hours) {
    retrain.put("window", Tree::text(window.kind == Of::any ? "any" : "quietest"));
    return;
  }
  const Tree* node = retrain.find("window");
  if (node && node->is(Kind::text)) {
    window.kind = node->as_text() == "quietest" ? Of::quietest : Of::any;
    return;
  }
  if (!retrain.writing() && !node) return;
  window.kind = Of::hours;
  Fields fields = retrain.table("window", true);
  std::string from = flow::format_minute_of_day(window.from), to = flow::format_minute_of_day(window.to);
  fields.text("from", from);
  fields.text("to", to);
  window.from = flow::parse_minute_of_day(from).value_or(0);
  window.to = flow::parse_minute_of_day(to).value_or(0);
  fields.flag("weekends", window.weekends);
  Tree days = Tree::array();
  for (const auto& day : window.holidays) days.append(Tree::time(std::format("{:%F}", day)));
  if (fields.writing()) {
    fields.put("holidays", window.region.empty() ? std::move(days) : Tree::text(window.region));
  } else if (const Tree* listed = fields.find("holidays"); listed && listed->is(Kind::text)) {
    window.region = listed->as_text();
  } else if (listed) {
    for (const auto& item : listed->items())
      if (const auto day = parse_time(item.as_text()))
        window.holidays.emplace_back(std::chrono::floor<std::chrono::days>(*day));
  }
}

void retrain(Fields file, RetrainConfig& retrain) {
  Fields fields = file.table("retrain");
  std::string schedule = retrain.schedule ? retrain.schedule->text : "";
  std::vector<std::string> when;
  for (const auto& rule : retrain.when) when.push_back(rule.text);
  fields.text("schedule", schedule);
  fields.texts("when", when);
  if (!fields.writing()) {
    if (auto parsed = flow::parse_schedule(schedule)) retrain.schedule = *std::move(parsed);
    for (const auto& text : when)
      if (auto rule = schema::parse_rule(text)) retrain.when.push_back(*std::move(rule));
  }
  window(fields, retrain.window);
  Fields resources = fields.table("resources", true);
  resources.number("cpu", retrain.resources.cpu);
  resources.size("memory", retrain.resources.memory_bytes);
  resources.duration("max_duration", retrain.resources.max_duration);
  Fields data = fields.table("data", true);
  data.count_or_all("new", retrain.newest_rows);
  data.count_or_all("old", retrain.old_rows);
}

void labels(Fields file, LabelsConfig& labels) {
  Fields fields = file.table("labels");
  fields.text("field", labels.field);
  fields.texts("classes", labels.classes);
  fields.texts("trust", labels.trust);
  fields.duration("mature", labels.mature);
  Fields queue = fields.table("queue", true);
  queue.whole("per_day", labels.queue_per_day);
  queue.text("pick", labels.queue_pick);
  queue.number("random_share", labels.queue_random_share);
}

void batching(Fields serve, serve::BatchPolicy& batching) {
  if (serve.writing() ? batching.rows_max == 0 : !serve.find("batching")) return;
  if (!serve.writing()) batching.delay_max = std::chrono::milliseconds(2);
  Fields fields = serve.table("batching", true);
  auto rows_max = static_cast<std::int64_t>(batching.rows_max);
  fields.whole("max_rows", rows_max);
  batching.rows_max = static_cast<std::size_t>(rows_max);
  fields.duration("max_delay", batching.delay_max);
  fields.wholes("preferred", batching.preferred);
}

void fallback(Fields serve, serve::Fallback& fallback) {
  using Of = serve::Fallback::Kind;
  if (serve.writing() && fallback.kind != Of::constant)
    return serve.put("fallback", Tree::text(fallback.kind == Of::previous ? "previous" : "error"));
  const Tree* node = serve.find("fallback");
  if (!serve.writing() && !node) return;
  if (node && node->is(Kind::text)) {
    fallback.kind = node->as_text() == "previous" ? Of::previous : Of::error;
    return;
  }
  fallback.kind = Of::constant;
  serve.table("fallback", true).text("value", fallback.value);
}

void batches(Fields file, std::vector<BatchConfig>& all) {
  if (file.writing() && all.empty()) return;
  Fields section = file.table("batch");
  const auto one = [](Fields fields, BatchConfig& batch) {
    fields.text("model", batch.model);
    std::string schedule = batch.schedule ? batch.schedule->text : "";
    fields.text("schedule", schedule);
    if (auto parsed = flow::parse_schedule(schedule); parsed && !fields.writing()) batch.schedule = *std::move(parsed);
    fields.text("in", batch.in);
    fields.text("rows", batch.rows);
    fields.text("out", batch.out);
  };
  if (section.writing()) {
    for (auto& batch : all) one(section.table(batch.name), batch);
  } else if (const Tree* tree = file.find("batch")) {
    for (const auto& member : tree->members())
      one(section.table(member.key), all.emplace_back(BatchConfig{.name = member.key}));
  }
}

// The whole file, in the order in which it is written.
void whole_file(Fields file, Project& project) {
  Fields head = file.table("project");
  head.text("name", project.name);
  head.text("timezone", project.timezone);
  sources(file, project.sources);
  checks(file, project.checks);
  model(file, project.model, project.labels);
  gates(file, project.gates);
  retrain(file, project.retrain);
  Fields release = file.table("release");
  release.texts("steps", project.release.steps);
  release.text("rollback", project.release.rollback);
  Fields probation = release.table("probation", true);
  probation.duration("time", project.release.probation.time);
  probation.whole("requests", project.release.probation.requests);
  labels(file, project.labels);
  Fields retention = file.table("retention");
  std::optional<std::int64_t> models = project.retention.models;
  retention.count_or_all("models", models);
  project.retention.models = models ? std::optional(static_cast<int>(*models)) : std::nullopt;
  retention.duration_or_all("predictions", project.retention.predictions);
  Fields serve = file.table("serve");
  serve.texts("origins", project.serve.origins);
  serve.text("access_log", project.serve.access_log);
  serve.whole("queue", project.serve.queue);
  serve.whole("concurrency", project.serve.concurrency);
  serve.text("priority", project.serve.priority);
  batching(serve, project.serve.batching);
  fallback(serve, project.serve.fallback);
  Fields log = serve.table("log");
  log.text("full", project.serve.log_full);
  log.number("share", project.serve.log_share);
  log.size("bytes", project.serve.log_bytes);
  batches(file, project.batches);
  Fields telemetry = file.table("telemetry");
  telemetry.text("otlp", project.telemetry.otlp);
  telemetry.number("sample", project.telemetry.sample);
}

void profile(Fields fields, Profile& profile) {
  fields.text("listen", profile.listen);
  fields.text("grpc", profile.grpc);
  fields.texts("hosts", profile.hosts);
  fields.text("data_dir", profile.data_dir);
  fields.text("seal", profile.seal);
  if (fields.writing() && profile.tls == Profile::Tls{}) return;
  Fields tls = fields.table("tls", true);
  tls.text("certificate", profile.tls.certificate);
  tls.text("key", profile.tls.key);
}

std::string place(Position at) {
  return at.line ? std::format("line {}, column {}: ", at.line, at.column) : std::string();
}

std::string_view reason_of(Problem::Kind kind) {
  switch (kind) {
    case Problem::Kind::unknown_key:
      return "project.unknown_key";
    case Problem::Kind::wrong_type:
      return "project.wrong_type";
    case Problem::Kind::bad_value:
      return "project.bad_value";
    case Problem::Kind::missing:
      return "project.missing";
    case Problem::Kind::not_available:
      return "project.not_available";
  }
  return "project.bad_value";
}

std::unexpected<Error> refuse(const std::vector<Problem>& problems, std::string_view file, std::string_view text) {
  const auto broken =
      std::ranges::find_if(problems, [](const Problem& p) { return p.kind != Problem::Kind::not_available; });
  if (broken == problems.end()) {
    std::string list;
    for (const auto& problem : problems)
      list += (list.empty() ? "" : ", ") + problem.message +
              (problem.at.line ? std::format(" line {}", problem.at.line) : "");
    return fail(Code::unimplemented, "project.not_available", std::format("{}: not available yet: {}", file, list));
  }
  std::string message;
  if (problems.size() == 1) {
    const Problem& only = problems[0];
    const std::string shown = excerpt(text, only.at);
    message = std::format("{}{}{}{}", file, only.at.line ? " " : ": ", only.text(), shown.empty() ? "" : "\n" + shown);
  } else {
    message = std::format("{} has {} problems", file, problems.size());
    constexpr std::size_t shown_max = 50;
    for (std::size_t i = 0; i < problems.size() && i < shown_max; ++i) message += "\n  " + problems[i].text();
    if (problems.size() > shown_max) message += std::format("\n  and {} more", problems.size() - shown_max);
  }
  return fail(Code::invalid_argument, reason_of(broken->kind), std::move(message));
}

}  // namespace

std::string SourceConfig::path() const { return uri.starts_with("file:") ? uri.substr(5) : ""; }

const SourceConfig* Project::source(std::string_view wanted) const {
  const auto it = std::ranges::find(sources, wanted, &SourceConfig::name);
  return it == sources.end() ? nullptr : &*it;
}

const CheckConfig* Project::check(std::string_view source_name) const {
  const auto it = std::ranges::find(checks, source_name, &CheckConfig::source);
  return it == checks.end() ? nullptr : &*it;
}

const BatchConfig* Project::batch(std::string_view wanted) const {
  const auto it = std::ranges::find(batches, wanted, &BatchConfig::name);
  return it == batches.end() ? nullptr : &*it;
}

std::string Problem::text() const {
  return place(at) + (kind == Kind::not_available ? "not available yet: " : "") + message;
}

std::vector<Problem> check_project(const Tree& tree) {
  std::vector<Problem> problems;
  schema::check_keys(tree, problems);
  schema::check_whole(tree, problems);
  std::ranges::stable_sort(problems, {}, &Problem::at);
  return problems;
}

Result<Project> project_from_tree(const Tree& tree, std::string_view profile_name, std::string_view file,
                                  std::string_view text) {
  if (const auto problems = check_project(tree); !problems.empty()) return refuse(problems, file, text);
  Project out;
  whole_file(Fields::reader(&tree), out);
  const Tree* all = tree.find("profile");
  if (!profile_name.empty()) out.profile.name = std::string(profile_name);
  const Tree* chosen = all ? all->find(out.profile.name) : nullptr;
  if (!chosen && profile_name.empty()) return out;
  if (!chosen) {
    std::string known;
    for (const auto& member : all ? all->members() : std::vector<Tree::Member>())
      known += (known.empty() ? "" : ", ") + member.key;
    return fail(Code::not_found, "project.no_profile",
                std::format("{} has no [profile.{}]; {}", file, toml_key(profile_name),
                            known.empty() ? "it declares none" : "it declares: " + known));
  }
  profile(Fields::reader(chosen), out.profile);
  return out;
}

Result<Project> parse_project(std::string_view text, std::string_view profile_name, std::string_view file) {
  TRY(const Tree tree, parse_toml(text, file));
  return project_from_tree(tree, profile_name, file, text);
}

Result<Project> parse_project_json(std::string_view text, std::string_view profile_name, std::string_view file) {
  TRY(const Tree tree, parse_json_tree(text, file));
  return project_from_tree(tree, profile_name, file);
}

Tree resolved_tree(const Project& project, bool with_profile) {
  Project copy = project;  // the listing reads and writes, so it wants a value that it may change
  Tree out;
  whole_file(Fields::writer(out), copy);
  if (with_profile) {
    Tree all, one;
    profile(Fields::writer(one), copy.profile);
    all.set(copy.profile.name, std::move(one));
    out.set("profile", std::move(all));
  }
  return out;
}

std::string render_resolved(const Project& project, bool with_profile) {
  return render_toml(resolved_tree(project, with_profile));
}

Digest project_digest(const Project& project) { return sha256(render_resolved(project)); }

}  // namespace millrace::loop
