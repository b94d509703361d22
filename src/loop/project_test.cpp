#include "loop/project.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <format>

#include "base/rng.hpp"
#include "loop/testing/project_examples.hpp"

namespace millrace::loop {
namespace {

using testing::minimal;

std::string reason(std::string_view text) {
  const auto project = parse_project(text);
  return project ? "" : project.error().reason;
}

std::vector<Problem> problems(std::string_view text) {
  const auto tree = parse_toml(text, "t");
  EXPECT_TRUE(tree) << tree.error().message;
  return tree ? check_project(*tree) : std::vector<Problem>();
}

std::string all_texts(const std::vector<Problem>& found) {
  std::string out;
  for (const auto& problem : found) out += problem.text() + "\n";
  return out;
}

TEST(Project, TheShortestFile) {
  const auto project = parse_project(testing::shortest);
  ASSERT_TRUE(project) << project.error().message;
  EXPECT_EQ(project->name, "churn");
  EXPECT_EQ(project->timezone, "UTC");
  ASSERT_EQ(project->sources.size(), 1u);
  EXPECT_EQ(project->sources[0].path(), "customers.csv");
  EXPECT_EQ(project->sources[0].key, "customer_id");
  EXPECT_EQ(project->model.target.source, "customers");
  EXPECT_EQ(project->model.target.column, "churned");
  ASSERT_EQ(project->gates.size(), 1u);
  EXPECT_EQ(project->gates[0].expression, "auc");
  EXPECT_TRUE(project->gates[0].bound.holds(0.80));
  EXPECT_FALSE(project->gates[0].bound.holds(0.79));
  EXPECT_EQ(project->retrain.schedule->text, "daily");
  EXPECT_EQ(project->retrain.window.kind, flow::Window::Kind::quietest);
  EXPECT_EQ(project->profile.listen, "127.0.0.1:7070");
}

TEST(Project, EverythingThatIsBuilt) {
  const auto project = parse_project(testing::everything, "prod");
  ASSERT_TRUE(project) << project.error().message;
  EXPECT_EQ(project->sources.size(), 2u);
  EXPECT_FALSE(project->source("adult")->header);
  EXPECT_EQ(project->source("adult")->names.size(), 3u);
  EXPECT_TRUE(project->source("more")->upload());
  const ColumnCheck& age = project->check("adult")->columns.at(0);
  EXPECT_EQ(age.column, "age");
  EXPECT_EQ(age.min, 16.0);
  EXPECT_TRUE(age.nulls->holds(0.02));
  EXPECT_FALSE(age.nulls->holds(0.021));
  EXPECT_EQ(project->model.target.type, "binary");
  EXPECT_EQ(project->model.positive, ">50K");
  EXPECT_EQ(project->model.trainer.name, "boosted-trees");
  EXPECT_EQ(project->model.trainer.depth, 8);
  EXPECT_EQ(project->model.trainer.learning_rate, 0.05);
  EXPECT_EQ(project->model.split.test, 0.25);
  EXPECT_EQ(project->labels.mature, Duration(std::chrono::days(30)));
  ASSERT_EQ(project->retrain.when.size(), 3u);
  EXPECT_EQ(project->retrain.when[2].kind, RetrainRule::Kind::live_below);
  EXPECT_EQ(project->retrain.when[2].metric, "auc");
  EXPECT_EQ(project->retrain.window.from, 22 * 60);
  EXPECT_TRUE(project->retrain.window.weekends);
  EXPECT_EQ(project->retrain.window.holidays.size(), 2u);
  EXPECT_EQ(project->retrain.resources.memory_bytes, 8'000'000'000);
  EXPECT_EQ(project->retrain.newest_rows, 100);
  EXPECT_FALSE(project->retrain.old_rows);
  EXPECT_EQ(project->retention.models, 3);
  EXPECT_EQ(project->serve.origins, (std::vector<std::string>{"https://app.example.com", "http://localhost:3000"}));
  EXPECT_EQ(project->serve.access_log, "1%");
  EXPECT_EQ(project->serve.queue, 16);
  EXPECT_EQ(project->serve.concurrency, 2);
  EXPECT_EQ(project->serve.priority, "low");
  EXPECT_EQ(project->serve.batching, (serve::BatchPolicy{64, std::chrono::microseconds(500), {8, 32}}));
  EXPECT_EQ(parse_project(minimal)->serve.batching, serve::BatchPolicy{});
  EXPECT_EQ(project->serve.fallback, (serve::Fallback{serve::Fallback::Kind::constant, "<=50K"}));
  EXPECT_EQ(project->serve.log_full, "refuse");
  EXPECT_EQ(project->serve.log_share, 0.25);
  EXPECT_EQ(project->serve.log_bytes, 2'000'000'000);
  EXPECT_EQ(project->telemetry.otlp, "http://127.0.0.1:4318");
  EXPECT_EQ(project->telemetry.sample, 0.1);
  ASSERT_EQ(project->batches.size(), 2u);
  EXPECT_EQ(project->batch("weekly")->schedule->text, "Mon 06:00");
  EXPECT_EQ(project->batch("weekly")->in, "new/{date}/*.csv");
  EXPECT_EQ(project->batch("all")->rows, "adult");
  EXPECT_FALSE(project->batch("all")->schedule);
  EXPECT_EQ(project->profile.listen, "0.0.0.0:7070");
  EXPECT_EQ(project->profile.hosts.at(0), "ml.example.com");
  EXPECT_EQ(project->profile.master_key(), "/etc/millrace/master.key");
  EXPECT_EQ(project->profile.tls.certificate, "cert.pem");
  EXPECT_EQ(project->profile.tls.key, "/etc/millrace/key.pem");
  const std::string own_default = std::string(minimal) + "[profile.default]\nlisten = \"127.0.0.1:8080\"\n";
  EXPECT_EQ(parse_project(own_default)->profile.listen, "127.0.0.1:8080");
  EXPECT_EQ(parse_project(testing::everything, "staging").error().reason, "project.no_profile");
}

TEST(Project, AFallbackFitsTheTask) {
  using Kind = serve::Fallback::Kind;
  const auto with = [](std::string_view type, std::string_view more) {
    return std::format(
        "[project]\nname = \"p\"\n[source.rows]\nuri = \"file:rows.csv\"\n[model]\n"
        "target = {{ column = \"rows.y\", type = \"{}\" }}\n{}\n",
        type, more);
  };
  EXPECT_EQ(parse_project(with("auto", ""))->serve.fallback.kind, Kind::error);
  EXPECT_EQ(parse_project(with("auto", "[serve]\nfallback = \"error\""))->serve.fallback.kind, Kind::error);
  EXPECT_EQ(parse_project(with("auto", "[serve]\nfallback = \"previous\""))->serve.fallback.kind, Kind::previous);
  EXPECT_EQ(parse_project(with("regression", "[serve]\nfallback = { value = 0.5 }"))->serve.fallback.value, "0.5");
  EXPECT_EQ(parse_project(with("binary", "[serve]\nfallback = { value = 0 }"))->serve.fallback.value, "0");
  const std::string classes = "[labels]\nclasses = [\"0\", \"1\"]\n[serve]\n";
  EXPECT_TRUE(parse_project(with("binary", classes + "fallback = { value = 1 }")));
  EXPECT_EQ(parse_project(with("binary", classes + "fallback = { value = 2 }")).error().reason, "project.bad_value");
  EXPECT_EQ(parse_project(with("regression", "[serve]\nfallback = { value = \"cheap\" }")).error().reason,
            "project.bad_value");
  EXPECT_EQ(parse_project(with("auto", "[serve]\nfallback = \"older\"")).error().reason, "project.bad_value");
  EXPECT_EQ(parse_project(with("auto", "[serve]\nfallback = {}")).error().reason, "project.missing");
}

TEST(Project, OriginsAsBrowsersSendThem) {
  for (const char* good : {"*", "https://app.example.com", "http://localhost:3000", "http://127.0.0.1:8080",
                           "http://[::1]:3000", "http://[::1]", "https://a-b_c.org:8443", "http://a.org:443"})
    EXPECT_TRUE(parse_project(std::format("{}[serve]\norigins = [\"{}\"]\n", minimal, good))) << good;
}

// Every key of the three examples is known; what is not built yet is named, each with its line, and nothing else is
// wrong.
TEST(Project, TheExamplesHaveOnlyKeysOfLaterVersions) {
  for (const std::string_view example : {testing::tabular, testing::images, testing::stream}) {
    const auto project = parse_project(example);
    ASSERT_FALSE(project);
    EXPECT_EQ(project.error().code, Code::unimplemented) << project.error().message;
    EXPECT_EQ(project.error().reason, "project.not_available");
    for (const auto& problem : problems(example)) {
      EXPECT_EQ(problem.kind, Problem::Kind::not_available) << problem.text();
      EXPECT_GT(problem.at.line, 0) << problem.text();
    }
  }
  const auto message = parse_project(testing::tabular).error().message;
  for (const char* named : {"[privacy] line ", "[features] line ", "[tune] line ", "batch.weekly.to line ",
                            "[alerts] line ", "release.harm line ", "retrain.resources.workers line ",
                            "source.customers.uri = \"postgres://crm/customers\" line ", "source.customers.time line ",
                            "profile.prod.store line ", "model.split.by = \"time\" line "})
    EXPECT_NE(message.find(named), std::string::npos) << named << " in " << message;
  EXPECT_EQ(message.find("tune.trials"), std::string::npos) << "a section is named once: " << message;
}

TEST(Project, OneLineNamesWhatIsNotThereYet) {
  const auto project = parse_project(std::string(testing::shortest) + "[privacy]\nsubject = \"customer_id\"\n");
  ASSERT_FALSE(project);
  EXPECT_EQ(project.error().message, "millrace.toml: not available yet: [privacy] line 13");
}

struct Wrong {
  const char* line;  // put in place of the marked line of a valid file
  Problem::Kind kind;
  const char* says;
};

// Each row is added to a valid file and must be the one problem found, on its own line.
TEST(Project, RefusesByNameAndPlace) {
  using enum Problem::Kind;
  const Wrong cases[] = {
      {"[retrain]\nscedule = \"daily\"", unknown_key, "did you mean schedule?"},
      {"[retrian]\n", unknown_key, "did you mean retrain?"},
      {"[release]\nschedule = \"daily\"", unknown_key, "schedule belongs to [retrain]"},
      {"[check.rows1]\nrows = \">= 3\"", bad_value, "there is no [source.rows1]; did you mean rows?"},
      {"[check.rows]\nage = { typ = \"int\" }", unknown_key, "did you mean type?"},
      {"[check.rows]\nage = { type = \"integer\" }", bad_value, "\"int\""},
      {"[check.rows]\nage = 3", wrong_type, "expected a table"},
      {"[check.rows]\nage = { min = 3, max = 2 }", bad_value, "above max"},
      {"[check.rows]\nrows = 1000", wrong_type, "got 1000"},
      {"[check.rows]\nrows = \"many\"", bad_value, "a comparison"},
      {"[check.rows]\nrows = \"> error\"", bad_value, "a comparison"},
      {"[gates]\nauc = 0.8", wrong_type, "got 0.8"},
      {"[gates]\nauc = \"0.8\"", bad_value, "a comparison"},
      {"[gates]\n\" \" = \">= 0\"", bad_value, "expected a metric"},
      {"[gates]\n\"aucc\" = \">= 0.5\"", bad_value, "auc"},
      {"[gates]\n\"auc\" = \"> error\"", bad_value, "difference"},
      {"[retrain]\nschedule = \"sometimes\"", bad_value, "\"every 6h\""},
      {"[retrain]\nwhen = [\"new_labels > many\"]", bad_value, "retrain.when[0]"},
      {"[retrain]\nwhen = [\"new_labels < 5\"]", bad_value, "new_labels >= N"},
      {"[retrain]\nwhen = [\"new_rows >= 0\"]", bad_value, "new_rows >= N"},
      {"[retrain]\nwhen = [\"live.auc >= 0.7\"]", bad_value, "live.auc < x"},
      {"[retrain]\nwhen = [\"live.acuracy < 0.7\"]", bad_value, "did you mean live.accuracy?"},
      {"[retrain]\nwhen = [\"the moon is full\"]", bad_value, "new_rows >= N"},
      {"[retrain]\nwhen = \"new_rows >= 5\"", wrong_type, "a list"},
      {"[retrain]\nwhen = [3]", wrong_type, "got 3"},
      {"[retrain]\nwhen = [\"drift > 0.2\"]", not_available, "drift > 0.2"},
      {"[retrain]\nwindow = \"night\"", bad_value, "\"quietest\""},
      {"[retrain]\nwindow = { from = \"22:00\" }", missing, "needs to"},
      {"[retrain]\nwindow = { from = \"24:00\", to = \"02:00\" }", bad_value, "before 24:00"},
      {"[retrain]\nwindow = { from = \"2200\", to = \"02:00\" }", bad_value, "a time of day"},
      {"[retrain]\nwindow = { from = \"22:00\", to = \"02:00\", holidays = \"P T\" }", bad_value, "a region such as"},
      {"[retrain]\nwindow = { from = \"22:00\", to = \"02:00\", holidays = \"../PT\" }", bad_value, "a region"},
      {"[retrain]\nwindow = { from = \"22:00\", to = \"02:00\", holidays = \"2026-12-25\" }", bad_value, "a list of"},
      {"[retrain]\nwindow = { from = \"22:00\", to = \"02:00\", holidays = [\"PT\"] }", bad_value, "stands alone"},
      {"[retrain]\nwindow = { from = \"22:00\", to = \"02:00\", holidays = 3 }", wrong_type, "holidays"},
      {"[retrain]\nwindow = { from = \"22:00\", to = \"02:00\", holidays = [1] }", wrong_type, "a date"},
      {"[retrain]\nresources = { memory = \"8 gigabytes\" }", bad_value, "a size"},
      {"[retrain]\nresources = { memory = \"1KB\" }", bad_value, "a size from"},
      {"[retrain]\nresources = { max_duration = \"0s\" }", bad_value, "a duration from"},
      {"[retrain]\nresources = { max_duration = 7200 }", wrong_type, "a duration"},
      {"[retrain]\nresources = { cpu = -1 }", bad_value, "from 0"},
      {"[retrain]\nresources = { cpu = nan }", bad_value, "from 0"},
      {"[retrain]\ndata = { old = \"some\" }", bad_value, "\"all\" or a whole number"},
      {"[release]\nsteps = [\"replay 14d\", \"full\"]", not_available, "replay 14d"},
      {"[release]\nsteps = [\"now\"]", bad_value, "\"full\""},
      {"[release]\nsteps = [\"canary 5%\"]", bad_value, "the last step"},
      {"[release]\nsteps = [\"canary 25%\", \"canary 5%\", \"full\"]", bad_value, "never falls"},
      {"[release]\nsteps = [\"canary 5% soon\", \"full\"]", bad_value, "canary 5% 30m"},
      {"[release]\nprobation = { time = \"10m\", requests = -1 }", bad_value, "requests"},
      {"[labels]\ntrust = [\"people\"]", bad_value, "\"human\""},
      {"[labels]\nmature = \"-1d\"", bad_value, "a duration"},
      {"[labels]\nqueue = { random_share = 1.5 }", bad_value, "from 0 to 1"},
      {"[serve.log]\nfull = \"wait\"", bad_value, "\"refuse\""},
      {"[serve.log]\nshare = 1.5", bad_value, "serve.log.share"},
      {"[serve.log]\nshare = \"10%\"", wrong_type, "serve.log.share"},
      {"[serve.log]\nbytes = \"1MB\"", bad_value, "serve.log.bytes"},
      {"[retention]\nmodels = 0", bad_value, "from 1"},
      {"[retention]\nmodels = 2.5", wrong_type, "a whole number"},
      {"[retention]\nmodels = \"none\"", bad_value, "\"all\""},
      {"[retention]\npredictions = \"soon\"", bad_value, "a duration"},
      {"[source.two]\nuri = \"customers.csv\"", bad_value, "expected \"file:customers.csv\" or \"upload\""},
      {"[source.two]\nuri = \"s3://lake/x.parquet\"", not_available, "s3://"},
      {"[source.two]\nuri = \"ftp://x\"", bad_value, "upload"},
      {"[source.two]\nuri = \"file:${secret:path}\"", not_available, "secret"},
      {"[source.two]\nkey = \"id\"", missing, "needs uri"},
      {"[source.two]\nuri = \"upload\"\nnames = [\"a\"]", bad_value, "header = false"},
      {"[source.two]\nuri = \"upload\"\nheader = false\nnames = [\"a\", \"a\"]", bad_value, "twice"},
      {"[source.two]\nuri = \"upload\"\ndelimiter = \"||\"", bad_value, "one character"},
      {"[source.\"a b\"]\nuri = \"upload\"", bad_value, "letters, digits"},
      {"[telemetry]\notlp = \"127.0.0.1:4318\"", bad_value, "the address of a collector"},
      {"[telemetry]\notlp = \"http://\"", bad_value, "the address of a collector"},
      {"[telemetry]\nsample = 2", bad_value, "from 0 to 1"},
      {"[batch.one]\nin = \"a.csv\"", missing, "needs out"},
      {"[batch.one]\nout = \"a.csv\"", missing, "one of in"},
      {"[batch.one]\nin = \"a.csv\"\nrows = \"rows\"\nout = \"b.csv\"", bad_value, "one of in"},
      {"[batch.one]\nrows = \"nothing\"\nout = \"b.csv\"", bad_value, "no [source.nothing]"},
      {"[batch.one]\nin = \"*/a.csv\"\nout = \"b.csv\"", bad_value, "last part"},
      {"[batch.one]\nin = \"a.csv\"\nout = \"b.txt\"", bad_value, ".parquet or .csv"},
      {"[batch.one]\nin = \"a.csv\"\nout = \"{day}.csv\"", bad_value, "in braces"},
      {"[batch.one]\nin = \"a.csv\"\nout = \"b.csv\"\nschedule = \"at times\"", bad_value, "a schedule such as"},
      {"[batch.one]\nin = \"a.csv\"\nout = \"b.csv\"\nmodel = \"a:b\"", bad_value, "a model such as"},
      {"[batch.one]\nin = \"a.csv\"\nto = \"postgres://a/b\"", not_available, "batch.one.to"},
      {"[profile.prod]\nlisten = \"7070\"", bad_value, "address and port"},
      {"[profile.prod]\nlisten = \"0.0.0.0:99999\"", bad_value, "address and port"},
      {"[profile.prod]\ngrpc = \"8001\"", bad_value, "address and port"},
      {"[profile.prod]\nseal = \"0123456789abcdef\"", bad_value, "master key"},
      {"[profile.prod]\nseal = \"file:\"", bad_value, "master key"},
      {"[serve]\norigins = \"https://a.org\"", Problem::Kind::wrong_type, "list"},
      {"[serve]\norigins = [\"a.org\"]", bad_value, "such as \"https://app.example.com\""},
      {"[serve]\norigins = [\"https://\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"https://a.org/\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"https://a.org/path\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"https://*.a.org\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"https://A.org\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"https://a.org:443\"]", bad_value, "leave it out"},
      {"[serve]\norigins = [\"http://a.org:80\"]", bad_value, "leave it out"},
      {"[serve]\norigins = [\"http://a.org:0\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"http://[::1:80\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"ftp://a.org\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"null\"]", bad_value, "origin"},
      {"[serve]\norigins = [\"\"]", bad_value, "origin"},
      {"[serve]\naccess_log = \"some\"", bad_value, "a share such as"},
      {"[serve]\naccess_log = \"0%\"", bad_value, "a share such as"},
      {"[serve]\naccess_log = \"101%\"", bad_value, "a share such as"},
      {"[serve]\naccess_log = \"1\"", bad_value, "a share such as"},
      {"[serve]\naccess_log = true", Problem::Kind::wrong_type, "access_log"},
      {"[serve]\nqueue = 0", bad_value, "queue"},
      {"[profile.prod]\nstore = \"s3://x\"", not_available, "profile.prod.store"},
      {"[gates]\n\"loadtest.p99\" = \"<= 20ms\"", not_available, "millrace loadtest"},
      {"[edge.camera]\ntarget = \"linux-arm64\"", not_available, "[edge.camera]"},
      {"[drift]\nerror = \"adwin\"", not_available, "[drift]"},
      {"[drift]\nerorr = \"adwin\"\n", unknown_key, "did you mean error?"},
  };
  for (const Wrong& wrong : cases) {
    auto found = problems(std::string(minimal) + wrong.line + "\n");
    if (wrong.kind != not_available) std::erase_if(found, [](const Problem& p) { return p.kind == not_available; });
    ASSERT_EQ(found.size(), 1u) << wrong.line << "\n" << all_texts(found);
    EXPECT_EQ(found[0].kind, wrong.kind) << wrong.line << "\n" << found[0].text();
    EXPECT_NE(found[0].text().find(wrong.says), std::string::npos) << wrong.line << "\n" << found[0].text();
    EXPECT_GE(found[0].at.line, testing::minimal_lines + 1) << wrong.line;
    EXPECT_GT(found[0].at.column, 0);
  }
}

// The same for the parts of the file that `minimal` fills itself.
TEST(Project, RefusesInModelAndHead) {
  using enum Problem::Kind;
  struct Case {
    const char *head, *model;
    Problem::Kind kind;
    const char* says;
  };
  const Case cases[] = {
      {"name = \"a b\"", "target = \"rows.y\"", bad_value, "letters, digits"},
      {"name = 3", "target = \"rows.y\"", wrong_type, "a string"},
      {"timezone = \"UTC\"", "target = \"rows.y\"", missing, "[project] needs name"},
      {"name = \"a\"\ntimezone = \"Europe/Lisboa\"", "target = \"rows.y\"", bad_value,
       "did you mean \"Europe/Lisbon\"?"},
      {"name = \"a\"", "positive = \"Yes\"", missing, "[model] needs target"},
      {"name = \"a\"", "target = \"y\"", bad_value, "source and column"},
      {"name = \"a\"", "target = \"row.y\"", bad_value, "did you mean rows?"},
      {"name = \"a\"", "target = { type = \"binary\" }", missing, "needs column"},
      {"name = \"a\"", "target = { column = \"rows.y\", expr = \"rows.y\" }", bad_value, "not both"},
      {"name = \"a\"", "target = { expr = \"exists(rows) within 30d\" }", not_available, "exists"},
      {"name = \"a\"", "target = { column = \"rows.y\", at = \"+30m\" }", not_available, "model.target.at"},
      {"name = \"a\"", "target = { column = \"rows.y\", type = \"regression\", positive = 1 }", bad_value,
       "no positive"},
      {"name = \"a\"", "target = { column = \"rows.y\", positive = 1 }\npositive = 1", bad_value, "keep one"},
      {"name = \"a\"", "target = \"rows.y\"\ninputs = [\"y\"]", bad_value, "it is the target"},
      {"name = \"a\"", "target = \"rows.y\"\ninputs = [\"a\"]\nexclude = [\"a\"]", bad_value, "exclude"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = \"linear\"", not_available, "linear"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = \"xgboost\"", bad_value, "\"boosted-trees\""},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { name = \"command\" }", missing, "needs command"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { command = \"x\" }", bad_value, "only for name"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { name = \"command\", command = \"x\", layers = { a = 1 } }",
       wrong_type, "model.trainer.layers"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { dept = 3 }", unknown_key, "did you mean depth?"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { eta = 0.3 }", unknown_key, "did you mean learning_rate?"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { scale_pos_weight = 3 }", unknown_key,
       "did you mean positive_weight?"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { epochs = 3 }", unknown_key,
       "unknown key model.trainer.epochs"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { grow_policy = \"wild\" }", bad_value, "lossguide"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { positive_weight = \"even\" }", bad_value, "balanced"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { max_bin = 1 }", bad_value, "from 2"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { depth = 3.5 }", wrong_type, "a whole number"},
      {"name = \"a\"", "target = \"rows.y\"\ntrainer = { depth = 0 }", bad_value, "from 1 to 30"},
      {"name = \"a\"", "target = \"rows.y\"\nsplit = { test = \"30d\" }", not_available, "30d"},
      {"name = \"a\"", "target = \"rows.y\"\nsplit = { test = 0.6, validation = 0.4 }", bad_value, "less than a tenth"},
      {"name = \"a\"", "target = \"rows.y\"\nhistory = \"adaptive\"", not_available, "model.history"},
  };
  for (const Case& c : cases) {
    const std::string text =
        std::string("[project]\n") + c.head + "\n[source.rows]\nuri = \"upload\"\n[model]\n" + c.model + "\n";
    const auto found = problems(text);
    ASSERT_EQ(found.size(), 1u) << text << all_texts(found);
    EXPECT_EQ(found[0].kind, c.kind) << text << found[0].text();
    EXPECT_NE(found[0].text().find(c.says), std::string::npos) << text << found[0].text();
  }
}

TEST(Project, ACommandHasParametersOfItsOwn) {
  const auto project = parse_project(testing::by_command);
  ASSERT_TRUE(project) << project.error().message;
  EXPECT_EQ(project->model.trainer.seed, 3);
  EXPECT_EQ(project->model.trainer.parameters,
            (std::map<std::string, std::string>{{"depth", "500"},
                                                {"rate", "0.5"},
                                                {"optimizer", "\"adam\""},
                                                {"fast", "true"},
                                                {"layers", "[64,32]"},
                                                {"odd name", "\"a \\\"quoted\\\" one\""}}));
}

TEST(Project, AllProblemsAtOnceByLine) {
  const auto project = parse_project(
      "[project]\nnam = \"x\"\n[source.a]\nuri = 3\n[privacy]\nsubject = \"x\"\n[model]\ntarget = \"b.y\"\n");
  ASSERT_FALSE(project);
  EXPECT_EQ(project.error().code, Code::invalid_argument);
  const auto found =
      problems("[project]\nnam = \"x\"\n[source.a]\nuri = 3\n[privacy]\nsubject = \"x\"\n[model]\ntarget = \"b.y\"\n");
  ASSERT_EQ(found.size(), 5u) << all_texts(found);  // name missing, nam unknown, uri, privacy, target
  EXPECT_TRUE(std::ranges::is_sorted(found, {}, &Problem::at)) << all_texts(found);
  for (const auto& problem : found) EXPECT_NE(project.error().message.find(problem.text()), std::string::npos);
  EXPECT_EQ(reason(""), "project.missing");
  EXPECT_EQ(reason("[project"), "tree.malformed");
}

TEST(Project, OneProblemShowsItsLine) {
  const auto project = parse_project(std::string(minimal) + "[retrain]\nscedule = \"daily\"\n");
  ASSERT_FALSE(project);
  EXPECT_NE(project.error().message.find("    scedule = \"daily\"\n    ^"), std::string::npos)
      << project.error().message;
}

TEST(Project, JsonOfTheSameShape) {
  const auto tree = parse_toml(testing::everything, "t");
  const auto toml = parse_project(testing::everything, "prod"), json = parse_project_json(render_json(*tree), "prod");
  ASSERT_TRUE(toml && json) << json.error().message;
  EXPECT_EQ(*toml, *json);
  const auto wrong = parse_project_json(
      R"({"project":{"name":"a"},"source":{"s":{"uri":"upload"}},"model":{"target":"s.y"},"retrain":{"scedule":"daily"}})");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason, "project.unknown_key");
  EXPECT_NE(wrong.error().message.find("retrain.scedule"), std::string::npos);
  EXPECT_EQ(wrong.error().message.find("line"), std::string::npos) << wrong.error().message;
  EXPECT_TRUE(parse_project_json(
      R"({"project":{"name":"a"},"source":{"s":{"uri":"upload","key":null}},"model":{"target":"s.y"}})"));
}

TEST(Project, ComparisonsAndRules) {
  EXPECT_EQ(parse_comparison("<= 20ms")->value, 0.02);
  EXPECT_EQ(parse_comparison("<=50MB")->value, 5e7);
  EXPECT_EQ(parse_comparison(">= -0.005")->value, -0.005);
  EXPECT_EQ(parse_comparison("> error")->unit, Comparison::Unit::error);
  EXPECT_EQ(parse_comparison("< -error")->unit, Comparison::Unit::error);
  EXPECT_EQ(parse_comparison("<= 1.5 ms")->value, 0.0015);
  EXPECT_FALSE(parse_comparison(">= 0.5")->holds(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(parse_comparison("!= 0.5")->holds(std::numeric_limits<double>::quiet_NaN()));
  for (const char* wrong :
       {"", ">=", "0.8", "=> 0.8", ">= 0.8 or so", ">= nan", ">= inf", ">= %", "<= 2%%", ">= 1e999"})
    EXPECT_FALSE(parse_comparison(wrong)) << wrong;
}

// Random bytes in valid files: an answer with a place, or a valid project; never a crash.
TEST(Project, MutatedFilesAreAnsweredNotCrashedOn) {
  SeededRng rng(20261120);
  const std::string_view spice = "[]{}=\"'.,#\n\\ \t0x-_:$\xff\xc3\x01";
  int valid = 0, refused = 0;
  for (const std::string_view example :
       {testing::shortest, testing::everything, testing::tabular, testing::images, testing::stream}) {
    for (int round = 0; round < 400; ++round) {
      std::string text(example);
      for (auto n = 1 + rng.below(4); n > 0 && !text.empty(); --n) {
        const auto at = rng.below(text.size());
        switch (rng.below(5)) {
          case 0:
            text[at] = static_cast<char>(rng.below(256));
            break;
          case 1:
            text.insert(at, 1, spice[rng.below(spice.size())]);
            break;
          case 2:
            text.erase(at, 1 + rng.below(8));
            break;
          case 3:
            text.insert(at, text.substr(rng.below(text.size()), rng.below(40)));
            break;
          default:
            text.resize(at);
        }
      }
      const auto project = parse_project(text);
      if (project) {
        ++valid;
        EXPECT_TRUE(parse_project(render_resolved(*project))) << text;
        continue;
      }
      ++refused;
      EXPECT_TRUE(project.error().reason.starts_with("project.") || project.error().reason == "tree.malformed")
          << project.error().reason;
      const bool placed = project.error().message.find("line ") != std::string::npos;
      EXPECT_TRUE(placed || project.error().reason == "project.missing") << project.error().message;
    }
  }
  EXPECT_GT(valid, 10);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace millrace::loop
