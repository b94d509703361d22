#include "base/log.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "base/fs.hpp"
#include "base/testing/temp_dir.hpp"

namespace millrace {
namespace {

struct FixedClock final : Clock {
  TimePoint now() override { return *parse_time("2026-11-20T09:40:00.123456Z"); }
  SteadyPoint steady() override { return {}; }
};

struct LogTest : testing::Test {
  TempDir dir;
  RealFs fs;
  FixedClock clock;
  LogConfig config{.file = dir.path("log")};
  std::string content(const std::string& name = "log") { return *read_file(fs, dir.path(name)); }
};

TEST_F(LogTest, Text) {
  auto log = *open_log(config, clock);
  log->info("model_loaded",
            {{"model", "churn"}, {"version", 3}, {"ms", 1.5}, {"warm", true}, {"note", "two words"}, {"none", ""}});
  log->debug("not_shown");
  log->error("broken", {{"why", "a \"b\"\nc"}, {"key", Secret("hunter2")}});
  EXPECT_EQ(content(),
            "2026-11-20T09:40:00.123Z info  model_loaded model=churn version=3 ms=1.5 warm=true note=\"two words\" "
            "none=\"\"\n"
            "2026-11-20T09:40:00.123Z error broken why=\"a \\\"b\\\"\\nc\" key=***\n");
}

TEST_F(LogTest, Json) {
  config.json = true;
  auto log = *open_log(config, clock);
  log->warn(
      "odd",
      {{"text", "a\"b\\c\n\x01\xff\xc3\xa9"}, {"n", -1}, {"x", std::numeric_limits<double>::infinity()}, {"b", false}});
  EXPECT_EQ(content(),
            "{\"time\":\"2026-11-20T09:40:00.123Z\",\"level\":\"warn\",\"event\":\"odd\","
            "\"text\":\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"n\":-1,\"x\":\"inf\",\"b\":false}\n");
}

TEST_F(LogTest, Rotates) {
  config.file_bytes_max = 200;
  config.files_max = 3;
  auto log = *open_log(config, clock);
  for (int i = 0; i < 50; ++i) log->info("line", {{"number", i}});
  const auto files = *fs.list(dir.path());
  ASSERT_EQ(files.size(), 3u);
  for (const auto& file : files) EXPECT_LE(file.size, 200u) << file.name;
  EXPECT_NE(content().find("number=49"), std::string::npos);
}

TEST_F(LogTest, CannotBeOpened) {
  config.file = "/proc/nowhere/log";
  const auto log = open_log(config, clock);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().reason, "base.log_unavailable");
}

TEST(Secret, StreamsAsStars) {
  std::ostringstream out;
  out << Secret("hunter2");
  EXPECT_EQ(out.str(), "***");
}

}  // namespace
}  // namespace millrace
