// The completed file, its digest, what a change causes, and what is generated from the declared keys.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.hpp"
#include "eval/gates.hpp"
#include "loop/project.hpp"
#include "loop/testing/project_examples.hpp"

namespace millrace::loop {
namespace {

Project parsed(std::string_view text, std::string_view profile = {}) {
  auto project = parse_project(text, profile);
  EXPECT_TRUE(project) << project.error().message << "\n" << text;
  return project ? *std::move(project) : Project();
}

TEST(Resolved, ReadsBackAsTheSameProject) {
  for (const std::string_view text : {testing::shortest, testing::everything, testing::minimal, testing::by_command}) {
    const Project project = parsed(text);
    const std::string resolved = render_resolved(project);
    EXPECT_EQ(parsed(resolved), project) << resolved;
    EXPECT_EQ(render_resolved(parsed(resolved)), resolved);
    EXPECT_EQ(project_digest(parsed(resolved)), project_digest(project));
  }
  const Project prod = parsed(testing::everything, "prod");
  EXPECT_EQ(parsed(render_resolved(prod, true), "prod"), prod);
  EXPECT_EQ(project_digest(prod), project_digest(parsed(testing::everything))) << "the profile says where, not what";
  const std::string reformatted = "# a comment\n" + std::string(testing::shortest) + "[release]\nrollback = 'manual'\n";
  EXPECT_EQ(project_digest(parsed(reformatted)), project_digest(parsed(testing::shortest)));
}

// The default that a key declares is the one that its struct has.
TEST(Resolved, DeclaredDefaultsAreTheRealOnes) {
  const Project project = parsed(std::string(testing::minimal) + "[check.rows]\nc = {}\n[profile.p]\n", "p");
  const Tree tree = resolved_tree(project, true);
  for (const KeyInfo& info : describe_keys()) {
    if (info.fallback.empty() || !info.available) continue;
    if (info.path == "model.trainer" || info.path.starts_with("retrain.window.")) continue;  // a choice of forms
    std::vector<std::string> path;
    std::string_view rest = info.path;
    const std::string_view names[] = {
        info.path.starts_with("source.") || info.path.starts_with("check.") ? "rows" : "p", "c"};
    for (std::size_t star = 0; !rest.empty();) {
      const auto dot = rest.find('.');
      const std::string_view part = rest.substr(0, dot);
      path.emplace_back(part == "*" ? names[star++] : part);
      rest = dot == rest.npos ? std::string_view() : rest.substr(dot + 1);
    }
    const Tree* value = tree.find_path(path);
    ASSERT_TRUE(value) << info.path;
    const Tree declared = *parse_toml("x = " + info.fallback, "x")->find("x");
    const bool same = declared.same_as(*value) ||
                      (declared.is_number() && value->is_number() && declared.as_number() == value->as_number());
    EXPECT_TRUE(same) << info.path << " declares " << info.fallback << ", has " << render_toml_value(*value);
  }
}

TEST(Diff, SaysWhatAChangeCauses) {
  struct Case {
    const char *from, *to, *path;
    Effect effect;
  };
  const Case cases[] = {
      {"depth = 8", "depth = 9", "model.trainer.depth", Effect::retrain},
      {"max = 110", "max = 120", "check.adult.age.max", Effect::checks},
      {"\">= 0.80\"", "\">= 0.82\"", "gates.auc", Effect::gates},
      {"\"auc - current.auc\" = \">= -0.005\"", "", "gates.\"auc - current.auc\"", Effect::gates},
      {"daily 02:00", "daily 03:00", "retrain.schedule", Effect::schedule},
      {"America/New_York", "Europe/Lisbon", "project.timezone", Effect::schedule},
      {"models = 3", "models = 4", "retention.models", Effect::nothing},
      {"full = \"refuse\"", "full = \"answer\"", "serve.log.full", Effect::nothing},
      {"share = 0.25", "share = 0.5", "serve.log.share", Effect::nothing},
      {"0.0.0.0:7070", "0.0.0.0:7071", "profile.prod.listen", Effect::restart},
      {"\"cert.pem\"", "\"other.pem\"", "profile.prod.tls.certificate", Effect::restart},
      {"exclude = [\"id\"]", "exclude = []", "model.exclude", Effect::retrain},
      {"memory = \"8GB\"", "memory = \"9GB\"", "retrain.resources.memory", Effect::schedule},
      {"income = { type", "job = {}\nincome = { type", "check.adult.job.values", Effect::checks},
  };
  const Project before = parsed(testing::everything, "prod");
  EXPECT_TRUE(diff_projects(before, before).empty());
  for (const Case& c : cases) {
    std::string text(testing::everything);
    const auto at = text.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    text.replace(at, std::string_view(c.from).size(), c.to);
    const Project after = parsed(text, "prod");
    const auto changes = diff_projects(before, after);
    ASSERT_FALSE(changes.empty()) << c.path;
    EXPECT_EQ(changes[0].path, c.path);
    EXPECT_EQ(changes[0].effect, c.effect) << c.path;
    for (const auto& change : changes) EXPECT_EQ(change.effect, c.effect);
    EXPECT_EQ(model_digest(before) == model_digest(after), c.effect != Effect::retrain) << c.path;
    EXPECT_EQ(diff_projects(after, before).size(), changes.size());
  }
  const auto changes = diff_projects(before, parsed(testing::everything));
  EXPECT_TRUE(std::ranges::all_of(changes, [](const Change& c) { return c.effect == Effect::restart; }));
  EXPECT_EQ(changes.size(), 7u);  // listen, grpc, hosts, tls (certificate, key), data_dir, seal
}

TEST(Keys, SchemaAndExplainComeFromTheDeclarations) {
  const auto schema = parse_json_tree(json_schema(), "schema");
  ASSERT_TRUE(schema) << schema.error().message;
  EXPECT_EQ(schema->find("$schema")->as_text(), "https://json-schema.org/draft/2020-12/schema");
  EXPECT_TRUE(schema->find_path({"properties", "source", "additionalProperties", "properties", "uri"}));
  EXPECT_FALSE(schema->find("additionalProperties")->as_boolean());
  const std::string table = explain_keys();
  for (const KeyInfo& info : describe_keys()) {
    EXPECT_FALSE(info.help.empty()) << info.path;
    EXPECT_FALSE(info.example.empty()) << info.path;
    if (!info.path.contains('.')) continue;
    EXPECT_NE(table.find("\n" + info.path + " "), std::string::npos) << info.path;
  }
}

// Each example of a built key is right for it.
TEST(Keys, ExamplesAreTrue) {
  for (const KeyInfo& info : describe_keys()) {
    if (!info.available || info.example.starts_with("[") != info.type.starts_with("a list") || info.path.contains('*'))
      continue;
    const auto dot = info.path.rfind('.');
    if (dot == info.path.npos) continue;
    const std::string text =
        "[" + info.path.substr(0, dot) + "]\n" + info.path.substr(dot + 1) + " = " + info.example + "\n";
    const auto tree = parse_toml(text, "t");
    ASSERT_TRUE(tree) << text;
    for (const Problem& problem : check_project(*tree))
      EXPECT_FALSE(problem.path.starts_with(info.path) &&
                   (problem.kind == Problem::Kind::wrong_type || problem.kind == Problem::Kind::unknown_key ||
                    problem.kind == Problem::Kind::not_available))
          << text << problem.text();
  }
}

InitFacts titanic() {
  InitFacts facts;
  facts.project = "titanic";
  facts.source = "titanic";
  facts.uri = "file:titanic.csv.gz";
  facts.key = "PassengerId";
  facts.target = "Survived";
  facts.task = "binary, 38.4 % positive";
  facts.positive = "1";
  facts.excluded = {{"Name", "long text"}, {"Ticket", "nearly every value is another"}};
  for (const auto& line : eval::default_gates(eval::TaskType::binary))
    facts.gates.push_back({line.expression, line.required, ""});
  facts.gates.at(0).comment = "better than the most frequent class by more than its error";
  facts.notes = {"\"Age\" has 177 blanks: treated as missing"};
  return facts;
}

TEST(Init, WritesAShortFileThatParses) {
  const std::string text = write_init(titanic());
  const Project project = parsed(text);
  EXPECT_EQ(project.model.target.column, "Survived");
  EXPECT_EQ(project.model.positive, "1");
  EXPECT_EQ(project.model.exclude, (std::vector<std::string>{"Name", "Ticket"}));
  ASSERT_EQ(project.gates.size(), titanic().gates.size());
  EXPECT_EQ(project.gates[0].bound.unit, Comparison::Unit::error);
  EXPECT_LE(std::ranges::count(text, '\n'), 28) << text;
  EXPECT_NE(text.find("# \"Age\" has 177 blanks"), std::string::npos);
}

// Whatever a data file's column names hold, the written file says exactly that.
TEST(Init, AnyNamesSurvive) {
  SeededRng rng(5);
  const std::string_view pieces[] = {"a", "B", " ", "\"", "\\", "\n", "#", "'", ".", "é", "\t", "]", "=", "\x01", "0"};
  const auto name = [&] {
    std::string out = "c";
    for (auto n = rng.below(12); n > 0; --n) out += pieces[rng.below(std::size(pieces))];
    return out;
  };
  for (int i = 0; i < 500; ++i) {
    InitFacts facts = titanic();
    facts.uri = "file:" + name();
    facts.key = name();
    facts.target = name();
    facts.task = name();
    facts.positive = name();
    facts.header = rng.below(2);
    if (!facts.header) facts.names = {name() + "1", name() + "2"};
    facts.excluded = {{name() + "3", name()}, {name() + "4", name()}};
    facts.notes = {name(), std::string(300, 'x') + " " + name()};
    facts.gates[0].comment = name();
    const Project project = parsed(write_init(facts));
    EXPECT_EQ(project.model.target.column, facts.target);
    EXPECT_EQ(project.sources.at(0).uri, facts.uri);
    EXPECT_EQ(project.sources.at(0).key, facts.key);
    EXPECT_EQ(project.sources.at(0).names, facts.names);
    EXPECT_EQ(project.model.positive, facts.positive);
    EXPECT_EQ(project.model.exclude.at(1), facts.excluded[1].column);
    EXPECT_EQ(parsed(render_resolved(project)), project);
  }
}

}  // namespace
}  // namespace millrace::loop
