// The data folder: who holds it, and in which format it is. Every backend opens it first.
//   format   JSON {format, program, made}: written at the first start, read before anything else is touched
//   lock     locked while a process has the folder; its text names the process
#pragma once

#include <memory>
#include <string>

#include "base/env.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::meta {

// What the folder as a whole looks like: raised when an older program could not work with it.
inline constexpr int folder_format = 1;

// Held while it lives.
class DataFolder {
 public:
  // Makes the folder when there is none. `program` is the name and version to remember ("millrace 0.1.0").
  //   failed_precondition  meta.folder_locked  somebody else has it; the message says who and since when
  //   failed_precondition  meta.newer_format   made by a newer program; the message says which
  //   data_loss            meta.bad_format     the file `format` is there and can't be read, or is missing beside data
  //   permission_denied    meta.denied         the folder can't be written
  static Result<std::unique_ptr<DataFolder>> open(Env env, const std::string& path, const std::string& program);

  const std::string& path() const { return path_; }
  bool fresh() const { return fresh_; }  // made by this open()

 private:
  DataFolder() = default;
  std::string path_;
  bool fresh_ = false;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace millrace::meta
