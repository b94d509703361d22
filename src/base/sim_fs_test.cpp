#include "base/testing/sim_fs.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "base/testing/env.hpp"

namespace millrace {
namespace {

constexpr int seeds = 300;

// Runs `story` on `seeds` fresh disks, crashes each, and gives what `look` then saw.
std::set<std::string> after_crash(const std::function<void(TestEnv&)>& story,
                                  const std::function<std::string(TestEnv&)>& look) {
  std::set<std::string> seen;
  for (int seed = 0; seed < seeds; ++seed) {
    TestEnv t(TestEnv::Disk::sim, static_cast<std::uint64_t>(seed));
    story(t);
    t.sim_fs().crash(t.rng);
    seen.insert(look(t));
  }
  return seen;
}

std::string content(TestEnv& t, const std::string& name) {
  return read_file(t.env.fs, t.path(name)).value_or("(none)");
}

void put(TestEnv& t, const std::string& name, std::string_view text, WriteMode mode = WriteMode::truncate,
         bool sync = false) {
  auto file = *t.env.fs.open_write(t.path(name), mode);
  ASSERT_TRUE(file->append(as_bytes(text)));
  if (sync) {
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(t.env.fs.sync_dir(t.dir));
  }
}

TEST(SimFs, KeepsWhatWasSynced) {
  const auto seen = after_crash([](TestEnv& t) { put(t, "a", "kept", WriteMode::truncate, true); },
                                [](TestEnv& t) { return content(t, "a"); });
  EXPECT_EQ(seen, std::set<std::string>{"kept"});
}

TEST(SimFs, TearsWhatWasNotSynced) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        put(t, "a", "AB", WriteMode::truncate, true);
        put(t, "a", "cd", WriteMode::append);
      },
      [](TestEnv& t) { return content(t, "a"); });
  EXPECT_TRUE(seen.contains("AB"));
  EXPECT_TRUE(seen.contains("ABc"));
  EXPECT_TRUE(seen.contains("ABcd"));
  EXPECT_TRUE(seen.contains(std::string("AB\0\0", 4))) << "size without data";
  for (const auto& text : seen) EXPECT_TRUE(text.starts_with("AB")) << text;
}

TEST(SimFs, TruncatingLosesTheOldContentOnlyPerhaps) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        put(t, "a", "old", WriteMode::truncate, true);
        put(t, "a", "new");
      },
      [](TestEnv& t) { return content(t, "a"); });
  EXPECT_TRUE(seen.contains("old"));
  EXPECT_TRUE(seen.contains("new"));
  EXPECT_TRUE(seen.contains("ne"));
  EXPECT_TRUE(seen.contains(""));
}

TEST(SimFs, NamesComeAndGoUntilTheFolderIsSynced) {
  const auto list = [](TestEnv& t) {
    std::string out;
    for (const auto& info : *t.env.fs.list(t.dir)) out += info.name;
    return out;
  };
  const auto made = after_crash(
      [](TestEnv& t) {
        put(t, "a", "1");
        put(t, "b", "2");
      },
      list);
  EXPECT_EQ(made, (std::set<std::string>{"", "a", "b", "ab"})) << "any subset";

  const auto removed = after_crash(
      [](TestEnv& t) {
        put(t, "a", "1", WriteMode::truncate, true);
        ASSERT_TRUE(t.env.fs.remove(t.path("a")));
      },
      list);
  EXPECT_EQ(removed, (std::set<std::string>{"", "a"}));

  const auto renamed = after_crash(
      [](TestEnv& t) {
        put(t, "a", "1", WriteMode::truncate, true);
        ASSERT_TRUE(t.env.fs.rename(t.path("a"), t.path("b")));
      },
      list);
  EXPECT_EQ(renamed, (std::set<std::string>{"a", "b"})) << "never both, never none";
}

TEST(SimFs, RenamedBeforeSyncedMayBeTorn) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        put(t, "a", "old", WriteMode::truncate, true);
        put(t, "a.tmp", "new");  // the classic mistake: no sync before the rename
        ASSERT_TRUE(t.env.fs.rename(t.path("a.tmp"), t.path("a")));
        ASSERT_TRUE(t.env.fs.sync_dir(t.dir));
      },
      [](TestEnv& t) { return content(t, "a"); });
  EXPECT_TRUE(seen.contains(""));
  EXPECT_TRUE(seen.contains("new"));
  EXPECT_FALSE(seen.contains("old"));
}

