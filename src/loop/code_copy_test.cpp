#include "loop/code_copy.hpp"

#include <gtest/gtest.h>

#include "base/fs.hpp"
#include "base/testing/env.hpp"
#include "blob/testing/memory.hpp"
#include "loop/testing/project_examples.hpp"

namespace millrace::loop {
namespace {

struct CodeCopyTest : ::testing::Test {
  TestEnv t;
  SystemClock clock;
  SystemProcesses processes{clock};
  blob::MemoryStore blobs{clock};
  std::string folder = t.path("project");

  void shell(const std::string& line) {
    auto process = processes.spawn({.argv = {"sh", "-c", line}, .cwd = folder});
    ASSERT_TRUE(process) << process.error().message;
    const auto exit = (*process)->wait(std::chrono::minutes(1));
    ASSERT_TRUE(exit && exit->ok()) << line;
  }
  CodeCopy look() {
    CodeCopy copy;
    copy_git(t.env, blobs, processes, folder, t.path("scratch"), copy);
    EXPECT_FALSE(exists(t.env.fs, t.path("scratch"))) << "nothing is left";
    return copy;
  }
};

TEST_F(CodeCopyTest, ACommitAndWhatDiffersFromIt) {
  if (!find_program("git")) GTEST_SKIP() << "no git here";
  ASSERT_TRUE(t.env.fs.make_dirs(folder));
  shell("git init -q . && echo 1 > train.py && git add . && git -c user.name=n -c user.email=e commit -qm first");
  auto copy = look();
  EXPECT_EQ(40u, copy.git_commit.size()) << copy.git_note;
  EXPECT_EQ("", copy.git_diff + copy.git_note);

  shell("echo 2 > train.py; echo new > other.py; git config diff.external 'touch external-was-run; false'");
  copy = look();
  EXPECT_EQ("", copy.git_note);
  const auto digest = Digest::parse(copy.git_diff);
  ASSERT_TRUE(digest);
  const auto diff = blobs.read(*digest, 1 << 20).value_or("");
  EXPECT_NE(std::string::npos, diff.find("-1\n+2\n")) << diff;
  EXPECT_EQ(static_cast<std::int64_t>(diff.size()), copy.git_diff_bytes);
  EXPECT_FALSE(exists(t.env.fs, folder + "/external-was-run"));
}

TEST_F(CodeCopyTest, WhereThereIsNone) {
  ASSERT_TRUE(t.env.fs.make_dirs(folder));
  const auto copy = look();
  EXPECT_EQ("", copy.git_commit + copy.git_diff + copy.git_note);
}

TEST_F(CodeCopyTest, TheProjectFileAsWrittenAndCompleted) {
  const auto project = *parse_project(testing::shortest);
  const auto copy = copy_project(blobs, testing::shortest, project);
  ASSERT_TRUE(copy);
  EXPECT_EQ(testing::shortest, blobs.read(*Digest::parse(copy->project_file), 1 << 20).value_or(""));
  EXPECT_EQ(render_resolved(project), blobs.read(project_digest(project), 1 << 20).value_or(""));
}

}  // namespace
}  // namespace millrace::loop
