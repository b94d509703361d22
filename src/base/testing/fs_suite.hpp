// The promises of base/fs.hpp as tests. A test program includes this once and instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Real, FsSuite, testing::Values(TestEnv::Disk::real));
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/testing/env.hpp"
#include "base/testing/reason.hpp"

namespace millrace {

class FsSuite : public testing::TestWithParam<TestEnv::Disk> {
 protected:
  TestEnv t{GetParam()};
  Fs& fs = t.env.fs;

  std::string content(const std::string& name) { return read_file(fs, t.path(name)).value_or("(" + name + " fails)"); }
  void put(const std::string& name, std::string_view text) {
    ASSERT_TRUE((*fs.open_write(t.path(name), WriteMode::truncate))->append(as_bytes(text)));
  }
  std::vector<std::string> names(const std::string& dir) {
    std::vector<std::string> out;
    for (const auto& info : *fs.list(dir)) out.push_back(info.name);
    return out;
  }
};

TEST_P(FsSuite, AppendsAndReads) {
  auto file = *fs.open_write(t.path("a"), WriteMode::create_new);
  ASSERT_TRUE(file->append(as_bytes("hello ")));
  ASSERT_TRUE(file->append(as_bytes("")));
  ASSERT_TRUE(file->append(as_bytes("world")));
  EXPECT_EQ(file->size(), 11u);
  EXPECT_EQ(content("a"), "hello world") << "readers see what is not synced yet";
  ASSERT_TRUE(file->sync());

  const auto reader = *fs.open_read(t.path("a"));
  std::string piece(4, '?');
  EXPECT_EQ(*reader->read(4, std::as_writable_bytes(std::span(piece))), 4u);
  EXPECT_EQ(piece, "o wo");
  EXPECT_EQ(*reader->read(9, std::as_writable_bytes(std::span(piece))), 2u) << "short only at the end";
  EXPECT_EQ(*reader->read(11, std::as_writable_bytes(std::span(piece))), 0u);
  EXPECT_EQ(*reader->read(1'000, std::as_writable_bytes(std::span(piece))), 0u);
  ASSERT_TRUE(file->append(as_bytes("!")));
  EXPECT_EQ(reader->size(), 12u) << "a reader sees its file grow";
}

TEST_P(FsSuite, WriteModes) {
  put("a", "one");
  EXPECT_EQ(reason_of(fs.open_write(t.path("a"), WriteMode::create_new)), "fs.exists");
  {
    auto file = *fs.open_write(t.path("a"), WriteMode::append);
    EXPECT_EQ(file->size(), 3u);
    ASSERT_TRUE(file->append(as_bytes(" two")));
  }
  EXPECT_EQ(content("a"), "one two");
  put("a", "three");
  EXPECT_EQ(content("a"), "three");
}

TEST_P(FsSuite, MissingThings) {
  EXPECT_EQ(reason_of(fs.open_read(t.path("none"))), "fs.not_found");
  EXPECT_EQ(reason_of(fs.open_write(t.path("none/a"), WriteMode::create_new)), "fs.not_found");
  EXPECT_EQ(reason_of(fs.info(t.path("none"))), "fs.not_found");
  EXPECT_EQ(reason_of(fs.list(t.path("none"))), "fs.not_found");
  EXPECT_EQ(reason_of(fs.rename(t.path("none"), t.path("b"))), "fs.not_found");
  EXPECT_EQ(reason_of(fs.remove(t.path("none"))), "fs.not_found");
  EXPECT_EQ(reason_of(fs.sync_dir(t.path("none"))), "fs.not_found");
  EXPECT_TRUE(fs.remove_all(t.path("none")));
  EXPECT_FALSE(exists(fs, t.path("none")));
  EXPECT_EQ(fs.open_read(t.path("none")).error().code, Code::not_found);
}

TEST_P(FsSuite, Folders) {
  ASSERT_TRUE(fs.make_dirs(t.path("x/y/z")));
  ASSERT_TRUE(fs.make_dirs(t.path("x/y/z"))) << "twice is fine";
  put("x/b", "1");
  put("x/a", "22");
  EXPECT_EQ(names(t.path("x")), (std::vector<std::string>{"a", "b", "y"}));
  const auto listed = *fs.list(t.path("x"));
  EXPECT_EQ(listed[0].size, 2u);
  EXPECT_FALSE(listed[0].is_dir);
  EXPECT_TRUE(listed[2].is_dir);
  EXPECT_TRUE(fs.info(t.path("x"))->is_dir);
  EXPECT_EQ(fs.info(t.path("x/a"))->name, "a");
  EXPECT_EQ(reason_of(fs.open_read(t.path("x"))), "fs.is_dir");
  EXPECT_EQ(reason_of(fs.open_write(t.path("x"), WriteMode::append)), "fs.is_dir");
  EXPECT_EQ(reason_of(fs.make_dirs(t.path("x/a"))), "fs.exists");
  EXPECT_EQ(reason_of(fs.remove(t.path("x"))), "fs.not_empty");
  ASSERT_TRUE(fs.remove(t.path("x/y/z"))) << "an empty folder";
  ASSERT_TRUE(fs.sync_dir(t.path("x")));
  ASSERT_TRUE(fs.remove_all(t.path("x")));
  EXPECT_TRUE(fs.list(t.dir)->empty());
}

TEST_P(FsSuite, RenameReplaces) {
  put("a", "new");
  put("b", "old");
  const auto old = *fs.open_read(t.path("b"));
  ASSERT_TRUE(fs.rename(t.path("a"), t.path("b")));
  EXPECT_EQ(content("b"), "new");
  EXPECT_FALSE(exists(fs, t.path("a")));
  std::string text(3, '?');
  EXPECT_EQ(*old->read(0, std::as_writable_bytes(std::span(text))), 3u) << "open files keep what they have";
  EXPECT_EQ(text, "old");

  ASSERT_TRUE(fs.make_dirs(t.path("d/e")));
  ASSERT_TRUE(fs.rename(t.path("b"), t.path("d/e/b")));
  ASSERT_TRUE(fs.rename(t.path("d"), t.path("f")));
  EXPECT_EQ(content("f/e/b"), "new");
  ASSERT_TRUE(fs.make_dirs(t.path("g")));
  EXPECT_EQ(reason_of(fs.rename(t.path("f/e/b"), t.path("g"))), "fs.is_dir");
}

TEST_P(FsSuite, MappedFiles) {
  {
    auto file = *fs.open_mapped(t.path("m"), 10'000);
    ASSERT_EQ(file->bytes().size(), 10'000u);
    EXPECT_EQ(file->bytes()[9'999], std::byte{0});
    file->bytes()[5'000] = std::byte{'x'};
    EXPECT_EQ(content("m")[5'000], 'x') << "readers see stores at once";
    ASSERT_TRUE(file->sync(5'000, 1));
    ASSERT_TRUE(file->sync(0, 10'000));
    EXPECT_FALSE(file->sync(9'999, 2));
  }
  EXPECT_EQ((*fs.open_mapped(t.path("m"), 10'000))->bytes()[5'000], std::byte{'x'});
  EXPECT_EQ(reason_of(fs.open_mapped(t.path("m"), 20'000)), "fs.size_differs");
  EXPECT_FALSE(fs.open_mapped(t.path("zero"), 0));
}

TEST_P(FsSuite, Locks) {
  auto held = *fs.lock(t.path("lock"), "process 7");
  const auto second = fs.lock(t.path("lock"), "process 8");
  ASSERT_EQ(reason_of(second), "fs.locked");
  EXPECT_EQ(second.error().code, Code::failed_precondition);
  EXPECT_NE(second.error().message.find("process 7"), std::string::npos) << second.error().message;
  EXPECT_EQ(content("lock"), "process 7");
  held.reset();
  EXPECT_TRUE(fs.lock(t.path("lock"), "process 8"));
}

TEST_P(FsSuite, ReadFileHasABound) {
  put("a", std::string(100'000, 'a'));
  EXPECT_EQ(content("a").size(), 100'000u);
  EXPECT_EQ(reason_of(read_file(fs, t.path("a"), 99'999)), "fs.too_large");
  EXPECT_TRUE(read_file(fs, t.path("a"), 100'000));
}

TEST_P(FsSuite, WriteFileReplacesAndLeavesNothingElse) {
  ASSERT_TRUE(write_file(fs, t.path("a"), "one"));
  ASSERT_TRUE(write_file(fs, t.path("a"), "two"));
  EXPECT_EQ(content("a"), "two");
  EXPECT_EQ(names(t.dir), std::vector<std::string>{"a"});
  EXPECT_EQ(reason_of(write_file(fs, t.path("none/a"), "x")), "fs.not_found");
}

TEST_P(FsSuite, FreeBytes) { EXPECT_GT(*fs.free_bytes(t.dir), 0u); }

}  // namespace millrace