TEST(SimFs, MappedPagesSurviveOneByOne) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        auto file = *t.env.fs.open_mapped(t.path("m"), 3 * 4'096);
        ASSERT_TRUE(t.env.fs.sync_dir(t.dir));
        file->bytes()[0] = std::byte{'a'};
        ASSERT_TRUE(file->sync(0, 1));
        file->bytes()[4'096] = std::byte{'b'};
        file->bytes()[2 * 4'096] = std::byte{'c'};
      },
      [](TestEnv& t) {
        const auto text = content(t, "m");
        return std::string{text.at(0), text.at(4'096) ? 'b' : '-', text.at(2 * 4'096) ? 'c' : '-'};
      });
  EXPECT_EQ(seen, (std::set<std::string>{"a--", "ab-", "a-c", "abc"}));
}

TEST(SimFs, FoldersAreDurableOnceMade) {
  const auto seen = after_crash([](TestEnv& t) { ASSERT_TRUE(t.env.fs.make_dirs(t.path("x/y"))); },
                                [](TestEnv& t) { return exists(t.env.fs, t.path("x/y")) ? "there" : "gone"; });
  EXPECT_EQ(seen, std::set<std::string>{"there"});
}

TEST(SimFs, AFailedSyncLosesTheDataForGood) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        put(t, "a", "1", WriteMode::truncate, true);
        auto file = *t.env.fs.open_write(t.path("a"), WriteMode::append);
        ASSERT_TRUE(file->append(as_bytes("2")));
        t.sim_fs().fail_at(0);
        ASSERT_EQ(file->sync().error().reason, "fs.io");
        ASSERT_FALSE(file->sync()) << "the handle stays broken";
        auto again = *t.env.fs.open_write(t.path("a"), WriteMode::append);
        ASSERT_TRUE(again->sync()) << "and another one is told a lie";
      },
      [](TestEnv& t) { return content(t, "a"); });
  EXPECT_TRUE(seen.contains("1"));
}

TEST(SimFs, HandlesAndLocksDieWithTheirProcess) {
  for (const bool crash : {true, false}) {
    TestEnv t(TestEnv::Disk::sim);
    auto lock = *t.env.fs.lock(t.path("lock"), "first");
    auto file = *t.env.fs.open_write(t.path("a"), WriteMode::create_new);
    ASSERT_TRUE(file->append(as_bytes("x")));
    if (crash) {
      t.sim_fs().crash(t.rng);
    } else {
      t.sim_fs().kill();
      EXPECT_EQ(content(t, "a"), "x") << "a killed process loses nothing";
    }
    EXPECT_EQ(file->append(as_bytes("y")).error().reason, "fs.crashed");
    auto second = t.env.fs.lock(t.path("lock"), "second");
    ASSERT_TRUE(second);
    lock.reset();
    EXPECT_EQ(content(t, "lock"), "second") << "the dead holder's destructor touches nothing";
  }
}

TEST(SimFs, FullDisk) {
  TestEnv t(TestEnv::Disk::sim);
  t.sim_fs().set_capacity(10);
  auto file = *t.env.fs.open_write(t.path("a"), WriteMode::create_new);
  ASSERT_TRUE(file->append(as_bytes("12345678")));
  EXPECT_EQ(*t.env.fs.free_bytes(t.dir), 2u);
  const auto full = file->append(as_bytes("901"));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().reason, "fs.disk_full");
  EXPECT_EQ(full.error().code, Code::resource_exhausted);
  EXPECT_EQ(content(t, "a"), "12345678");
  EXPECT_EQ(t.env.fs.open_mapped(t.path("m"), 100).error().reason, "fs.disk_full");
  ASSERT_TRUE(t.env.fs.remove(t.path("a")));
  EXPECT_EQ(*t.env.fs.free_bytes(t.dir), 10u);
}

// A database's file: `n` pages, each full of one letter.
constexpr std::size_t page = 4'096;

void write_page(RandomFile& file, std::size_t number, char letter) {
  ASSERT_TRUE(file.write(number * page, as_bytes(std::string(page, letter))));
}

std::unique_ptr<RandomFile> synced_pages(TestEnv& t, std::string_view letters) {
  auto file = *t.sim_fs().open_random(t.path("d"), true);
  for (std::size_t i = 0; i < letters.size(); ++i) write_page(*file, i, letters[i]);
  EXPECT_TRUE(file->sync());
  EXPECT_TRUE(t.env.fs.sync_dir(t.dir));
  return file;
}

// A letter for a page that is whole, '?' for another, nothing for what is past the end.
std::string pages(TestEnv& t) {
  const auto text = content(t, "d");
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += page) {
    const auto one = text.substr(at, page);
    const bool whole = one.size() == page && one.find_first_not_of(one[0]) == one.npos;
    out += !whole ? '?' : one[0] == 0 ? '0' : one[0];
  }
  return out;
}

