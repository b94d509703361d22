#include "backup/backup.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "backup/folder_internal.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/testing/env.hpp"
#include "base/testing/reason.hpp"
#include "blob/local.hpp"
#include "meta/sqlite.hpp"

namespace millrace::backup {
namespace {

const std::vector<meta::Migration> migrations = {
    {"test", 1, "CREATE TABLE test_rows (name TEXT PRIMARY KEY, blob TEXT NOT NULL)"}};

// A data folder as a server has it: records that name blobs, a prediction log, events.
class BackupTest : public testing::Test {
 protected:
  BackupTest() { open(); }
  void open() {
    store = meta::open_sqlite(t.env, {.folder = data, .power_safe = false}, executor, migrations).value();
    blobs = blob::open_local(t.env, {data + "/blobs"}).value();
  }
  std::string add(const std::string& name, const std::string& content) {
    const auto digest = blobs->put(content)->digest.hex();
    EXPECT_TRUE(store->write([&](meta::Tx& tx) -> Result<void> {
      TRY_VOID(tx.exec("INSERT INTO test_rows (name, blob) VALUES ($1, $2)", {name, digest}));
      return {};
    }));
    return digest;
  }
  Result<BackupReport> make_one(int keep = 0) {
    t.clock.advance(std::chrono::seconds(1));
    return make({data, folder, "test 1", keep}, t.env);
  }
  // Every row of a restored folder, and that what it names is there.
  static std::vector<std::string> rows_of(TestEnv& t, const std::string& at) {
    InlineExecutor inline_executor;
    auto opened = meta::open_sqlite(t.env, {.folder = at}, inline_executor, migrations);
    EXPECT_TRUE(opened) << opened.error().message;
    auto kept = blob::open_local(t.env, {at + "/blobs"}).value();
    auto rows =
        (*opened)->read([](meta::Reader& r) { return r.query("SELECT name, blob FROM test_rows ORDER BY name"); });
    std::vector<std::string> names;
    for (const auto& row : *rows) {
      names.push_back(row.text(0));
      EXPECT_TRUE(kept->verify(*Digest::parse(row.text(1)))) << row.text(0);
    }
    return names;
  }

