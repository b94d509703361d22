// A folder below /tmp that goes away with its owner.
#pragma once

#include <string>

#include "base/fs.hpp"

namespace millrace {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const { return join_path(path_, name); }

 private:
  std::string path_;
};

}  // namespace millrace
