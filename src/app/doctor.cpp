// `doctor`: what is asked, and how the answer is told. Looking and mending are in doctor_look.cpp and doctor_mend.cpp.
#include "app/doctor.hpp"

#include <format>

#include "app/data_files.hpp"
#include "app/local_commands.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "blob/local.hpp"

namespace millrace::app {

namespace {

struct Report {
  std::vector<std::string> checked;
  std::vector<std::string> mended;  // what --mend did
  std::vector<std::string> warnings;
  std::vector<Finding> findings;
  std::vector<std::string> losses;  // given up earlier
  std::int64_t blobs = 0;
  std::int64_t predictions = 0;
};

struct LastBackup {
  std::string folder;
};

struct KindLine {
  std::string name, pattern, writer, needed_by, harmless;
};

cli::Output kinds(bool as_json) {
  std::vector<KindLine> lines;
  std::string text;
  for (const auto& kind : file_kinds()) {
    lines.push_back({std::string(kind.name), std::string(kind.pattern), std::string(kind.writer),
                     std::string(kind.needed_by), std::string(kind.harmless)});
    text += std::format("{:24} {}\n{:24}   written by  {}\n{:24}   needed by   {}\n", kind.pattern, kind.name, "",
                        kind.writer, "", kind.needed_by);
    if (!kind.harmless.empty()) text += std::format("{:24}   not looked at: {}\n", "", kind.harmless);
  }
  return {as_json ? json::render(lines) + "\n" : text};
}

// The backup folder that was named, or the one that the last backup went to, if it is still one.
Result<std::unique_ptr<Source>> find_source(const cli::DoctorOptions& options, Env& env) {
  auto folder = options.from;
  if (folder.empty()) {
    const auto text = read_file(env.fs, join_path(options.data_dir, "last_backup"), 1u << 16);
    const auto last =
        text ? json::parse_lenient<LastBackup>(*text, "last_backup") : Result<LastBackup>(fail(text.error()));
    if (!last || !exists(env.fs, join_path(last->folder, "format"))) return nullptr;
    folder = last->folder;
  }
  auto all = backup::list(folder, env);
  if (!all && options.from.empty()) return nullptr;
  if (!all) return fail(all.error());
  if (all->empty()) return nullptr;
  auto source = std::make_unique<Source>();
  source->folder = folder;
  source->manifest = std::move(all->front());
  source->option = options.from.empty() ? "" : " --from " + shell_word(folder);
  source->keys = std::make_unique<blob::Keys>(env, blob::KeysFile{join_path(folder, blob::keys_name), std::nullopt});
  TRY(source->blobs, blob::open_local(env, {join_path(folder, "blobs")}));
  return source;
}

std::string text_of(const Report& report) {
  std::string text;
  for (const auto& line : report.mended) text += "mended     " + line + "\n";
  for (const auto& what : report.checked) text += "looked at  " + what + "\n";
  for (const auto& warning : report.warnings) text += "warning    " + warning + "\n";
  for (const auto& loss : report.losses) text += "known loss " + loss + "\n";
  for (const auto& finding : report.findings) {
    text += std::format("BROKEN     {}{}\n  needed by  {}\n  because    {}\n  lost       {}\n",
                        finding.file.empty() ? "" : finding.file + ": ", finding.what, finding.needed_by,
                        finding.problem, finding.lost);
    for (std::size_t i = 0; i < finding.commands.size(); ++i)
      text += std::format("  {}       {}\n", i == 0 ? "mend" : "then", finding.commands[i]);
  }
  return text + std::format("{} blobs, {} predictions: {}\n", report.blobs, report.predictions,
                            report.findings.empty()       ? std::string("nothing to mend")
                            : report.findings.size() == 1 ? std::string("1 problem")
                                                          : std::format("{} problems", report.findings.size()));
}

}  // namespace

std::string data_dir_option(const cli::DoctorOptions& options) {
  return options.data_dir == cli::DoctorOptions{}.data_dir ? "" : " --data-dir " + shell_word(options.data_dir);
}

Result<cli::Output> doctor(const cli::DoctorOptions& options, const std::string& version, Env& env) {
  if (options.kinds) return kinds(options.json);
  const bool known = exists(env.fs, join_path(options.data_dir, "format")) ||
                     exists(env.fs, join_path(options.data_dir, "meta.db")) ||
                     exists(env.fs, join_path(options.data_dir, "blobs"));
  if (!known) {
    return fail(Code::not_found, "cli.no_folder",
                std::format("{} is no data folder of Millrace; name one with --data-dir", options.data_dir));
  }
  if (!options.chaos.empty()) return chaos(options, version, env);
  TRY(const auto source, find_source(options, env));
  Report report;
  TRY(auto look, look_at_folder(options, source.get(), env));
  if (options.mend || !options.give_up.empty()) {
    if (!look.alone && !look.findings.empty()) {
      return fail(Code::failed_precondition, "meta.folder_locked",
                  "a server has " + options.data_dir + "; stop it before mending: millrace down");
    }
    // What is mended may show what was behind it: once more, and then it is said.
    constexpr int rounds = 2;
    for (int round = 0; round < rounds && !look.findings.empty(); ++round) {
      TRY(auto done, mend_folder(options, look, source.get(), env));
      if (done.empty()) break;
      report.mended.insert(report.mended.end(), done.begin(), done.end());
      TRY(look, look_at_folder(options, source.get(), env));
    }
  }
  report.checked = std::move(look.checked);
  report.warnings = std::move(look.warnings);
  report.losses = std::move(look.losses);
  report.blobs = look.blobs;
  report.predictions = look.predictions;
  for (auto& planned : look.findings) report.findings.push_back(std::move(planned.finding));
  const int exit_code = report.findings.empty() ? 0 : 1;
  return cli::Output{options.json ? json::render(report) + "\n" : text_of(report), exit_code};
}

}  // namespace millrace::app