  TestEnv t;
  std::string data = t.path("data"), folder = t.path("backups");
  InlineExecutor executor;
  std::unique_ptr<meta::Store> store;
  std::unique_ptr<blob::Store> blobs;
  const std::function<Result<void>(const std::string&)> nothing = [](const std::string&) { return Result<void>(); };
};

TEST_F(BackupTest, ThereAndBack) {
  add("one", "first");
  ASSERT_TRUE(t.env.fs.make_dirs(data + "/log"));
  const std::string log = "lines" + std::string(100'000, '\0');
  ASSERT_TRUE(write_file(t.env.fs, data + "/log/00001.log", log));
  ASSERT_TRUE(write_file(t.env.fs, data + "/token", "secret"));
  const auto made = make_one();
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->manifest.blob_count, 1);
  add("two", "second");  // afterwards: not in it

  bool settled = false;
  const auto back = restore({folder, "", t.path("new")}, t.env, [&](const std::string&) {
    settled = true;
    return Result<void>();
  });
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE(settled);
  EXPECT_EQ(rows_of(t, t.path("new")), std::vector<std::string>{"one"});
  EXPECT_EQ(*read_file(t.env.fs, t.path("new") + "/log/00001.log"), log) << "with the zeros that it ended with";
  for (const char* own : {"token", "lock", "address"})
    EXPECT_FALSE(std::ranges::contains(back->files, std::string(own), &File::path)) << own;
}

TEST_F(BackupTest, WhatIsThereIsNotCopiedAgain) {
  for (int i = 0; i < 50; ++i)
    add("row " + std::to_string(i), std::string(20'000, static_cast<char>('a' + i % 26)) + std::to_string(i));
  const auto first = make_one();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->new_blobs, 50);
  const auto second = make_one();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->new_blobs, 0);
  EXPECT_LT(second->new_bytes * 100, first->new_bytes) << "one in a hundred";
  EXPECT_EQ(list(folder, t.env)->size(), 2u);
}

TEST_F(BackupTest, WhileSomebodyWritesEveryRowHasItsBlob) {
  std::atomic<bool> stop{false};
  std::atomic<int> acknowledged{0};
  std::thread writer([&] {
    for (int i = 0; !stop && i < 500; ++i) {
      add(std::to_string(1'000'000 + i), "content " + std::to_string(i));
      ++acknowledged;
    }
  });
  while (acknowledged < 20) std::this_thread::yield();
  for (int round = 0; round < 2; ++round) {
    const int before = acknowledged;
    auto made = make({data, folder, "test 1"}, t.env);
    EXPECT_TRUE(made) << made.error().message;
    const auto at = t.path("new" + std::to_string(round));
    EXPECT_TRUE(restore({folder, made->manifest.id, at}, t.env, nothing));
    EXPECT_GE(rows_of(t, at).size(), static_cast<std::size_t>(before)) << "what was acknowledged before it began";
  }
  stop = true;
  writer.join();
}

TEST_F(BackupTest, NoCollectionTakesFromIt) {
  add("one", "first");
  auto held = blobs->hold_garbage();
  ASSERT_TRUE(held);
  EXPECT_EQ(reason_of(make_one()), "blob.gc_running");
  EXPECT_EQ(reason_of(blobs->collect_garbage([](const auto&) { return true; }, Duration(0), false)), "blob.gc_running");
  held->reset();
  EXPECT_TRUE(make_one());
}

TEST_F(BackupTest, DamageIsFoundBeforeAnythingIsWritten) {
  const auto digest = add("one", "first content");
  add("two", "second content");
  ASSERT_TRUE(make_one());
  const auto path = folder + "/blobs/objects/" + digest.substr(0, 2) + "/" + digest;
  auto bytes = *read_file(t.env.fs, path);
  bytes.back() ^= 1;
  ASSERT_TRUE(t.env.fs.remove(path));
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
  const auto refused = restore({folder, "", t.path("new")}, t.env, nothing);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "backup.damaged");
  EXPECT_TRUE(refused.error().message.contains(digest)) << refused.error().message;
  EXPECT_FALSE(exists(t.env.fs, t.path("new")));
  EXPECT_TRUE(make_one()) << "the damaged one was set aside, and is copied again";
  EXPECT_TRUE(restore({folder, "", t.path("new")}, t.env, nothing));
}

TEST_F(BackupTest, ADamagedSourceMakesNoBackup) {
  const auto digest = add("one", "first content");
  const auto path = data + "/blobs/objects/" + digest.substr(0, 2) + "/" + digest;
  auto bytes = *read_file(t.env.fs, path);
  bytes.back() ^= 1;
  ASSERT_TRUE(t.env.fs.remove(path));
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
  EXPECT_EQ(reason_of(make_one()), "backup.damaged");
  EXPECT_TRUE(list(folder, t.env)->empty());
}

TEST_F(BackupTest, OnlyTheNewestStayWithWhatTheyNeed) {
  const auto gone = add("one", "only in the first");
  ASSERT_TRUE(make_one());
  ASSERT_TRUE(store->write([](meta::Tx& tx) -> Result<void> {
    TRY_VOID(tx.exec("DELETE FROM test_rows", {}));
    return {};
  }));
  ASSERT_TRUE(blobs->remove(*Digest::parse(gone)));
  add("two", "in the others");
  ASSERT_TRUE(make_one());
  t.clock.advance(std::chrono::years(50));  // files have the real disk's time: all of them are old now
  const auto last = make_one(2);
  ASSERT_TRUE(last) << last.error().message;
  EXPECT_EQ(last->removed.size(), 1u);
  EXPECT_FALSE(exists(t.env.fs, folder + "/blobs/objects/" + gone.substr(0, 2) + "/" + gone));
  for (const auto& one : *list(folder, t.env)) EXPECT_TRUE(verify(one, folder, t.env)) << one.id;
}

TEST_F(BackupTest, InterruptedNothingIsVisible) {
  add("one", std::string(3 << 20, 'x'));
  int looks = 0;
  const auto stopped = make({data, folder, "test 1"}, t.env, [&](const Told&) { return ++looks < 3; });
  EXPECT_EQ(reason_of(stopped), "backup.interrupted");
  EXPECT_TRUE(list(folder, t.env)->empty());
  ASSERT_TRUE(make_one());
  looks = 0;
  EXPECT_EQ(reason_of(restore({folder, "", t.path("new")}, t.env, nothing, [&](const Told&) { return ++looks < 5; })),
            "backup.interrupted");
  EXPECT_FALSE(exists(t.env.fs, t.path("new")) || exists(t.env.fs, t.path("new.restoring")));
}

TEST_F(BackupTest, FoldersThatAreSomethingElse) {
  EXPECT_EQ(reason_of(make({t.path("none"), folder, "test 1"}, t.env)), "backup.no_folder");
  ASSERT_TRUE(t.env.fs.make_dirs(t.path("photos")));
  ASSERT_TRUE(write_file(t.env.fs, t.path("photos/cat"), "meow"));
  EXPECT_EQ(reason_of(make({data, t.path("photos"), "test 1"}, t.env)), "backup.no_backups");
  EXPECT_EQ(reason_of(list(t.path("photos"), t.env)), "backup.no_backups");
  ASSERT_TRUE(make_one());
  EXPECT_EQ(reason_of(restore({folder, "", t.path("photos")}, t.env, nothing)), "backup.not_empty");
  EXPECT_EQ(reason_of(restore({folder, "20200101T000000Z", t.path("new")}, t.env, nothing)), "backup.no_backup");
  ASSERT_TRUE(write_file(t.env.fs, folder + "/format", "{\"format\":2}"));
  EXPECT_EQ(reason_of(make_one()), "backup.newer_format");
}

TEST_F(BackupTest, AManifestThatCantBeRightIsRefusedBeforeAnythingIsWritten) {
  add("one", "first");
  const auto made = make_one();
  ASSERT_TRUE(made);
  const auto path = folder + "/backups/" + made->manifest.id + ".json";
  for (const auto& [file, word] :
       std::vector<std::pair<File, std::string>>{{{"../away", made->manifest.blobs, 1, 1}, "outside"},
                                                 {{"/etc/passwd", made->manifest.blobs, 1, 1}, "outside"},
                                                 {{"queue/1.log", made->manifest.blobs, 1, 2}, "2 of 1 bytes"},
                                                 {{"queue/1.log", made->manifest.blobs, 1, -1}, "-1 of 1 bytes"}}) {
    auto manifest = made->manifest;
    manifest.files.push_back(file);
    ASSERT_TRUE(write_file(t.env.fs, path, render(manifest)));
    const auto refused = restore({folder, "", t.path("new")}, t.env, nothing);
    EXPECT_EQ(reason_of(refused), "backup.damaged");
    EXPECT_TRUE(refused.error().message.contains(word)) << refused.error().message;
    EXPECT_FALSE(exists(t.env.fs, t.path("new")) || exists(t.env.fs, t.path("new.restoring")));
  }
}

// Somebody appends to it between any two looks.
class GrowingFile final : public ReadableFile {
 public:
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    grown_ += 10;
    const auto there = std::min<std::uint64_t>(out.size(), grown_ - std::min(offset, grown_));
    std::ranges::fill(out.first(there), std::byte{1});
    return there;
  }
  std::uint64_t size() const override { return grown_ += 10; }

 private:
  mutable std::uint64_t grown_ = 0;
};

TEST(BackupFiles, OfAGrowingFileNoMoreIsKeptThanItHad) {
  const GrowingFile file;
  const auto extent = extent_of(file);
  ASSERT_TRUE(extent);
  EXPECT_EQ(extent->bytes, 10u);
  EXPECT_EQ(extent->used, 10u);
}

TEST(BackupNames, AreTheMomentAndUnique) {
  const TimePoint moment = parse_time("2026-11-22T09:15:00Z").value();
  EXPECT_EQ(make_id(moment, {}), "20261122T091500Z");
  EXPECT_EQ(make_id(moment, {"20261122T091500Z"}), "20261122T091500Z-2");
  EXPECT_EQ(outdated({"b", "c", "a"}, 2), std::vector<std::string>{"a"});
  EXPECT_TRUE(outdated({"b", "c", "a"}, 0).empty());
  EXPECT_TRUE(outdated({"b"}, 2).empty());
}

}  // namespace
}  // namespace millrace::backup
