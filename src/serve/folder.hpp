// A plain folder of model files: which models and versions its names mean, and which files are whole. Pure: the same
// listings and times give the same decision. folder_source.hpp acts on it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::serve {

// What tells a file from the one that was there before, without reading it.
struct FileStamp {
  std::uint64_t size = 0;
  TimePoint modified{};
  std::uint64_t inode = 0;
  bool operator==(const FileStamp&) const = default;
};

struct FolderFile {
  std::string path;  // below the folder: "churn/3/model.ubj"
  FileStamp stamp;
  bool operator==(const FolderFile&) const = default;
};

enum class FolderFormat { xgboost, artifact, onnx, lightgbm };

struct FolderVersion {
  std::string model;
  std::int64_t number = 0;
  FolderFormat format = FolderFormat::xgboost;
  std::string path;
  std::string golden;  // its path; "" where there is none
  bool operator==(const FolderVersion&) const = default;
};

struct FolderProblem {
  std::string path;
  std::string why;
  bool operator==(const FolderProblem&) const = default;
};

struct FolderView {
  std::vector<FolderVersion> versions;  // by model; of one model the highest number first
  std::vector<FolderProblem> problems;  // names that mean nothing, or two things
};

// Names:
//   NAME.ubj NAME.json NAME.zip NAME.onnx NAME.txt  version 1 of NAME; NAME.golden.json beside it proves it
//   NAME/model.ubj (and the names of the next line)  the same; golden.json beside it
//   NAME/VERSION/FILE      FILE is model, xgboost or NAME with one of these endings; golden.json beside it
// Versions are whole numbers, compared as such. Whatever begins with a dot and all other files are passed over.
FolderView read_folder(std::span<const std::string> paths);
// Whether these files, below the folder of `model`, are a model's: at least one version, and nothing else but what
// proves it. invalid_argument `serve.bad_file_name`.
Result<void> check_model_files(std::string_view model, std::span<const std::string> paths);

// A file as it was seen, look by look.
struct WatchedFile {
  FileStamp seen;
  SteadyPoint since{};  // since when it is so, or is gone
  bool gone = false;
  std::optional<FileStamp> accepted;  // the newest of which every look since said the same: it is whole
  bool operator==(const WatchedFile&) const = default;
};
using WatchedFiles = std::map<std::string, WatchedFile, std::less<>>;  // by path

struct SettleRules {
  Duration settle = std::chrono::milliseconds(300);  // unchanged for so long between two looks: whole
  Duration old =
      std::chrono::seconds(2);  // last written so long ago when it is first seen: whole, somebody moved it in
  bool trust = false;           // somebody said that the files are whole: all are
};

struct SettleTimes {
  SteadyPoint steady;
  TimePoint calendar;
};

// One more look. A file that changes keeps what was accepted before it; one that is gone stays for `settle`, so that a
// file that is replaced by removing it first does not take its model out. `pending`: the next look may accept or drop
// something, so it should come soon.
struct FolderLook {
  WatchedFiles files;
  bool pending = false;
};
FolderLook look_at_folder(const WatchedFiles& before, std::span<const FolderFile> listing, const SettleRules& rules,
                          const SettleTimes& now);

}  // namespace millrace::serve
