#include "backup/backup.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "backup/folder_internal.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/testing/env.hpp"
#include "base/testing/reason.hpp"
#include "blob/keys.hpp"
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

// ---- sealed blobs

class SealedBackup : public BackupTest {
 protected:
  SealedBackup() {
    EXPECT_TRUE(write_file(t.env.fs, t.path("master"), std::string(64, '5')));
    EXPECT_EQ(::chmod(t.path("master").c_str(), 0600), 0);
    master = blob::read_master_key(t.env.fs, t.path("master")).value();
    keys = std::make_unique<blob::Keys>(t.env, blob::KeysFile{data + "/keys", master});
    blobs = blob::open_local(t.env, {.dir = data + "/blobs", .keys = keys.get()}).value();
  }
  void destroy(const std::string& digest) {
    const auto key = blobs->stat_stored(*Digest::parse(digest))->key;
    EXPECT_TRUE(keys->destroy(std::vector{key}, "asked for"));
  }
  // What a restored folder says of a blob: its content, or the reason why not.
  std::string read_at(const std::string& at, const std::string& digest) {
    blob::Keys theirs(t.env, {at + "/keys", master});
    auto store_there = blob::open_local(t.env, {.dir = at + "/blobs", .keys = &theirs}).value();
    auto content = store_there->read(*Digest::parse(digest), 1u << 30);
    return content ? *content : content.error().reason;
  }
  std::string restored(const std::string& id, const std::string& more_keys = "") {
    const auto at = t.path("new-" + std::to_string(++restores));
    const auto done = restore({folder, id, at, more_keys}, t.env, nothing);
    EXPECT_TRUE(done) << done.error().message;
    return at;
  }
  std::vector<std::string> files_with(const std::string& root, const std::string& text) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.is_regular_file() && read_file(t.env.fs, entry.path(), 1u << 30)->contains(text))
        found.push_back(entry.path());
    }
    return found;
  }
  std::vector<std::string> keys_files(const std::string& root) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.path().filename().string().starts_with("keys") && entry.path().extension() != ".lock")
        found.push_back(entry.path());
    }
    return found;
  }

  const std::string planted = "PLANTED-0c9b11 lives in Rye Lane";
  std::optional<blob::MasterKey> master;
  std::unique_ptr<blob::Keys> keys;
  int restores = 0;
};

TEST_F(SealedBackup, ABackupMadeBeforeAnErasureDoesNotBringThePersonBack) {
  const auto person = add("person", "rows of " + planted), others = add("others", "rows of somebody else");
  const auto first = make_one();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(read_at(restored(first->manifest.id), person), "rows of " + planted) << "until then it does";
  const auto wrapped = read_file(t.env.fs, data + "/keys").value();
  destroy(person);
  ASSERT_TRUE(make_one());
  const auto at = restored(first->manifest.id);
  EXPECT_EQ(read_at(at, person), "blob.sealed");
  EXPECT_EQ(read_at(at, others), "rows of somebody else");
  EXPECT_TRUE(blob::open_local(t.env, {at + "/blobs"}).value()->verify_stored(*Digest::parse(person))) << "no damage";
  EXPECT_TRUE(files_with(at, planted).empty());
  EXPECT_TRUE(files_with(folder, planted).empty());
  // Neither folder has what would open it, and there is no second file of keys.
  EXPECT_EQ(keys_files(folder), std::vector{folder + "/keys"});
  EXPECT_EQ(keys_files(at), std::vector{at + "/keys"});
  for (std::size_t slot = 128; slot < wrapped.size(); slot += 128) {
    const auto secret = wrapped.substr(slot + 52, 48);
    const bool gone = files_with(folder, secret).empty() && files_with(at, secret).empty();
    const bool of_the_person =
        blobs->stat_stored(*Digest::parse(person))->key.hex() ==
        Id{[&] {
          std::array<std::uint8_t, 16> id{};
          std::copy_n(wrapped.begin() + static_cast<std::ptrdiff_t>(slot) + 8, id.size(), id.begin());
          return id;
        }()}
            .hex();
    EXPECT_EQ(gone, of_the_person);
  }
}

TEST_F(SealedBackup, WhatWasDestroyedStaysSoWhateverIsBackedUpAfterIt) {
  const auto person = add("person", planted);
  const auto first = make_one();
  ASSERT_TRUE(first);
  const auto older = restored(first->manifest.id);  // a data folder that does not know of the erasure
  destroy(person);
  add("later", "written after that");
  ASSERT_TRUE(make_one());
  const auto keys_before = read_file(t.env.fs, folder + "/keys").value();
  t.clock.advance(std::chrono::seconds(1));
  const auto third = make({older, folder, "test 1"}, t.env);
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_EQ(read_file(t.env.fs, folder + "/keys").value(), keys_before) << "neither shrinks nor brings back";
  EXPECT_EQ(read_at(restored(third->manifest.id), person), "blob.sealed");
}

