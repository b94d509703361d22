// What the end of a job's process means; what a job may use.
#include "train/worker.hpp"

#include <gtest/gtest.h>

#include <future>

#include "base/fs.hpp"
#include "base/testing/env.hpp"

namespace millrace::train {
namespace {

using Cause = ProcessExit::Cause;

TEST(FailureOf, Table) {
  const ProcessLimits limits{.memory_bytes = 200'000'000, .wall_max = std::chrono::hours(2)};
  const auto failure = [](const char* cause, const char* message, const char* reason = "some.reason") {
    return render(FailureFile{cause, "", reason, message});
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
       "not enough. The limit is the machine's half\nnext: allow more with [retrain] resources",
       false},
      {"time", {.cause = Cause::wall_time}, failure("killed", "cancelled"), "time", "max_duration", false},
      {"disk", {.cause = Cause::exited, .status = 1}, failure("disk", "cannot write /x: full"), "disk", "/x", true},
      {"a place that is full",
       {.cause = Cause::exited, .status = 1},
       failure("disk", "full"),
       "disk",
       "where: /scratch/1\nnext: make room",
       true},
      {"missing",
       {.cause = Cause::exited, .status = 1},
       failure("dependency", "no torch", "train.command_needs"),
       "dependency",
       "no torch",
       false},
      {"out of reach",
       {.cause = Cause::exited, .status = 1},
       failure("dependency", "no answer", "blob.away"),
       "dependency",
       "no answer",
       true},
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
      {{Code::not_found, "train.command_needs", ""}, "dependency"},
      {{Code::resource_exhausted, "train.command_disk", ""}, "disk"},
      {{Code::resource_exhausted, "fs.too_many_open", ""}, "dependency"},
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

// A child that is over at once and left a result.
class DoneProcess final : public Process {
 public:
  int pid() const override { return 1; }
  std::optional<ProcessExit> poll() override { return ProcessExit{.status = 0}; }
  std::optional<ProcessExit> wait(Duration) override { return ProcessExit{.status = 0}; }
  void terminate() override {}
  void kill() override {}
  std::uint64_t memory_bytes() override { return 0; }
  LimitedBy limited_by() const override { return {}; }
};

class DoneProcesses final : public Processes {
 public:
  explicit DoneProcesses(Fs& fs) : fs_(fs) {}
  Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) override {
    TRY_VOID(write_file(fs_, join_path(parent_path(spec.argv.back()), "result.json"), "the result"));
    return std::make_unique<DoneProcess>();
  }

 private:
  Fs& fs_;
};

// One job, and answers to its end in order; the last one is repeated.
class OneJob final : public JobSource {
 public:
  explicit OneJob(std::vector<Code> answers) : answers_(std::move(answers)) {}
  Result<std::optional<JobLease>> claim(const std::string& worker, const std::vector<std::string>&) override {
    if (std::exchange(given_, true)) {
      if (!std::exchange(again_, true)) over.set_value();
      return std::nullopt;
    }
    JobLease lease;
    lease.worker = worker;
    lease.job = "j";
    lease.token = 1;
    lease.kind = "train";
    return lease;
  }
  Result<bool> heartbeat(const JobLease&, const JobProgress&) override { return false; }
  Result<void> complete(const JobLease&, const std::string& result, const JobUsage&) override {
    EXPECT_EQ(result, "the result");
    const auto code = answers_[std::min(told++, answers_.size() - 1)];
    if (code == Code::ok) return {};
    return millrace::fail(code, code == Code::resource_exhausted ? "meta.disk_full" : "test.answer", "");
  }
  Result<void> fail(const JobLease&, const JobFailure& failure, const JobUsage&) override {
    failed += failure.cause + (failure.retry ? ", again" : "");
    return {};
  }
  Result<void> give_back(const JobLease&, const std::string&) override { return {}; }

  std::promise<void> over;  // the worker looks for the next job
  std::size_t told = 0;
  std::string failed;

 private:
  std::vector<Code> answers_;
  bool given_ = false, again_ = false;
};

TEST(Worker, TellsAResultUntilItIsHeardOrRefused) {
  struct Case {
    std::vector<Code> answers;
    std::size_t times;
    const char* failed = "";
  };
  const Case cases[] = {
      {{Code::ok}, 1},
      {{Code::unavailable, Code::deadline_exceeded, Code::ok}, 3},  // the server was starting again
      {{Code::unavailable, Code::aborted}, 2},                      // and somebody else has the job now
      {{Code::internal}, 1},
      {{Code::resource_exhausted}, 1, "disk, again"},  // no room for the record
  };
  for (const auto& [answers, times, failed] : cases) {
    TestEnv t;
    OneJob source(answers);
    DoneProcesses processes(t.env.fs);
    Worker::Config config;
    config.scratch_dir = t.path("scratch");
    config.output_dir = t.path("runs");
    config.slots = {{{"train"}}};
    config.program = {"job"};
    config.look_every = std::chrono::milliseconds(1);
    Worker worker(config, t.env, source, processes);
    worker.start();
    source.over.get_future().wait();
    worker.stop();
    EXPECT_EQ(source.told, times);
    EXPECT_EQ(source.failed, failed);
  }
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
