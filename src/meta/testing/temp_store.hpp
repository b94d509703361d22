// A store in a temporary folder, for the tests of whoever keeps records: inline writer, real files, simulated clock.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/executor.hpp"
#include "base/testing/env.hpp"
#include "meta/meta.hpp"

namespace millrace::meta {

class TempStore {
 public:
  explicit TempStore(std::span<const Migration> migrations, std::uint64_t seed = 1);
  Store& operator*() { return *store_; }
  Store* operator->() { return store_.get(); }
  void reopen();  // as after a restart
  Env env() { return test.env; }

  TestEnv test;
  SimClock& clock = test.clock;

 private:
  std::vector<Migration> migrations_;
  InlineExecutor writer_;
  std::unique_ptr<Store> store_;
};

}  // namespace millrace::meta
