// A server with limits of its own, in a process of its own: the HTTP library starts once in each.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/testing/real_env.hpp"
#include "net/server.hpp"

namespace millrace::net {

// In the child process gtest's assertions are not seen.
#define MUST(condition)                                                  \
  if (!(condition)) {                                                    \
    std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    std::_Exit(1);                                                       \
  }

struct World : RealEnv {
  std::unique_ptr<Server> open(Config config = {}, Metrics* metrics = nullptr) {
    config.port = 0;
    config.io_threads = 2;
    config.temp_dir = dir.path("tmp");
    return std::move(*Server::open(config, env, metrics));
  }
};

class OwnProcess : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  // Runs `f` in a process of its own; what it says on standard error when it fails is shown.
  template <class F>
  static void in_child(F f) {
    EXPECT_EXIT(
        {
          f();
          std::_Exit(0);
        },
        ::testing::ExitedWithCode(0), "");
  }
};

}  // namespace millrace::net
