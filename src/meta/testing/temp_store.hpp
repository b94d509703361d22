// A store in a temporary folder, for the tests of whoever keeps records: inline writer, real files.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/executor.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"
#include "meta/meta.hpp"

namespace millrace::meta {

// Moves when told to, both hands together.
class HandClock final : public Clock {
 public:
  TimePoint now() override { return time_; }
  SteadyPoint steady() override { return SteadyPoint(time_.time_since_epoch()); }
  void advance(Duration by) { time_ += by; }
  void set(TimePoint time) { time_ = time; }

 private:
  TimePoint time_{std::chrono::sys_days(std::chrono::year(2026) / 11 / 20)};
};

class TempStore {
 public:
  explicit TempStore(std::span<const Migration> migrations);
  Store& operator*() { return *store_; }
  Store* operator->() { return store_.get(); }
  void reopen();  // as after a restart
  Env env() { return {fs_, clock, rng_, *faults_, *log_}; }
  HandClock clock;

 private:
  TempDir dir_;
  std::vector<Migration> migrations_;
  RealFs fs_;
  SeededRng rng_{7};
  std::unique_ptr<Faults> faults_ = std::make_unique<Faults>();
  std::unique_ptr<Log> log_ = null_log();
  InlineExecutor writer_;
  std::unique_ptr<Store> store_;
};

}  // namespace millrace::meta
