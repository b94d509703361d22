#include "base/testing/temp_dir.hpp"

#include <stdlib.h>

#include <cstdio>

namespace millrace {

TempDir::TempDir() {
  char name[] = "/tmp/millrace_test_XXXXXX";
  if (::mkdtemp(name) == nullptr) {
    std::perror("mkdtemp in /tmp");
    std::abort();
  }
  path_ = name;
}

TempDir::~TempDir() { (void)RealFs().remove_all(path_); }

}  // namespace millrace
