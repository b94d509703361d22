#include <gtest/gtest.h>

#include <cmath>

#include "base/process.hpp"
#include "base/testing/env.hpp"
#include "base/text.hpp"
#include "base/tree.hpp"
#include "blob/testing/memory.hpp"
#include "model/artifact.hpp"
#include "model/loaded.hpp"
#include "model/testing/models.hpp"
#include "train/command_files.hpp"
#include "train/command_reports_internal.hpp"
#include "train/testing/memory_data.hpp"

namespace millrace::train {
namespace {

using table::Type;

class CommandTest : public ::testing::Test {
 protected:
  CommandTest() {
    for (int i = 0; i < 60; ++i) {
      rows_.push_back({i % 9 == 0 ? table::Value() : table::Value(i * 0.5), std::string(i % 3 ? "a" : "b"),
                       std::string(i % 2 ? "yes" : "no"), i * 2.0});
    }
    for (int i = 0; i < 60; ++i) validation_.push_back(i % 4 == 0);
  }

  TrainInput input(const std::string& line, const std::string& task = "binary") {
    TrainInput in{.name = "m", .trainer = "command", .task = task, .target = task == "binary" ? "kind" : "value"};
    in.inputs = {{.name = "x", .fill = 0}, {.name = "color", .unseen = "other"}};
    in.parameters = {{"anything", "\"goes\""}, {"depth", "8"}};
    in.command = {.line = line,
                  .folder = env_.dir,
                  .environment = {{"MODEL", env_.path("given.model")}, {"KEPT", env_.path("kept.parquet")}}};
    return in;
  }

  Result<TrainOutput> run(const TrainInput& in, std::function<bool()> cancelled = {}) {
    testing::MemoryData data(
        {{{"x", Type::float64}, {"color", Type::text}, {"kind", Type::text}, {"value", Type::float64}}}, rows_,
        validation_, 7);
    testing::MemoryLog log;
    Task task{.env = env_.env,
              .scratch_dir = env_.path("scratch"),
              .progress =
                  [this](const TaskProgress& p) {
                    notes_.push_back(p.note);
                    progress_.push_back(p);
                  },
              .cancelled = std::move(cancelled)};
    EXPECT_TRUE(env_.env.fs.make_dirs(task.scratch_dir));
    auto trainer = make_trainer(in.trainer, {.processes = &processes_});
    EXPECT_TRUE(trainer);
    return (*trainer)->train(in, data, log, task);
  }

  void give(std::string_view model) { ASSERT_TRUE(write_file(env_.env.fs, env_.path("given.model"), model)); }

