#include "meta/testing/temp_store.hpp"

#include <cstdio>
#include <cstdlib>

#include "meta/sqlite.hpp"

namespace millrace::meta {

TempStore::TempStore(std::span<const Migration> migrations) : migrations_(migrations.begin(), migrations.end()) {
  reopen();
}

void TempStore::reopen() {
  store_ = nullptr;
  auto store = open_sqlite(env(), {.folder = dir_.path("data")}, writer_, migrations_);
  if (!store) {
    std::fprintf(stderr, "no store for the test: %s\n", store.error().message.c_str());
    std::abort();
  }
  store_ = std::move(*store);
}

}  // namespace millrace::meta
