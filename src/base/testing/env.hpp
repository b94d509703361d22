// What a test hands to a component in place of the world.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/env.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/sim_clock.hpp"
#include "base/testing/sim_fs.hpp"
#include "base/testing/temp_dir.hpp"

namespace millrace {

// Owns a clock that the test moves, seeded randomness, a log that keeps nothing, and a disk: a real folder below /tmp,
// or one in memory that can crash. Put the component after it, so that it goes first.
//   TestEnv t;                        TestEnv t(TestEnv::Disk::sim, seed);
//   auto store = Store::open(t.env, t.path("store"));
class TestEnv {
 public:
  enum class Disk { real, sim };
  explicit TestEnv(Disk disk = Disk::real, std::uint64_t seed = 1);

  TestEnv(const TestEnv&) = delete;
  TestEnv& operator=(const TestEnv&) = delete;

  std::string path(std::string_view name) const { return join_path(dir, name); }
  SimFs& sim_fs() { return *sim_fs_; }  // Disk::sim only

  SimClock clock;
  SeededRng rng;
  Faults faults;  // faults.arm("blob.put.before_rename=error") at any quiet moment

 private:
  std::unique_ptr<Log> log_;
  std::unique_ptr<TempDir> temp_dir_;
  std::unique_ptr<SimFs> sim_fs_;
  RealFs real_fs_;

 public:
  std::string dir;  // an empty folder on that disk
  Env env;
};

}  // namespace millrace
