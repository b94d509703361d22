#include "meta/testing/temp_store.hpp"

#include "base/check.hpp"
#include "meta/sqlite.hpp"

namespace millrace::meta {

TempStore::TempStore(std::span<const Migration> migrations, std::uint64_t seed)
    : test(TestEnv::Disk::real, seed), migrations_(migrations.begin(), migrations.end()) {
  reopen();
}

void TempStore::reopen() {
  store_ = nullptr;
  auto store = open_sqlite(test.env, {.folder = test.path("data"), .power_safe = false}, writer_, migrations_);
  check(store.has_value(), store ? "" : store.error().message);
  store_ = std::move(*store);
}

}  // namespace millrace::meta
