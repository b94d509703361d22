#include "net/limits.hpp"

#include <gtest/gtest.h>

namespace millrace::net {
namespace {

TEST(Limits, AreReadFromText) {
  Config config;
  ASSERT_TRUE(set_limits("idle=2s,head=1500ms,body=1m,connections=64", config));
  EXPECT_EQ(config.idle_seconds_max, 2);
  EXPECT_EQ(config.head_seconds_max, 1.5);
  EXPECT_EQ(config.body_seconds_free, 60);
  EXPECT_EQ(config.connections_max, 64);
  ASSERT_TRUE(set_limits("", config));
  EXPECT_EQ(config.connections_max, 64);
  for (const auto* text :
       {"idle", "idle=", "idle=0s", "idle=x", "hands=2s", "connections=0", "connections=9x", "=1s"}) {
    const auto set = set_limits(text, config);
    ASSERT_FALSE(set) << text;
    EXPECT_EQ(set.error().reason, "net.bad_limits") << text;
  }
}

TEST(Limits, FitTheFilesThatMayBeOpen) {
  struct Case {
    std::uint64_t open_max;
    int connections, files;
  };
  for (const auto& c : {Case{0, 8, 2}, Case{64, 8, 2}, Case{128, 48, 8}, Case{1024, 720, 120}, Case{4096, 3024, 256},
                        Case{65536, 10'000, 256}, Case{UINT64_MAX, 10'000, 256}}) {
    Config config;
    fit_open_files(c.open_max, config);
    EXPECT_EQ(config.connections_max, c.connections) << c.open_max;
    EXPECT_EQ(config.files_max, c.files) << c.open_max;
    EXPECT_GE(config.handshakes_max, 8) << c.open_max;
    EXPECT_LE(config.handshakes_max, 1'000) << c.open_max;
  }
}

}  // namespace
}  // namespace millrace::net
