// schema, explain, doctor.
#include "app/local_commands.hpp"

#include <format>

#include "api/native/map.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "blob/local.hpp"
#include "cli/print.hpp"
#include "data/infer.hpp"
#include "loop/project.hpp"
#include "loop/service.hpp"
#include "meta/sqlite.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::app {

Result<cli::Output> schema() { return cli::Output{loop::json_schema() + "\n"}; }

Result<cli::Output> explain(const std::string& project_file, bool loop, bool json, Env& env) {
  if (!loop) {
    auto text = loop::explain_keys();
    text += "\nHow a data file is read (what init and up find out by themselves):\n";
    for (const auto& rule : data::inference_rules()) text += std::format("  {:16} {}\n", rule.about, rule.rule);
    return cli::Output{text};
  }
  TRY(auto text, read_file(env.fs, project_file));
  TRY(auto project, loop::parse_project(text, {}, project_file));
  auto answer = api::loop_of(project);
  if (json) return cli::Output{api::render(answer) + "\n"};
  cli::Table table({"step", "how", "rule"});
  for (const auto& step : answer.steps) table.add({step.step, step.how, step.rule});
  return cli::Output{table.text()};
}

Result<cli::Output> doctor(const cli::DoctorOptions& options, Env& env) {
  if (!exists(env.fs, options.data_dir))
    return fail(Code::not_found, "cli.no_folder", std::format("there is no folder {}", options.data_dir));
  std::string text;
  int problems = 0;
  auto check = [&](const std::string& what, const Result<void>& found) {
    if (found) {
      text += "ok      " + what + "\n";
    } else {
      ++problems;
      text += std::format("BROKEN  {}\n        {}\n", what, found.error().message);
    }
  };
  InlineExecutor inline_executor;
  auto migrations = loop::all_migrations();
  TRY(auto store, meta::open_sqlite(env, {.folder = options.data_dir}, inline_executor, migrations));
  check("metadata", store->verify());
  TRY(auto blobs, blob::open_local(env, {join_path(options.data_dir, "blobs")}));
  std::int64_t count = 0;
  check("blobs: every digest matches", [&]() -> Result<void> {
    TRY(auto list, blobs->list());
    for (const auto& one : list) {
      TRY(auto verified, blobs->verify(one.digest));
      (void)verified;
      ++count;
    }
    return {};
  }());
  check("references: every dataset part and every artifact is there",
        store->read([&](meta::Reader& reader) -> Result<void> {
          TRY(auto parts,
              reader.query(
                  "SELECT digest FROM data_parts UNION SELECT artifact FROM registry_versions WHERE bytes_kept = 1"));
          for (const auto& row : parts) {
            TRY(auto digest, Digest::parse(row.text(0)));
            TRY(auto info, blobs->stat(digest));
            (void)info;
          }
          return {};
        }));
  serve::LogReadStats stats;
  check("prediction log", [&]() -> Result<void> {
    TRY(stats, serve::read_prediction_log(env.fs, join_path(options.data_dir, "log"),
                                          [](const auto&, auto&&) -> Result<void> { return {}; }));
    if (stats.damaged > 0)
      return fail(Code::data_loss, "serve.log_corrupt",
                  std::format("{} damaged places; the lines around them are whole", stats.damaged));
    return {};
  }());
  text += std::format("{} blobs, {} predictions in {} segments: {}\n", count, stats.lines, stats.segments,
                      problems == 0 ? "nothing to mend" : std::format("{} problems", problems));
  return cli::Output{text, problems == 0 ? 0 : 1};
}

}  // namespace millrace::app
