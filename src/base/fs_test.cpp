#include "base/fs.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing/fs_suite.hpp"

namespace millrace {
namespace {

INSTANTIATE_TEST_SUITE_P(Real, FsSuite, testing::Values(TestEnv::Disk::real));
INSTANTIATE_TEST_SUITE_P(Sim, FsSuite, testing::Values(TestEnv::Disk::sim));

TEST(Paths, JoinAndParent) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(join_path("a", "/b"), "/b");
  EXPECT_EQ(parent_path("a/b"), "a");
  EXPECT_EQ(parent_path("a/b/"), "a");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("/"), "/");
  EXPECT_EQ(parent_path("a"), ".");
}

TEST(RealFs, ReadsFilesThatClaimToBeEmpty) {
  RealFs fs;
  EXPECT_NE(read_file(fs, "/proc/self/status")->find("Pid:"), std::string::npos);
}

TEST(RealFs, ALockDiesWithItsProcess) {
  TempDir dir;
  RealFs fs;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = fs.lock(dir.path("lock"), "the child");
    (void)!::write(ready[1], lock ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_EQ(reason_of(fs.lock(dir.path("lock"), "us")), "fs.locked");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs.lock(dir.path("lock"), "us"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(RealFs, AFailedAppendLeavesTheFileAsItWas) {
  TempDir dir;
  RealFs fs;
  const pid_t child = ::fork();  // the limit is for this process only
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10'000, 10'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    auto file = *fs.open_write(dir.path("a"), WriteMode::create_new);
    if (!file->append(as_bytes("start"))) ::_exit(3);
    if (file->append(as_bytes(std::string(20'000, 'x')))) ::_exit(4);
    if (file->size() != 5 || fs.info(dir.path("a"))->size != 5) ::_exit(5);
    if (!file->append(as_bytes(" end"))) ::_exit(6);
    ::_exit(*read_file(fs, dir.path("a")) == "start end" ? 0 : 7);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0) << status;
}

}  // namespace
}  // namespace millrace
