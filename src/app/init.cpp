// `init`: looks at a data file in a job process and writes a short project file.
#include <algorithm>
#include <format>

#include "app/local_commands.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "cli/print.hpp"
#include "data/infer.hpp"
#include "data/ingest.hpp"
#include "eval/gates.hpp"
#include "loop/jobs.hpp"
#include "loop/project.hpp"
#include "table/value.hpp"
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

// What each column is and becomes; of a wide table the first ones.
std::string columns_table(const data::IngestOutput& output) {
  constexpr std::size_t shown_max = 60;
  constexpr std::size_t why_max = 60;
  const auto& columns = output.analysis.inference.columns;
  cli::Table table({"  column", "type", "values", "nulls", "use", "why"}, {false, false, true, true});
  for (std::size_t i = 0; i < std::min(columns.size(), shown_max); ++i) {
    const auto& profile = output.analysis.columns[i];
    table.add({"  " + table::excerpt(columns[i].name, 40), columns[i].type, with_thousands(profile.distinct),
               with_thousands(profile.nulls), columns[i].role, table::excerpt(columns[i].why, why_max)});
  }
  return table.text() +
         (columns.size() > shown_max ? std::format("  and {} more\n", columns.size() - shown_max) : std::string());
}

std::string listed(const std::vector<data::ColumnField>& schema) {
  constexpr std::size_t shown_max = 60;
  std::string out;
  for (std::size_t i = 0; i < std::min(schema.size(), shown_max); ++i)
    out += (out.empty() ? "" : ", ") + table::excerpt(schema[i].name, 40);
  return out + (schema.size() > shown_max ? std::format(" and {} more", schema.size() - shown_max) : "");
}

}  // namespace

Result<cli::Output> init(const cli::InitOptions& options, Env& env) {
  if (exists(env.fs, options.project_file) && !options.force) {
    return fail(Code::already_exists, "app.project_exists",
                std::format("{} is there already; use it with: millrace up; to replace it: millrace init --force",
                            options.project_file));
  }
  if (!exists(env.fs, options.file))
    return fail(Code::not_found, "app.no_file",
                std::format("there is no file {}; name a CSV or Parquet file, plain or gzip", options.file));
  auto began = env.clock.steady();
  data::IngestInput input;
  input.path = options.file;
  input.uri = "file:" + options.file;
  input.target = options.target;
  auto looked = look_at_file(input, env);
  if (!looked && looked.error().reason == "table.not_utf8") {
    input.csv.encoding = "latin1";
    looked = look_at_file(input, env);
  }
  if (!looked) {
    auto error = std::move(looked).error();
    if (!error.message.contains(options.file)) error.message = options.file + ": " + error.message;
    return std::unexpected(std::move(error));
  }
  const auto& output = *looked;
  const auto& found = output.analysis.inference;
  auto took = std::chrono::duration<double>(env.clock.steady() - began).count();
  if (options.target.empty()) {
    return fail(Code::invalid_argument, "cli.no_target",
                std::format("which column is to be predicted? name it with --target; {} has: {}", options.file,
                            listed(output.schema)));
  }
  if (std::ranges::none_of(found.columns, [](const auto& column) { return column.role == "input"; })) {
    return fail(
        Code::invalid_argument, "app.no_inputs",
        std::format("{}: no column besides the target can be learned from:\n{}", options.file, columns_table(output)));
  }
  const auto lines = data::describe(output.analysis);
  std::string text = std::format("read {} ({:.1f} s)\n", lines.front(), took);
  for (const auto& line : lines) {
    if (!line.starts_with("note: ") && &line != lines.data()) text += line + "\n";
  }
  if (found.key.empty()) text += "no key found: rows are told apart by their content\n";
  text += columns_table(output);

  loop::InitFacts facts;
  facts.project = facts.source = name_of(options.file);
  // The project file's own folder is where `file:` begins.
  auto folder = parent_path(options.project_file);
  facts.uri = "file:" + (options.file.starts_with('/') || folder == "." ? options.file : absolute(options.file));
  facts.key = found.key;
  facts.target = options.target;
  facts.task = std::format("{}: {}", found.task, found.task_why);
  facts.positive = found.positive;
  if (output.header == false) {
    facts.header = false;
    for (const auto& field : output.schema) facts.names.push_back(field.name);
  }
  facts.encoding = input.csv.encoding;
  if (!input.csv.encoding.empty())
    text += "note: the file is not UTF-8: read as Latin-1 (`encoding` in the project file)\n";
  for (const auto& column : found.columns) {
    if (column.role == "left out") {
      facts.excluded.push_back({column.name, column.why});
    }
  }
  for (const auto& leak : found.leaks) {
    facts.notes.push_back(
        std::format("leak suspect: {} alone tells the target; is it known when a prediction is asked for?", leak));
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