TEST(SimFsRandom, ReadsWhatWasWrittenAnywhere) {
  TestEnv t(TestEnv::Disk::sim);
  EXPECT_EQ(t.sim_fs().open_random(t.path("d"), false).error().reason, "fs.not_found");
  auto file = *t.sim_fs().open_random(t.path("d"), true);
  auto other = *t.sim_fs().open_random(t.path("d"), false);
  ASSERT_TRUE(file->write(5, as_bytes("hello")));
  ASSERT_TRUE(file->write(6, as_bytes("E")));
  EXPECT_EQ(*other->size(), 10u);
  std::string text(8, '?');
  EXPECT_EQ(*other->read(4, std::as_writable_bytes(std::span(text))), 6u);
  EXPECT_EQ(text, std::string("\0hEllo??", 8)) << "a hole is zeros; a read is short at the end";
  EXPECT_EQ(*other->read(10, std::as_writable_bytes(std::span(text))), 0u);
  ASSERT_TRUE(other->truncate(7));
  ASSERT_TRUE(other->truncate(9));
  EXPECT_EQ(content(t, "d"), std::string("\0\0\0\0\0hE\0\0", 9));
  ASSERT_TRUE(file->sync());
  t.sim_fs().kill();
  EXPECT_EQ(file->size().error().reason, "fs.crashed");
  EXPECT_EQ(content(t, "d").size(), 9u);
}

TEST(SimFsRandom, WhatWasSyncedIsWhole) {
  const auto seen = after_crash([](TestEnv& t) { synced_pages(t, "abc"); }, pages);
  EXPECT_EQ(seen, std::set<std::string>{"abc"});
}

TEST(SimFsRandom, AnySubsetOfUnsyncedPagesIsThere) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        const auto file = synced_pages(t, "abc");
        write_page(*file, 0, 'A');
        write_page(*file, 2, 'C');
      },
      pages);
  for (const char* possible : {"abc", "Abc", "abC", "AbC", "?bc", "ab?"})
    EXPECT_TRUE(seen.contains(possible)) << possible;
  for (const auto& text : seen) EXPECT_EQ(text.substr(1, 1), "b") << "nobody wrote there";
}

TEST(SimFsRandom, AnEarlierWriteMayOutliveALaterOne) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        const auto file = synced_pages(t, "a");
        write_page(*file, 0, 'b');
        write_page(*file, 0, 'c');
      },
      pages);
  EXPECT_TRUE(seen.contains("a"));
  EXPECT_TRUE(seen.contains("b"));
  EXPECT_TRUE(seen.contains("c"));
}

TEST(SimFsRandom, AnUnsyncedTruncationMayBeUndone) {
  const auto seen = after_crash([](TestEnv& t) { ASSERT_TRUE(synced_pages(t, "abc")->truncate(page)); }, pages);
  EXPECT_EQ(seen, (std::set<std::string>{"a", "abc"}));
  const auto grown = after_crash([](TestEnv& t) { write_page(*synced_pages(t, "a"), 1, 'b'); }, pages);
  EXPECT_TRUE(grown.contains("a"));
  EXPECT_TRUE(grown.contains("a0")) << "the size reached the disk, the page did not";
  EXPECT_TRUE(grown.contains("ab"));
}

