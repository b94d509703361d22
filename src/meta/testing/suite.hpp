// The promises of meta.hpp as tests. A backend instantiates them with a way to open itself:
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StorePromises, testing::Values(StoreFactory{"sqlite", open_it}), store_name);
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/env.hpp"
#include "base/executor.hpp"
#include "meta/meta.hpp"

namespace millrace::meta {

struct StoreFactory {
  std::string name;
  // Opens the store that lives at `place` (a folder of the test's own), making it when it is not there; at most 16
  // writes may wait.
  std::function<Result<std::unique_ptr<Store>>(Env env, const std::string& place, Executor& writer,
                                               std::span<const Migration>)>
      open;
};

class StorePromises : public testing::TestWithParam<StoreFactory> {};
// Those about a process that is killed, for what a process leaves behind: instantiated too by every backend whose data
// outlives the process.
class StoreKillPromises : public testing::TestWithParam<StoreFactory> {};

// Naming it is also what pulls the tests out of their static library.
std::string store_name(const testing::TestParamInfo<StoreFactory>& test);

}  // namespace millrace::meta
