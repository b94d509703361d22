// Urgent writes on a disk that is full, on the simulated one.
#include <gtest/gtest.h>

#include "base/executor.hpp"
#include "base/passing_fs.hpp"
#include "base/testing/env.hpp"
#include "meta/reserve_internal.hpp"
#include "meta/sqlite.hpp"
#include "meta/testing/sim_vfs.hpp"

namespace millrace::meta {
namespace {

const std::vector<Migration> reserve_tables = {{"test", 1, "CREATE TABLE test_rows (body TEXT NOT NULL);"}};

struct FullDisk {
  TestEnv test{TestEnv::Disk::sim};
  SimVfs vfs{test.sim_fs(), test.clock, test.rng};
  InlineExecutor writer;
  std::unique_ptr<Store> store;

  explicit FullDisk(std::int64_t reserve) {
    auto opened =
        open_sqlite(test.env, {.folder = "data", .reserve_bytes = reserve, .vfs = vfs.name()}, writer, reserve_tables);
    EXPECT_TRUE(opened) << opened.error().message;
    if (opened) store = std::move(*opened);
    if (store) store->hold_back_room();
  }
  std::uint64_t used() { return (std::uint64_t{1} << 50) - *test.env.fs.free_bytes("data"); }
  void fill() { test.sim_fs().set_capacity(used()); }
  std::uint64_t held() {
    const auto file = test.env.fs.info("data/reserve");
    return file ? file->size : 0;
  }
  static Result<void> insert(Tx& tx) {
    TRY_VOID(tx.exec("INSERT INTO test_rows (body) VALUES ($1)", {std::string(3000, 'x')}));
    return tx.emit({"test.row", "", "{}"});
  }
  std::int64_t count() {
    return store->read([](Reader& reader) { return reader.query("SELECT count(*) FROM test_rows"); })->at(0).integer(0);
  }
};

std::string reason_of(const Result<void>& result) { return result ? "ok" : result.error().reason; }

TEST(Reserve, UrgentWritesGoOnWhileTheDiskIsFull) {
  FullDisk disk(1 << 20);
  ASSERT_EQ(disk.held(), 1u << 20);
  disk.fill();
  EXPECT_EQ(reason_of(disk.store->write(FullDisk::insert)), "meta.disk_full");
  for (int i = 1; i <= 20; ++i) {
    ASSERT_EQ(reason_of(disk.store->write_urgent(FullDisk::insert)), "ok") << i;
    EXPECT_EQ(disk.count(), i);
  }
  EXPECT_EQ(disk.store->outbox_after(0, 100)->size(), 20u) << "each once, although its function ran twice";
  // What was not needed is held back again, and nobody else gets at it.
  EXPECT_GT(disk.held(), 1u << 18);
  EXPECT_LT(disk.held(), 1u << 20);
  EXPECT_EQ(reason_of(disk.store->write(FullDisk::insert)), "meta.disk_full");
}

TEST(Reserve, ItEndsAndIsMadeAgain) {
  FullDisk disk(256 << 10);
  disk.fill();
  std::string last;
  for (int i = 0; i < 1000 && last != "meta.disk_full"; ++i)
    last = reason_of(disk.store->write_urgent(FullDisk::insert));
  EXPECT_EQ(last, "meta.disk_full");
  const auto before = disk.count();
  EXPECT_GT(before, 5);
  disk.store->hold_back_room();
  EXPECT_EQ(reason_of(disk.store->write(FullDisk::insert)), "meta.disk_full");

  disk.test.sim_fs().set_capacity(disk.used() + (2 << 20));
  EXPECT_EQ(reason_of(disk.store->write(FullDisk::insert)), "ok");
  disk.store->hold_back_room();
  EXPECT_EQ(disk.held(), 256u << 10);
  disk.fill();
  EXPECT_EQ(reason_of(disk.store->write_urgent(FullDisk::insert)), "ok");
  EXPECT_EQ(disk.count(), before + 2);
}

TEST(Reserve, AStartOnAFullDiskTakesItAndTheRestIsHeldAgain) {
  FullDisk disk(1 << 20);
  ASSERT_TRUE(disk.store->write(FullDisk::insert));
  disk.fill();
  disk.store = nullptr;
  auto again = open_sqlite(disk.test.env, {.folder = "data", .reserve_bytes = 1 << 20, .vfs = disk.vfs.name()},
                           disk.writer, reserve_tables);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(write_file(disk.test.env.fs, "data/address", "http://127.0.0.1:1"));
  (*again)->hold_back_room();
  EXPECT_GT(disk.held(), 1u << 18) << "a half";
  EXPECT_EQ(reason_of((*again)->write_urgent(FullDisk::insert)), "ok");
}

TEST(Reserve, WithoutOneAnUrgentWriteIsLikeAnyOther) {
  FullDisk disk(0);
  EXPECT_EQ(disk.held(), 0u);
  EXPECT_EQ(reason_of(disk.store->write_urgent(FullDisk::insert)), "ok");
  disk.fill();
  EXPECT_EQ(reason_of(disk.store->write_urgent(FullDisk::insert)), "meta.disk_full");
  EXPECT_EQ(disk.count(), 1);
}

TEST(Reserve, AnErrorOfTheFunctionIsNoReasonToTakeIt) {
  FullDisk disk(1 << 20);
  int ran = 0;
  EXPECT_EQ(reason_of(disk.store->write_urgent([&](Tx&) -> Result<void> {
              ++ran;
              return fail(Code::not_found, "test.no", "no");
            })),
            "test.no");
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(disk.held(), 1u << 20);
}

TEST(Reserve, AFileOfAnotherSizeIsMadeAnew) {
  TestEnv test(TestEnv::Disk::sim);
  ASSERT_TRUE(test.env.fs.make_dirs("data"));
  for (const char* wrong : {"", "short", "long"}) {
    ASSERT_TRUE(write_file(test.env.fs, "data/reserve", wrong[0] == 'l' ? std::string(1 << 20, 'x') : wrong));
    Reserve reserve(test.env.fs, "data", 128 << 10);
    reserve.hold();
    EXPECT_EQ(test.env.fs.info("data/reserve")->size, 128u << 10) << wrong;
  }
}

TEST(Reserve, NobodyTakesItBackWhileItIsUsed) {
  TestEnv test(TestEnv::Disk::sim);
  ASSERT_TRUE(test.env.fs.make_dirs("data"));
  Reserve reserve(test.env.fs, "data", 128 << 10);
  reserve.hold();
  ASSERT_TRUE(reserve.give_up());
  reserve.hold();
  EXPECT_FALSE(exists(test.env.fs, "data/reserve"));
  EXPECT_FALSE(reserve.give_up());
  reserve.take_back();
  EXPECT_TRUE(exists(test.env.fs, "data/reserve"));
}

// Between the answer and the taking somebody else takes a page.
TEST(Reserve, APageThatSomebodyTakesCostsAPage) {
  class Contended final : public PassingFs {
   public:
    using PassingFs::PassingFs;
    Result<std::uint64_t> free_bytes(const std::string& path) override {
      TRY(const auto free, PassingFs::free_bytes(path));
      return free + 4096;
    }
  };
  TestEnv test(TestEnv::Disk::sim);
  ASSERT_TRUE(test.env.fs.make_dirs("data"));
  Contended fs(test.env.fs);
  Reserve reserve(fs, "data", 1 << 20);
  reserve.hold();
  ASSERT_TRUE(reserve.give_up());
  test.sim_fs().set_capacity((std::uint64_t{1} << 50) - *test.env.fs.free_bytes("data") + (800 << 10));
  reserve.take_back();
  EXPECT_EQ(test.env.fs.info("data/reserve")->size, 800u << 10);
}

}  // namespace
}  // namespace millrace::meta