TEST(SimFsRandom, ATornPageKeepsItsSectors) {
  int torn = 0, spoiled = 0;
  for (const bool damage : {false, true}) {
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      TestEnv t(TestEnv::Disk::sim, seed);
      t.sim_fs().set_sector_damage(damage);
      auto file = synced_pages(t, "a");
      ASSERT_TRUE(file->write(256, as_bytes(std::string(1'000, 'b'))));
      t.sim_fs().crash(t.rng);
      const auto text = content(t, "d");
      ASSERT_EQ(text.size(), page);
      EXPECT_EQ(text.find_first_not_of('a', 1'536), text.npos) << "another sector was never touched";
      const bool neighbours = text.substr(0, 256).find_first_not_of('a') != text.npos ||
                              text.substr(1'256, 280).find_first_not_of('a') != text.npos;
      EXPECT_TRUE(damage || !neighbours) << "bytes beside the write";
      spoiled += neighbours;
      torn += text[256] == 'a' && text[1'255] == 'b';
    }
  }
  EXPECT_GT(torn, 0);
  EXPECT_GT(spoiled, 0);
}

TEST(SimFsRandom, AFailedSyncIsNotMadeGoodByTheNext) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        const auto file = synced_pages(t, "abc");
        write_page(*file, 0, 'A');
        write_page(*file, 1, 'B');
        t.sim_fs().fail_at(0);
        ASSERT_EQ(file->sync().error().reason, "fs.io");
        write_page(*file, 1, 'B');  // again
        write_page(*file, 2, 'C');
        ASSERT_TRUE(file->sync());
      },
      pages);
  EXPECT_TRUE(seen.contains("aBC"));
  EXPECT_TRUE(seen.contains("ABC"));
  for (const auto& text : seen) EXPECT_EQ(text.substr(1), "BC") << "written after the failure and synced";
}

TEST(SimFsRandom, ASyncInWhichTheProcessIsKilledLosesNothing) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        auto file = synced_pages(t, "a");
        write_page(*file, 0, 'b');
        t.sim_fs().die_at(0);
        ASSERT_FALSE(file->sync());
        t.sim_fs().kill();
        file = *t.sim_fs().open_random(t.path("d"), false);
        ASSERT_TRUE(file->sync());
      },
      pages);
  EXPECT_EQ(seen, std::set<std::string>{"b"});
}

TEST(SimFsRandom, FaultsActOnIt) {
  TestEnv t(TestEnv::Disk::sim);
  const auto file = synced_pages(t, "a");
  t.sim_fs().set_capacity(page + 10);
  EXPECT_EQ(file->write(page, as_bytes(std::string(11, 'x'))).error().reason, "fs.disk_full");
  EXPECT_EQ(file->truncate(2 * page).error().reason, "fs.disk_full");
  EXPECT_TRUE(file->write(0, as_bytes(std::string(page + 10, 'x'))));
  t.sim_fs().clear_faults();
  t.sim_fs().fail_at(0);
  EXPECT_EQ(file->truncate(0).error().reason, "fs.io");
  EXPECT_EQ(*file->size(), page + 10);
  t.sim_fs().die_at(1);
  ASSERT_TRUE(file->truncate(0));
  EXPECT_EQ(file->write(0, as_bytes("12345678")).error().reason, "fs.crashed");
  t.sim_fs().kill();
  EXPECT_EQ(content(t, "d"), "1234") << "the write at which it died is half done";
}

TEST(SimFsRandom, TakesOverFromAnAppender) {
  const auto seen = after_crash(
      [](TestEnv& t) {
        put(t, "d", std::string(page, 'a'), WriteMode::truncate, true);
        put(t, "d", std::string(page, 'b'));
        auto file = *t.sim_fs().open_random(t.path("d"), false);
        write_page(*file, 1, 'c');
      },
      pages);
  EXPECT_TRUE(seen.contains("a"));
  EXPECT_TRUE(seen.contains("bc"));
}

// write_file's promise: at whatever operation the power goes, the reader finds what was there before or what was
// written, whole; and what was acknowledged is never lost.
TEST(WriteFile, IsAtomicAndDurableAtEveryMoment) {
  int lost = 0, kept = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    for (std::uint64_t moment = 0; moment < 12; ++moment) {
      TestEnv t(TestEnv::Disk::sim, seed);
      ASSERT_TRUE(write_file(t.env.fs, t.path("a"), "before"));
      t.sim_fs().die_at(moment);
      const bool acknowledged = write_file(t.env.fs, t.path("a"), "afterwards").has_value();
      t.sim_fs().crash(t.rng);
      const auto text = content(t, "a");
      ASSERT_TRUE(text == "afterwards" || (text == "before" && !acknowledged))
          << "seed " << seed << ", power lost at operation " << moment << ": " << text;
      ++(text == "before" ? lost : kept);
    }
  }
  EXPECT_GT(lost, 0);
  EXPECT_GT(kept, 0);
}

TEST(WriteFile, TellsAnyError) {
  TestEnv t(TestEnv::Disk::sim);
  ASSERT_TRUE(write_file(t.env.fs, t.path("a"), "before"));
  const auto begin = t.sim_fs().operations();
  ASSERT_TRUE(write_file(t.env.fs, t.path("a"), "after"));
  const auto count = t.sim_fs().operations() - begin;
  ASSERT_GE(count, 5u);
  for (std::uint64_t n = 0; n < count; ++n) {
    t.sim_fs().fail_at(n);
    EXPECT_FALSE(write_file(t.env.fs, t.path("a"), "x")) << "operation " << n << " failed unnoticed";
    t.sim_fs().clear_faults();
    EXPECT_FALSE(exists(t.env.fs, t.path("a.tmp"))) << "operation " << n;
  }
}

TEST(SimFs, FailsAndDiesBetweenTwoSyncs) {
  TestEnv t(TestEnv::Disk::sim);
  auto file = t.env.fs.open_write(t.path("a"), WriteMode::truncate).value();
  t.sim_fs().fail_after_sync(1);
  ASSERT_TRUE(file->sync());
  ASSERT_TRUE(file->append(as_bytes("x")));
  ASSERT_TRUE(t.env.fs.sync_dir(t.path(""))) << "a folder's sync counts as well";
  EXPECT_EQ(file->append(as_bytes("y")).error().reason, "fs.io");
  ASSERT_TRUE(file->append(as_bytes("y")));
  t.sim_fs().die_after_sync(0);
  ASSERT_TRUE(file->append(as_bytes("z")));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(file->append(as_bytes("!")).error().reason, "fs.crashed");
}

}  // namespace
}  // namespace millrace