  TestEnv env_;
  SystemClock clock_;
  SystemProcesses processes_{clock_};
  std::vector<table::Row> rows_;
  std::vector<bool> validation_;
  std::vector<std::string> notes_;
  std::vector<TaskProgress> progress_;
};

TEST_F(CommandTest, AnOnnxModelBecomesAnArtifact) {
  auto in = input("cp \"$MODEL\" \"$MILLRACE_OUTPUT\" && cp \"$MILLRACE_TRAIN_DATA\" \"$KEPT\"", "regression");
  in.inputs.pop_back();  // a category may be missing, which a linear model can't take
  give(model::testing::linear_onnx(1, {2}, {1}, false, "y"));
  auto out = run(in);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(45, out->facts.rows);
  EXPECT_EQ(15, out->facts.validation_rows);
  auto loaded = model::LoadedModel::load(out->artifact);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ("onnx", (*loaded)->manifest().engine.name);
  EXPECT_EQ("\"goes\"", (*loaded)->manifest().provenance.parameters.at("anything"));
  model::EncodeStats stats;
  auto answers = (*loaded)->predict({{3.0}, {table::Value()}}, stats);
  ASSERT_TRUE(answers);
  EXPECT_EQ(7, answers->at(0).score);
  EXPECT_EQ(1, answers->at(1).score);

  auto file = env_.env.fs.open_read(env_.path("kept.parquet"));
  ASSERT_TRUE(file);
  auto reader = table::open_parquet(std::shared_ptr<const ReadableFile>(std::move(*file)));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((table::Schema{{{"x", Type::float64}, {"value", Type::float64}}}), (*reader)->schema());
  auto batches = table::collect(**reader);
  ASSERT_TRUE(batches);
  std::int64_t rows = 0;
  for (const auto& batch : *batches) rows += batch.rows();
  EXPECT_EQ(45, rows);
  EXPECT_EQ((table::Row{0.5, 2.0}), batches->at(0).row(0)) << "row 0 is for validation";
}

TEST_F(CommandTest, ItsParametersAreInAFile) {
  auto out = run(input("cp \"$MILLRACE_PARAMS\" \"$KEPT\"; test -s \"$MILLRACE_VALID_DATA\" && exit 7"));
  ASSERT_FALSE(out);
  EXPECT_NE(std::string::npos, out.error().message.find('7')) << out.error().message;
  auto text = read_file(env_.env.fs, env_.path("kept.parquet"));
  ASSERT_TRUE(text);
  auto tree = parse_json_tree(*text, "params");
  ASSERT_TRUE(tree) << *text;
  EXPECT_EQ(1, tree->find("format")->as_integer());
  EXPECT_EQ("color", tree->find("features")->items().at(1).as_text());
  EXPECT_EQ("yes", tree->find("classes")->items().at(1).as_text());
  EXPECT_EQ("goes", tree->find_path({"parameters", "anything"})->as_text());
  EXPECT_EQ(8, tree->find_path({"parameters", "depth"})->as_integer()) << "a number stays a number";
}

TEST_F(CommandTest, TreesMustFitTheTask) {
  for (const auto kind : {model::TaskType::regression, model::TaskType::binary}) {
    auto sample = model::testing::sample_artifact(kind);
    ASSERT_TRUE(sample);
    give(model::read_artifact(*sample)->engine_file);
    auto out = run(input("cp \"$MODEL\" \"$MILLRACE_OUTPUT\""));
    ASSERT_FALSE(out) << "twelve features, or another objective";
    EXPECT_EQ("train.bad_output", out.error().reason);
  }
}

TEST_F(CommandTest, FailuresSayWhatItPrinted) {
  auto out = run(input("echo reading; echo 'ValueError: no such column' >&2; exit 3"));
  ASSERT_FALSE(out);
  EXPECT_EQ("train.command_failed", out.error().reason);
  EXPECT_NE(std::string::npos, out.error().message.find("ValueError: no such column")) << out.error().message;
  EXPECT_NE(std::string::npos, out.error().message.find("3")) << out.error().message;

  out = run(input("true"));
  ASSERT_FALSE(out);
  EXPECT_EQ("train.no_output", out.error().reason);

  out = run(input("echo nonsense > \"$MILLRACE_OUTPUT\""));
  ASSERT_FALSE(out);
  EXPECT_EQ("train.bad_output", out.error().reason);
  out = run(input("mkdir \"$MILLRACE_OUTPUT\""));
  ASSERT_FALSE(out);
  EXPECT_EQ("train.bad_output", out.error().reason);
  out = run(input("true"));
  ASSERT_FALSE(out) << "what an earlier attempt wrote is not taken";
  EXPECT_EQ("train.no_output", out.error().reason);

  out = run(input("printf 'half \\377\\000\\033[31m\\001 line'; exit 4"));
  ASSERT_FALSE(out);
  EXPECT_EQ(printable(out.error().message), out.error().message) << "whatever it printed";
  EXPECT_NE(std::string::npos, out.error().message.find("half")) << out.error().message;

  out = run(input(""));
  ASSERT_FALSE(out);
  EXPECT_EQ("train.no_command", out.error().reason);
}

TEST_F(CommandTest, LimitsAndCancellingEndIt) {
  auto in = input("echo working; sleep 100");
  in.command.seconds_max = 0.3;
  auto out = run(in);
  ASSERT_FALSE(out);
  EXPECT_EQ(Code::deadline_exceeded, out.error().code);
  EXPECT_EQ("train.command_failed", out.error().reason);

  // Cancelled once its output was seen, which is also what progress shows.
  out = run(input("echo working; sleep 100"), [this] { return !notes_.empty() && notes_.back() == "working"; });
  ASSERT_FALSE(out);
  EXPECT_EQ(Code::cancelled, out.error().code);
  EXPECT_EQ("train.cancelled", out.error().reason);
}

TEST_F(CommandTest, ItReportsHowFarItIs) {
  auto out =
      run(input("echo '{\"step\":1,\"metrics\":{\"loss\":0.5}}' >> \"$MILLRACE_PROGRESS\"; echo not json >> "
                "\"$MILLRACE_PROGRESS\"; printf '{\"step\":2,\"done\":0.25,\"metrics\":{\"loss\":0.25}}\\n{\"st' >> "
                "\"$MILLRACE_PROGRESS\"; exit 1"));
  ASSERT_FALSE(out);
  std::vector<double> losses;
  for (const auto& step : progress_)
    for (const auto& [name, value] : step.metrics)
      if (name == "loss") losses.push_back(value);
  ASSERT_GE(losses.size(), 2u);
  EXPECT_EQ(0.5, losses.front());
  EXPECT_EQ(0.25, losses.back());
}

TEST(CommandReport, Table) {
  const auto full = parse_report(R"({"step":3,"done":0.5,"metrics":{"auc":0.9,"b":1},"note":"x","other":[1]})");
  ASSERT_TRUE(full);
  EXPECT_EQ(3, full->step);
  EXPECT_EQ(0.5, full->done);
  EXPECT_EQ((std::vector<std::pair<std::string, double>>{{"auc", 0.9}, {"b", 1}}), full->metrics);
  EXPECT_EQ("x", full->note);
  EXPECT_TRUE(parse_report("{}"));
  EXPECT_EQ(-1, parse_report(R"({"done":7})")->done);
  for (const char* line : {"", "7", "{", R"({"step":"x"})", R"({"step":-1})", R"({"metrics":{"a":NaN}})"})
    EXPECT_FALSE(parse_report(line)) << line;
}

TEST(CommandWords, QuotesAndSeparators) {
  EXPECT_EQ((std::vector<std::string>{"python", "my step.py", "--n=3"}), command_words("python 'my step.py' --n=3"));
  EXPECT_EQ((std::vector<std::string>{"a", "b c", "d\"e", ""}), command_words(R"(a "b c";d\"e ''|)"));
  EXPECT_TRUE(command_words("  ").empty());
}

TEST_F(CommandTest, FilesOfTheCommandAreKept) {
  blob::MemoryStore blobs(clock_);
  Fs& fs = env_.env.fs;
  ASSERT_TRUE(fs.make_dirs(env_.path("steps")));
  ASSERT_TRUE(write_file(fs, env_.path("steps/train.py"), "print(1)\n"));
  ASSERT_TRUE(write_file(fs, env_.path("my config.toml"), "a = 1\n"));
  const std::string line = "python steps/train.py --config 'my config.toml' steps/train.py steps nothing.py";
  auto files = keep_command_files(fs, blobs, env_.dir, line);
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(2u, files->size());
  EXPECT_EQ((CommandFile{"steps/train.py", sha256("print(1)\n").hex(), 9}), files->at(0));
  EXPECT_EQ("my config.toml", files->at(1).path);
  EXPECT_EQ("print(1)\n", blobs.read(sha256("print(1)\n"), 100).value());
  const std::string before = command_digest(line, *files);
  ASSERT_TRUE(write_file(fs, env_.path("steps/train.py"), "print(2)\n"));
  EXPECT_NE(before, command_digest(line, *keep_command_files(fs, blobs, env_.dir, line)));

  // A line in a line, a module, and folders that are named besides.
  ASSERT_TRUE(fs.make_dirs(env_.path("lib/deep")));
  ASSERT_TRUE(write_file(fs, env_.path("lib/deep/a.py"), "a\n"));
  ASSERT_TRUE(write_file(fs, env_.path("lib/.hidden"), "h\n"));
  auto more =
      keep_command_files(fs, blobs, env_.dir, "sh -c 'cd . && python -m steps.train'", {"lib", "my config.toml"});
  ASSERT_TRUE(more) << more.error().message;
  std::vector<std::string> paths;
  for (const auto& file : *more) paths.push_back(file.path);
  EXPECT_EQ((std::vector<std::string>{"steps/train.py", "lib/deep/a.py", "my config.toml"}), paths);
  EXPECT_EQ("train.missing_file", keep_command_files(fs, blobs, env_.dir, "true", {"li"}).error().reason);
}

TEST_F(CommandTest, WhatWasKeptIsWhatRuns) {
  blob::MemoryStore blobs(clock_);
  Fs& fs = env_.env.fs;
  ASSERT_TRUE(fs.make_dirs(env_.path("project/steps")));
  ASSERT_TRUE(write_file(fs, env_.path("project/steps/train.sh"), "echo one\n"));
  ASSERT_TRUE(write_file(fs, env_.path("outside"), "1\n"));
  const std::string line = "steps/train.sh " + env_.path("outside");
  const auto folder = env_.path("project"), copies = env_.path("copies");
  const auto files = *keep_command_files(fs, blobs, folder, line);
  ASSERT_EQ(2u, files.size());
  auto place = place_command_files(fs, blobs, folder, copies, files);
  ASSERT_TRUE(place);
  EXPECT_EQ(folder, place->folder);
  EXPECT_EQ("", place->before + place->changed);

  ASSERT_TRUE(write_file(fs, env_.path("project/steps/train.sh"), "echo two\n"));
  place = place_command_files(fs, blobs, folder, copies, files);
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(copies, place->folder);
  EXPECT_EQ("steps/train.sh", place->changed);
  EXPECT_EQ("echo one\n", read_file(fs, copies + "/steps/train.sh").value_or(""));

  ASSERT_TRUE(fs.remove_all(folder));  // another machine
  EXPECT_EQ(copies, place_command_files(fs, blobs, folder, copies, files)->folder);
  EXPECT_EQ(copies, place_command_files(fs, blobs, folder, copies, {})->folder);
  ASSERT_TRUE(write_file(fs, env_.path("outside"), "2\n"));
  EXPECT_EQ("train.file_changed", place_command_files(fs, blobs, folder, copies, files).error().reason);
}

TEST(CommandNeeds, OnlyWhatIsSure) {
  using Needs = std::vector<CommandNeed>;
  const std::pair<const char*, Needs> cases[] = {
      {"python3 train.py --n 3", {{"python3", true}, {"train.py", false}}},
      {"./train.sh 'a b'", {{"./train.sh", true}}},
      {"Rscript fit.R", {{"Rscript", true}, {"fit.R", false}}},
      {"python3 -m train", {{"python3", true}}},
      {"python3 -O train.py", {{"python3", true}}},
      {"make model", {{"make", true}}},
      {"", {}},
      {"cd x && python3 train.py", {}},
      {"X=1 python3 train.py", {}},
      {"exec python3 train.py", {}},
      {"python3 $SCRIPT", {}},
      {"python3 *.py", {}},
      {"test -s x", {}},
  };
  for (const auto& [line, needs] : cases) EXPECT_EQ(needs, command_needs(line)) << line;
}

TEST_F(CommandTest, WhatIsMissingIsToldBefore) {
  Fs& fs = env_.env.fs;
  ASSERT_TRUE(write_file(fs, env_.path("train.py"), "1\n"));
  EXPECT_TRUE(check_command(fs, env_.dir, "sh train.py"));
  const auto reason = [&](std::string_view line, std::vector<std::string> more = {}) {
    const auto checked = check_command(fs, env_.dir, line, more);
    return checked ? std::string() : checked.error().reason;
  };
  EXPECT_EQ("train.missing_file", reason("sh trian.py"));
  EXPECT_NE(std::string::npos,
            check_command(fs, env_.dir, "sh trian.py").error().message.find("did you mean train.py"));
  EXPECT_EQ("train.missing_program", reason("no-such-program train.py"));
  EXPECT_EQ("train.missing_program", reason("./train.py")) << "not executable";
  EXPECT_EQ("train.missing_file", reason("./no.py"));
  EXPECT_EQ("train.missing_file", reason("true", {"lib"}));
  EXPECT_EQ("", reason("no-such-program || true"));
}

}  // namespace
}  // namespace millrace::train
