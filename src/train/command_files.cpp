#include "train/command_files.hpp"

#include <algorithm>
#include <format>
#include <utility>

#include "base/digest.hpp"
#include "base/nearest.hpp"
#include "base/process.hpp"

namespace millrace::train {
namespace {

constexpr std::uint64_t kBytesMax = 64'000'000, kAllBytesMax = 256'000'000;
constexpr std::size_t kFilesMax = 1'000;

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

bool starts_with_one_of(std::string_view word, std::initializer_list<std::string_view> starts) {
  return std::ranges::any_of(starts, [&](std::string_view start) { return word.starts_with(start); });
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// "python3.13", "Rscript", ...: what takes a script as its first argument that is no option.
bool is_interpreter(std::string_view program) {
  return starts_with_one_of(last_part(program), {"python", "pypy"}) ||
         is_one_of(last_part(program), {"Rscript", "julia", "node", "ruby", "perl", "bash", "sh", "dash", "zsh"});
}

}  // namespace

std::vector<std::string> command_words(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else if (quote == '"' && c == '\\' && i + 1 < line.size()) {
        word += line[++i];
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      inside = true;
    } else if (c == '\\' && i + 1 < line.size()) {
      word += line[++i];
      inside = true;
    } else if (std::string_view(" \t\n;|&<>()").find(c) != std::string_view::npos) {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (inside) words.push_back(std::move(word));
  return words;
}

std::vector<CommandNeed> command_needs(std::string_view line) {
  // Anything that the shell does more than split decides at run time.
  if (line.find_first_of(";|&<>()$`*?[]{}~#\n") != line.npos) return {};
  const auto words = command_words(line);
  std::size_t at = 0;
  while (at < words.size() && words[at].find('=') != std::string::npos && words[at].find('/') > words[at].find('='))
    ++at;
  if (at > 0 || words.empty()) return {};  // an assignment may change PATH
  const auto& program = words[0];
  if (is_one_of(program, {"exec", "command", "env",   "nice",  "time", "timeout", "cd",     "test",
                          "echo", "printf",  "true",  "false", "exit", "set",     "export", "eval",
                          "trap", "ulimit",  "umask", "wait",  "read", "unset",   "."})) {
    return {};
  }
  std::vector<CommandNeed> needs = {{program, true}};
  if (!is_interpreter(program) || words.size() < 2) return needs;
  // Its options may take arguments, so that only a script at once is sure to be one.
  if (!words[1].starts_with('-')) needs.push_back({words[1], false});
  return needs;
}

namespace {

std::string path_of(const std::string& folder, const std::string& word) {
  return word.starts_with('/') ? word : join_path(folder, word);
}

bool is_file(Fs& fs, const std::string& path) {
  if (path.starts_with("/dev/") || path.starts_with("/proc/")) return false;
  const auto info = fs.info(path);
  return info && !info->is_dir;
}

std::unexpected<Error> missing_file(Fs& fs, const std::string& folder, const std::string& name, std::string_view says) {
  std::vector<std::string> there;
  const auto path = path_of(folder, name);
  if (auto entries = fs.list(parent_path(path)))
    for (const auto& entry : *entries)
      if (!entry.is_dir) there.push_back(entry.name);
  const auto meant = nearest(last_part(path), there);
  return fail(Code::invalid_argument, "train.missing_file",
              std::format("{} {}, but there is no file {}{}", says, name, path,
                          meant.empty() ? "" : "; did you mean " + meant + "?"));
}

// Keeps files, each once, within the bounds.
class Keeper {
 public:
  Keeper(Fs& fs, blob::Store& blobs, const std::string& folder) : fs_(fs), blobs_(blobs), folder_(folder) {}

  bool has(const std::string& word) const { return std::ranges::find(files, word, &CommandFile::path) != files.end(); }

  Result<void> keep(const std::string& word) {
    if (has(word)) return {};
    const auto path = path_of(folder_, word);
    TRY(const auto info, fs_.info(path));
    all_ += info.size;
    if (info.size > kBytesMax || all_ > kAllBytesMax) {
      return fail(Code::resource_exhausted, "train.file_too_large",
                  std::format("the command names {} of {}; files up to 64 MB are kept, 256 MB in all: name data in a "
                              "source instead",
                              path, format_size(static_cast<long long>(info.size))));
    }
    if (files.size() >= kFilesMax) {
      return fail(Code::resource_exhausted, "train.too_many_files",
                  std::format("the command names more than {} files; {} is one too many", kFilesMax, path));
    }
    TRY(const auto content, read_file(fs_, path, kBytesMax));
    TRY(const auto kept, blobs_.put(content));
    files.push_back({word, kept.digest.hex(), kept.size});
    return {};
  }

  // A file, or all files of a folder.
  Result<void> keep_all(const std::string& word, int depth) {
    TRY(const auto info, fs_.info(path_of(folder_, word)));
    if (!info.is_dir) return keep(word);
    if (depth > 16) return {};
    TRY(const auto entries, fs_.list(path_of(folder_, word)));
    for (const auto& entry : entries)
      if (!entry.name.starts_with('.') && entry.name != "__pycache__")
        TRY_VOID(keep_all(join_path(word, entry.name), depth + 1));
    return {};
  }

  std::vector<CommandFile> files;

 private:
  Fs& fs_;
  blob::Store& blobs_;
  const std::string& folder_;
  std::uint64_t all_ = 0;
};

std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

Result<void> check_command(Fs& fs, const std::string& folder, std::string_view line,
                           const std::vector<std::string>& more) {
  for (const auto& need : command_needs(line)) {
    if (!need.program) {
      if (!is_file(fs, path_of(folder, need.name))) return missing_file(fs, folder, need.name, "the command runs");
      continue;
    }
    const bool path = need.name.contains('/');
    if (path && !is_file(fs, path_of(folder, need.name)))
      return missing_file(fs, folder, need.name, "the command runs");
    if (auto found = find_program(path ? path_of(folder, need.name) : need.name); !found) {
      return fail(
          Code::invalid_argument, "train.missing_program",
          std::format("the command begins with {}, which can't be started: {}", need.name, found.error().message));
    }
  }
  for (const auto& name : more)
    if (!exists(fs, path_of(folder, name))) return missing_file(fs, folder, name, "model.trainer.files names");
  return {};
}

Result<std::vector<CommandFile>> keep_command_files(Fs& fs, blob::Store& blobs, const std::string& folder,
                                                    std::string_view line, const std::vector<std::string>& more) {
  Keeper keeper(fs, blobs, folder);
  bool module = false;
  auto words = command_words(line);
  // A program of the machine is found through its path instead of PATH; it is no code of the project.
  if (!words.empty() && words[0].starts_with('/') && !words[0].starts_with(folder + "/")) words.erase(words.begin());
  for (std::size_t at = 0; at < words.size() && at < kFilesMax; ++at) {
    auto word = words[at];
    if (std::exchange(module, word == "-m") && !word.empty()) {
      std::ranges::replace(word, '.', '/');
      if (is_file(fs, path_of(folder, word + ".py"))) TRY_VOID(keeper.keep(word + ".py"));
      if (is_file(fs, path_of(folder, word + "/__main__.py"))) TRY_VOID(keeper.keep(word + "/__main__.py"));
      continue;
    }
    if (!word.empty() && is_file(fs, path_of(folder, word))) {
      TRY_VOID(keeper.keep(word));
    } else if (word.find_first_of(" \t\n;|&") != word.npos) {
      auto inner = command_words(word);  // a line in the line: sh -c "python x.py"
      words.insert(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, inner.begin(), inner.end());
    }
  }
  for (const auto& name : more) {
    if (!exists(fs, path_of(folder, name))) return missing_file(fs, folder, name, "model.trainer.files names");
    TRY_VOID(keeper.keep_all(name, 0));
  }
  return std::move(keeper.files);
}

Result<CommandPlace> place_command_files(Fs& fs, blob::Store& blobs, const std::string& folder,
                                         const std::string& copies, const std::vector<CommandFile>& files) {
  CommandPlace place{.folder = folder};
  const auto same = [&](const CommandFile& file) {
    const auto content = read_file(fs, path_of(folder, file.path), kBytesMax);
    return content && sha256(*content).hex() == file.digest;
  };
  for (const auto& file : files) {
    if (same(file)) continue;
    if (file.path.starts_with('/') || file.path.contains("..")) {
      return fail(Code::failed_precondition, "train.file_changed",
                  std::format("{} is not what it was when the run began, and lies outside of the project's folder; the "
                              "copy that was kept is blob {}: put it back, or start another training",
                              file.path, file.digest));
    }
    if (place.changed.empty()) place.changed = file.path;
  }
  if (place.changed.empty() && exists(fs, folder)) return place;
  place.folder = copies;
  TRY_VOID(fs.remove_all(copies));
  TRY_VOID(fs.make_dirs(copies));
  for (const auto& file : files) {
    if (file.path.starts_with('/') || file.path.contains("..")) continue;
    const auto path = join_path(copies, file.path);
    TRY_VOID(fs.make_dirs(parent_path(path)));
    TRY(const auto digest, Digest::parse(file.digest));
    TRY(const auto content, blobs.read(digest, kBytesMax));
    TRY_VOID(write_file(fs, path, content));
    // Which of them may be executed is not kept; all may.
    place.before += (place.before.empty() ? "chmod u+x " : " ") + quoted("./" + file.path);
  }
  if (!place.before.empty()) place.before += " && ";
  // Modules that it imports and does not name are still where they were.
  if (exists(fs, folder)) place.before += "export PYTHONPATH=" + quoted(folder) + "${PYTHONPATH:+:$PYTHONPATH}; ";
  return place;
}

std::string command_digest(std::string_view line, const std::vector<CommandFile>& files) {
  Sha256 sha;
  sha.update(line);
  for (const auto& file : files) {
    sha.update(std::string_view("\0", 1));
    sha.update(file.path);
    sha.update(std::string_view("\0", 1));
    sha.update(file.digest);
  }
  return sha.finish().hex();
}

}  // namespace millrace::train
