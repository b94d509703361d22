#include "base/memory.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace millrace {
namespace {

// Of this process, in bytes: what is its own, files left out.
std::size_t own_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    std::size_t kilobytes = 0;
    if (word == "RssAnon:" && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Memory, WhatIsFreeGoesBack) {
  constexpr std::size_t block = 50'000, blocks = 2'000;  // small enough that `free` keeps them
  const auto before = own_bytes();
  std::vector<std::unique_ptr<std::string>> all;
  for (std::size_t i = 0; i < blocks; ++i) all.push_back(std::make_unique<std::string>(block, 'x'));
  const auto last = std::make_unique<std::string>(block, 'y');  // on top of them: so they can't go with the heap's end
  ASSERT_GT(own_bytes(), before + block * blocks / 2);
  all.clear();
  return_free_memory();
  EXPECT_LT(own_bytes(), before + block * blocks / 10);
}
#endif

}  // namespace
}  // namespace millrace
