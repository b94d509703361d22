// What the end of a job's process means; what a job may use.
#include "train/worker.hpp"

#include <gtest/gtest.h>

namespace millrace::train {
namespace {

using Cause = ProcessExit::Cause;

TEST(FailureOf, Table) {
  const ProcessLimits limits{.memory_bytes = 200'000'000, .wall_max = std::chrono::hours(2)};
  const auto failure = [](const char* cause, const char* message) {
    return render(FailureFile{cause, "", "some.reason", message});
  };
  struct Case {
    const char* name;
    ProcessExit exit;
    std::string file, cause, says;
    bool again;
  };
  const Case cases[] = {
      {"memory",
       {.cause = Cause::memory, .memory_peak_bytes = 199'000'000, .limited_by = {.memory = "cgroup v1"}},
       failure("code", "killed by signal 9"),
       "memory",
       "the machine's half",
       false},
      {"its cap is named", {.cause = Cause::memory}, "", "memory", "200.0 MB", false},
      {"and what to do", {.cause = Cause::memory}, "", "memory", "[retrain] resources", false},
      {"an allocation that failed",
       {.cause = Cause::exited, .status = 1},
       failure("memory", "not enough"),
       "memory",
       "not enough. The limit is the machine's half",
       false},
      {"time", {.cause = Cause::wall_time}, failure("killed", "cancelled"), "time", "max_duration", false},
      {"disk", {.cause = Cause::exited, .status = 1}, failure("disk", "cannot write /x: full"), "disk", "/x", true},
      {"data", {.cause = Cause::exited, .status = 1}, failure("data", "no rows"), "data", "no rows", false},
      {"killed", {.cause = Cause::signalled, .signal = 9}, "", "killed", "signal 9", true},
      {"too full to say so", {.cause = Cause::exited, .status = 74}, "", "disk", "/scratch/1", true},
      {"silent", {.cause = Cause::exited, .status = 7}, "", "code", "status 7", false},
  };
  for (const auto& c : cases) {
    const auto got = failure_of({c.exit, limits, "train", "the machine's half", c.file, "/scratch/1"});
    EXPECT_EQ(c.cause, got.cause) << c.name;
    EXPECT_EQ(c.again, got.retry) << c.name;
    EXPECT_NE(std::string::npos, got.message.find(c.says)) << c.name << ": " << got.message;
  }
}

TEST(CauseOf, Table) {
  const std::pair<Error, const char*> cases[] = {
      {{Code::failed_precondition, "train.command_failed", ""}, "code"},
      {{Code::resource_exhausted, "train.command_failed", ""}, "memory"},
      {{Code::deadline_exceeded, "train.command_failed", ""}, "time"},
      {{Code::failed_precondition, "train.bad_output", ""}, "code"},
      {{Code::failed_precondition, "train.no_rows", ""}, "data"},
      {{Code::resource_exhausted, "fs.disk_full", ""}, "disk"},
      {{Code::permission_denied, "fs.denied", ""}, "disk"},
      {{Code::unavailable, "fs.io", ""}, "disk"},
      {{Code::not_found, "fs.not_found", ""}, "data"},
      {{Code::resource_exhausted, "model.engine_memory", ""}, "memory"},
      {{Code::resource_exhausted, "blob.too_large", ""}, "data"},
      {{Code::not_found, "process.no_program", ""}, "dependency"},
      {{Code::unavailable, "model.engine_missing", ""}, "dependency"},
      {{Code::cancelled, "train.cancelled", ""}, "killed"},
      {{Code::internal, "x", ""}, "code"},
  };
  for (const auto& [error, cause] : cases) EXPECT_EQ(cause, cause_of(error)) << error.reason;
}

TEST(ShareOfMemory, IsNamed) {
  const auto cap = share_of_memory(10'000'000'000, 3);
  EXPECT_EQ(6'000'000'000, cap.bytes);
  EXPECT_EQ("3/5 of this machine's 10.0 GB", cap.from);
  EXPECT_EQ(1'000'000'000, share_of_memory(4'000'000'000, 1).bytes);
  EXPECT_EQ(900'000'000, share_of_memory(900'000'000, 1).bytes);
  EXPECT_EQ(0, share_of_memory(0, 3).bytes);
}

}  // namespace
}  // namespace millrace::train
