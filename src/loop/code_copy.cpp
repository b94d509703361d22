#include "loop/code_copy.hpp"

#include <format>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace millrace::loop {

namespace {

constexpr Duration deadline = std::chrono::seconds(4);
constexpr std::uint64_t diff_bytes_max = 16u << 20;

struct Ran {
  ProcessExit exit;
  std::string said;  // the end of what it printed to stderr
};

// Runs git in `folder` with its output in `out`.
Result<Ran> git(Env& env, Processes& processes, const std::string& folder, const std::string& out,
                std::vector<std::string> arguments) {
  // What a folder's own configuration could make it start is switched off.
  ProcessSpec spec{.argv = {"git", "-C", folder, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
                            "--no-pager", "--no-optional-locks"},
                   .env = {{"GIT_TERMINAL_PROMPT", "0"}, {"LC_ALL", "C"}},
                   .stdout_path = out,
                   .stderr_path = out + ".err",
                   .limits = {.wall_max = deadline},
                   .grace = std::chrono::milliseconds(200)};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  for (const auto& path : {spec.stdout_path, spec.stderr_path}) TRY_VOID(env.fs.remove_all(path));
  TRY(auto process, processes.spawn(spec));
  auto exit = process->wait(deadline + std::chrono::seconds(2));
  if (!exit) {
    process->kill();
    exit = process->wait(std::chrono::seconds(1));
  }
  Ran ran{exit.value_or(ProcessExit{}), ""};
  if (auto said = read_file(env.fs, spec.stderr_path)) ran.said = std::string(last_lines(printable(*said), 300));
  if (ran.exit.cause != ProcessExit::Cause::exited && ran.said.empty()) ran.said = describe(ran.exit, spec.limits);
  return ran;
}

Result<void> look(Env& env, blob::Store& blobs, Processes& processes, const std::string& folder, const std::string& out,
                  CodeCopy& copy) {
  TRY(const auto head, git(env, processes, folder, out, {"rev-parse", "--verify", "HEAD"}));
  if (!head.exit.ok()) {
    // Most folders are none; one without a commit, or of somebody else, is worth a word.
    if (!head.said.contains("not a git repository")) copy.git_note = head.said;
    return {};
  }
  TRY(auto commit, read_file(env.fs, out));
  while (commit.ends_with('\n')) commit.pop_back();
  copy.git_commit = printable(commit);
  TRY(const auto diff,
      git(env, processes, folder, out, {"diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "HEAD"}));
  if (!diff.exit.ok()) {
    copy.git_note = "no diff: " + diff.said;
    return {};
  }
  TRY(const auto info, env.fs.info(out));
  copy.git_diff_bytes = static_cast<std::int64_t>(info.size);
  if (info.size == 0) return {};
  if (info.size > diff_bytes_max) {
    copy.git_note = std::format("the diff of {} is not kept; up to 16 MB are", format_size(copy.git_diff_bytes));
    return {};
  }
  TRY(const auto text, read_file(env.fs, out, diff_bytes_max));
  TRY(const auto kept, blobs.put(text));
  copy.git_diff = kept.digest.hex();
  return {};
}

}  // namespace

void copy_git(Env& env, blob::Store& blobs, Processes& processes, const std::string& folder, const std::string& scratch,
              CodeCopy& copy) {
  if (!find_program("git")) return;
  const auto out = join_path(scratch, "git-diff");
  if (auto made = env.fs.make_dirs(scratch); !made) {
    copy.git_note = made.error().message;
    return;
  }
  if (auto looked = look(env, blobs, processes, folder, out, copy); !looked) copy.git_note = looked.error().message;
  (void)env.fs.remove_all(scratch);
}

Result<CodeCopy> copy_project(blob::Store& blobs, std::string_view text, const Project& project) {
  CodeCopy copy;
  TRY(const auto file, blobs.put(text));
  copy.project_file = file.digest.hex();
  TRY_VOID(blobs.put(render_resolved(project)));
  return copy;
}

}  // namespace millrace::loop