TEST_F(SealedBackup, AnErasureReachesTheBackupsAlsoWhenNothingElseCanBeCopied) {
  const auto person = add("person", planted), other = add("other", "to be damaged");
  const auto first = make_one();
  ASSERT_TRUE(first);
  destroy(person);
  const auto broken = add("broken", "also");
  const auto path = data + "/blobs/objects/" + broken.substr(0, 2) + "/" + broken;
  auto bytes = *read_file(t.env.fs, path);
  bytes.back() ^= 1;
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
  EXPECT_EQ(reason_of(make_one()), "backup.damaged");
  EXPECT_EQ(read_at(restored(first->manifest.id), person), "blob.sealed");
}

TEST_F(SealedBackup, ANewerKeysFileCanBeGiven) {
  const auto person = add("person", planted), other = add("other", "stays");
  ASSERT_TRUE(make_one());
  destroy(person);  // and no backup since
  EXPECT_EQ(read_at(restored(""), person), planted);
  const auto at = restored("", data + "/keys");
  EXPECT_EQ(read_at(at, person), "blob.sealed");
  EXPECT_EQ(read_at(at, other), "stays");
  EXPECT_EQ(reason_of(restore({folder, "", t.path("no"), t.path("nothing")}, t.env, nothing)), "backup.no_keys");
}

TEST_F(SealedBackup, WithoutItsKeysItIsRefusedWithTheWayOut) {
  const auto digest = add("one", "content");
  ASSERT_TRUE(make_one());
  const auto whole = read_file(t.env.fs, folder + "/keys").value();
  auto flipped = whole;
  flipped[1] ^= 1;
  ASSERT_TRUE(write_file(t.env.fs, folder + "/keys", flipped));
  EXPECT_EQ(reason_of(restore({folder, "", t.path("new")}, t.env, nothing)), "backup.damaged");
  ASSERT_TRUE(t.env.fs.remove(folder + "/keys"));
  EXPECT_EQ(reason_of(restore({folder, "", t.path("new")}, t.env, nothing)), "backup.no_keys");
  EXPECT_FALSE(exists(t.env.fs, t.path("new")));
  EXPECT_EQ(read_at(restored("", data + "/keys"), digest), "content");
  ASSERT_TRUE(make_one()) << "the next backup brings them back";
  EXPECT_EQ(read_at(restored(""), digest), "content");
}

TEST_F(SealedBackup, NoKeyIsNeededToCopyAndNothingIsCopiedTwice) {
  for (int n = 0; n < 20; ++n) add("row " + std::to_string(n), std::string(100'000, static_cast<char>('a' + n)));
  keys.reset();
  blobs.reset();  // nobody here has the master key
  const auto first = make_one();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->new_blobs, 20);
  EXPECT_EQ(first->manifest.blob_bytes, 2'000'000) << "plain bytes";
  const auto second = make_one();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->new_blobs, 0);
  EXPECT_LT(second->new_bytes * 100, first->new_bytes);
}

// What a job printed may be what somebody uploaded, and an empty file is an empty blob.
TEST_F(SealedBackup, AFileWithTheContentOfASealedBlobComesBack) {
  add("empty", "");
  add("said", "done\n");
  ASSERT_TRUE(t.env.fs.make_dirs(data + "/runs"));
  ASSERT_TRUE(write_file(t.env.fs, data + "/runs/A.txt", ""));
  ASSERT_TRUE(write_file(t.env.fs, data + "/runs/B.txt", "done\n"));
  for (int n = 0; n < 2; ++n) {
    const auto made = make_one();
    ASSERT_TRUE(made) << made.error().message;
    const auto at = restored(made->manifest.id);
    EXPECT_EQ(read_file(t.env.fs, at + "/runs/A.txt"), "");
    EXPECT_EQ(read_file(t.env.fs, at + "/runs/B.txt"), "done\n");
    t.clock.advance(std::chrono::seconds(1));
  }
}

TEST_F(SealedBackup, ContentThatWasErasedAndIsWrittenAgainIsInTheNextBackup) {
  const auto digest = add("one", "same content");
  ASSERT_TRUE(make_one());
  destroy(digest);
  ASSERT_TRUE(blobs->put("same content"));
  ASSERT_TRUE(make_one());
  EXPECT_EQ(read_at(restored(""), digest), "same content");
}

TEST_F(SealedBackup, WhatWasCopiedInPlainIsSealedOnceItIsSealedHere) {
  blobs = blob::open_local(t.env, {data + "/blobs"}).value();
  const auto digest = add("one", planted);
  ASSERT_TRUE(make_one());
  EXPECT_FALSE(files_with(folder, planted).empty());
  ASSERT_TRUE(blobs->remove(*Digest::parse(digest)));
  blobs = blob::open_local(t.env, {.dir = data + "/blobs", .keys = keys.get()}).value();
  ASSERT_TRUE(blobs->put(planted));
  ASSERT_TRUE(make_one());
  EXPECT_TRUE(files_with(folder, planted).empty());
  EXPECT_EQ(read_at(restored(""), digest), planted);
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
