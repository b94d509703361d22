// The promises of testing/suite.hpp on the local log and on the fake.
#include "queue/testing/suite.hpp"
#include "base/testing/env.hpp"
#include "queue/local.hpp"
#include "queue/testing/memory.hpp"

namespace millrace::queue {
namespace {

template <TestEnv::Disk disk, std::uint64_t segment_bytes>
class LocalHarness {
 public:
  LocalHarness() { reopen(); }
  Queue& queue() { return *queue_; }
  void reopen() {
    queue_.reset();
    queue_ = open_local(t_.env, {.dir = t_.path("queue"), .segment_bytes = segment_bytes}).value();
  }
  void pass(Duration time) { t_.clock.advance(time); }

 private:
  TestEnv t_{disk};
  std::unique_ptr<Queue> queue_;
};

class MemoryHarness {
 public:
  Queue& queue() { return queue_; }
  void reopen() {}
  void pass(Duration time) { clock_.advance(time); }

 private:
  SimClock clock_;
  MemoryQueue queue_{clock_};
};

using OnDisk = LocalHarness<TestEnv::Disk::real, (16u << 20)>;
using TinySegments = LocalHarness<TestEnv::Disk::sim, 200>;  // nearly every event begins a new file
INSTANTIATE_TYPED_TEST_SUITE_P(Local, QueuePromises, OnDisk);
INSTANTIATE_TYPED_TEST_SUITE_P(LocalTinySegments, QueuePromises, TinySegments);
INSTANTIATE_TYPED_TEST_SUITE_P(Memory, QueuePromises, MemoryHarness);

}  // namespace
}  // namespace millrace::queue
