// `init`: looks at a data file in a job process and writes a short project file.
#include <algorithm>
#include <format>
#include <regex>

#include "app/local_commands.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/process.hpp"
#include "cli/print.hpp"
#include "data/ingest.hpp"
#include "eval/gates.hpp"
#include "loop/jobs.hpp"
#include "loop/project.hpp"
#include "train/job_files.hpp"

namespace millrace::app {

namespace {

// A name for project and source from a file's: "Customers 2024.csv.gz" -> "customers_2024".
std::string name_of(const std::string& file) {
  auto name = file.substr(file.rfind('/') + 1);
  name = name.substr(0, name.find('.'));
  std::string out;
  for (char c : name) {
    bool word = std::isalnum(static_cast<unsigned char>(c));
    if (word)
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!out.empty() && out.back() != '_')
      out += '_';
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0]))) out = "data" + out;
  return out;
}

std::string absolute(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  std::string out = real ? real : path;
  std::free(real);
  return out;
}

struct ScratchFolder {
  Env& env;
  std::string path;
  ~ScratchFolder() { (void)env.fs.remove_all(path); }
};

Result<data::IngestOutput> look_at_file(const data::IngestInput& input, Env& env) {
  IdMaker ids(env.clock, env.rng);
  const char* tmp = std::getenv("TMPDIR");
  ScratchFolder scratch{env, join_path(tmp && *tmp ? tmp : "/tmp", "millrace-init-" + ids.make().text())};
  TRY_VOID(env.fs.make_dirs(scratch.path));
  train::JobSpec spec{"init",
                      std::string(loop::job_kind::ingest),
                      loop::render_job(loop::ReadJob{"init", input}),
                      "",
                      scratch.path,
                      scratch.path,
                      1,
                      0};
  auto spec_path = join_path(scratch.path, "spec.json");
  TRY_VOID(write_file(env.fs, spec_path, train::render(spec)));
  SystemProcesses processes(env.clock);
  ProcessSpec process;
  process.argv = self_program("millrace-job");
  process.argv.push_back(spec_path);
  process.stdout_path = process.stderr_path = join_path(scratch.path, "output.txt");
  TRY(auto child, processes.spawn(process));
  std::optional<ProcessExit> exit;
  while (!exit && !interrupted()) exit = child->wait(std::chrono::milliseconds(200));
  if (!exit) return fail(Code::cancelled, "app.interrupted", "interrupted; nothing was written");
  if (!exit->ok()) {
    if (auto text = read_file(env.fs, join_path(scratch.path, "failure.json"))) {
      TRY(auto failure, train::parse_failure(*text));
      return fail(Code::invalid_argument, failure.reason, failure.message);
    }
    return fail(Code::internal, "app.job_failed",
                "millrace-job " + describe(*exit, {}) + ": " + read_file(env.fs, process.stdout_path).value_or(""));
  }
  TRY(auto result, read_file(env.fs, join_path(scratch.path, "result.json"), std::uint64_t{1} << 30));
  return data::parse_ingest_output(result);
}

std::string counts_of_types(const data::IngestOutput& output, const std::string& target) {
  std::map<std::string, int> counts;
  for (const auto& column : output.analysis.inference.columns) {
    if (column.name == target) continue;
    ++counts[column.role == "input" ? column.encoding : column.role == "key" ? "key" : "left out"];
  }
  std::string out;
  for (const auto& [what, count] : counts) out += std::format("{}{} {}", out.empty() ? "" : ", ", count, what);
  return out;
}

}  // namespace

Result<cli::Output> init(const cli::InitOptions& options, Env& env) {
  if (exists(env.fs, options.project_file) && !options.force) {
    return fail(Code::already_exists, "app.project_exists",
                std::format("{} is there already; to replace it: --force", options.project_file));
  }
  if (!exists(env.fs, options.file))
    return fail(Code::not_found, "app.no_file", std::format("there is no file {}", options.file));
  auto began = env.clock.steady();
  data::IngestInput input;
  input.path = options.file;
  input.uri = "file:" + options.file;
  input.target = options.target;
  TRY(auto output, look_at_file(input, env));
  const auto& found = output.analysis.inference;
  auto took = std::chrono::duration<double>(env.clock.steady() - began).count();
  if (options.target.empty()) {
    std::string columns;
    for (const auto& field : output.schema) columns += (columns.empty() ? "" : ", ") + field.name;
    return fail(Code::invalid_argument, "cli.no_target",
                std::format("which column is to be predicted? name it with --target; the file has: {}", columns));
  }
  std::string text = std::format("read {} rows, {} columns ({:.1f} s): {}\n", cli::with_thousands(output.analysis.rows),
                                 output.schema.size(), took, counts_of_types(output, options.target));
  text += std::format("task: {} ({})\n", found.task, found.task_why);
  if (!found.positive.empty()) text += std::format("positive class: {} ({})\n", found.positive, found.positive_why);
  text += found.key.empty() ? "key: none found -> rows are told apart by their content\n"
                            : std::format("key: {}{}\n", found.key, found.key_proposed ? " (proposed)" : "");

  loop::InitFacts facts;
  facts.project = facts.source = name_of(options.file);
  // The project file's own folder is where `file:` begins.
  auto folder = parent_path(options.project_file);
  facts.uri = "file:" + (options.file.starts_with('/') || folder == "." ? options.file : absolute(options.file));
  facts.key = found.key;
  facts.target = options.target;
  facts.task = std::format("{}: {}", found.task, found.task_why);
  facts.positive = found.positive;
  bool generated = std::all_of(output.schema.begin(), output.schema.end(), [](const auto& field) {
    return std::regex_match(field.name, std::regex("column_?\\d+"));
  });
  if (generated) {
    facts.header = false;
    for (const auto& field : output.schema) facts.names.push_back(field.name);
  }
  for (const auto& column : found.columns) {
    if (column.role == "left out") {
      facts.excluded.push_back({column.name, column.why});
      text += std::format("left out: {} ({})\n", column.name, column.why);
    }
  }
  for (const auto& leak : found.leaks) {
    auto line =
        std::format("leak suspect: {} alone tells the target; is it known when a prediction is asked for?", leak);
    facts.notes.push_back(line);
    text += line + "\n";
  }
  for (const auto& note : output.notes) text += "note: " + note + "\n";
  for (const auto& note : found.notes) text += "note: " + note + "\n";
  for (auto task : {eval::TaskType::binary, eval::TaskType::multiclass, eval::TaskType::regression}) {
    if (eval::task_name(task) != found.task) continue;
    for (const auto& gate : eval::default_gates(task)) facts.gates.push_back({gate.expression, gate.required, ""});
  }
  auto project = loop::write_init(facts);
  TRY(auto checked, loop::parse_project(project));
  TRY_VOID(write_file(env.fs, options.project_file, project));
  text += std::format("wrote {} ({} lines)\n", options.project_file, std::count(project.begin(), project.end(), '\n'));
  return cli::Output{text};
}

}  // namespace millrace::app
