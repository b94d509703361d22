// One simulated machine: disk, clock, randomness, and the real modules on them. A crash takes the modules away, opening
// makes them anew from what the disk kept. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/env.hpp"
#include "base/executor.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/sim_clock.hpp"
#include "blob/blob.hpp"
#include "flow/jobs.hpp"
#include "flow/relay.hpp"
#include "loop/service.hpp"
#include "meta/testing/sim_vfs.hpp"
#include "queue/queue.hpp"
#include "serve/prediction_log.hpp"
#include "sim/disk.hpp"

namespace millrace::simulator {

// Work waits until somebody runs it, as on a thread that was not scheduled yet.
class WaitingExecutor final : public Executor {
 public:
  Result<void> post(std::function<void()> work) override {
    waiting_.push_back(std::move(work));
    return {};
  }
  void run_all() {
    while (!waiting_.empty()) {
      auto work = std::move(waiting_.front());
      waiting_.pop_front();
      work();
    }
  }
  void forget() { waiting_.clear(); }

 private:
  std::deque<std::function<void()>> waiting_;
};

// In the order in which they need each other, as in app/server.cpp; taken down in reverse.
struct Modules {
  std::unique_ptr<meta::Store> real_store;
  std::unique_ptr<meta::Store> tampered_store;  // null without a planted fault in it
  std::unique_ptr<blob::Store> blobs;
  std::unique_ptr<blob::Store> job_blobs;  // the same folder as another process has it: a job's
  std::unique_ptr<queue::Queue> real_queue;
  std::unique_ptr<queue::Queue> tampered_queue;
  std::unique_ptr<flow::Relay> relay;
  std::unique_ptr<flow::Jobs> jobs;
  std::unique_ptr<loop::Service> service;
  std::unique_ptr<serve::PredictionLog> log;
  // As the others get them.
  meta::Store* store = nullptr;
  queue::Queue* queue = nullptr;
};

// Tables of the simulator itself, beside the product's.
//   sim_barrier   what is written to see that a write works
//   sim_effects   what jobs of the kind "chore" did: once each
//   sim_handled   what the consumer "counter" made of events
std::vector<meta::Migration> all_migrations();

enum class End { power, kill, restart };

class World {
 public:
  World(std::uint64_t seed, Plant plant);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Any fault may be set: then it may fail, and the modules are not there.
  Result<void> open();
  bool running() const { return modules_ != nullptr; }
  Modules& modules() { return *modules_; }
  // How the process ends. Faults are forgotten.
  void end(End how);
  // The machine is dead: a fault said so, and nothing reaches the disk any more.
  bool dead();

  // Counts how often each fault point is reached, and lets one of them act: "blob.gc.after_move=error@2", or "".
  void arm(const std::string& spec);
  void clear_faults();
  const std::map<std::string, std::uint64_t>& reached();

  bool has(Plant plant) const { return plant_ == plant; }
  std::uint64_t used_bytes();

  SimClock clock;
  SeededRng story_rng;   // what happens
  SeededRng disk_rng;    // what a crash leaves
  SeededRng module_rng;  // what the modules draw
  SimFs raw_disk;
  Disk disk;
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env;
  WaitingExecutor relay_work;

 private:
  void take_counts();
  Result<std::unique_ptr<Modules>> build();

  Plant plant_;
  InlineExecutor writer_;
  meta::SimVfs vfs_;
  std::unique_ptr<Modules> modules_;
  std::map<std::string, std::uint64_t> reached_;
};

// The fault points that the simulated modules have.
std::span<const std::string_view> simulated_fault_points();

}  // namespace millrace::simulator
