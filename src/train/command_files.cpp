#include "train/command_files.hpp"

#include <algorithm>

#include "base/digest.hpp"

namespace millrace::train {
namespace {
constexpr std::uint64_t kBytesMax = 64'000'000;
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

Result<std::vector<CommandFile>> keep_command_files(Fs& fs, blob::Store& blobs, const std::string& folder,
                                                    std::string_view line) {
  std::vector<CommandFile> files;
  for (const auto& word : command_words(line)) {
    const std::string path = word.starts_with('/') ? word : join_path(folder, word);
    const auto info = word.empty() ? Result<FileInfo>(fail(Code::not_found, "", "")) : fs.info(path);
    if (!info || info->is_dir || std::ranges::find(files, word, &CommandFile::path) != files.end()) continue;
    if (info->size > kBytesMax) {
      return fail(Code::resource_exhausted, "train.file_too_large",
                  "the command names " + path + " of " + format_size(static_cast<long long>(info->size)) +
                      "; files up to 64 MB are kept: name data in a source instead");
    }
    TRY(const auto content, read_file(fs, path, kBytesMax));
    TRY(const auto kept, blobs.put(content));
    files.push_back({word, kept.digest.hex(), kept.size});
  }
  return files;
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
