#include "base/fault.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

namespace millrace {
namespace {

TEST(Faults, UnarmedLetsAllPass) {
  Faults faults;
  EXPECT_TRUE(faults.reach("blob.put.before_rename"));
  EXPECT_TRUE(faults.reached().empty());
}

TEST(Faults, ErrorEveryTimeOrTheNthTime) {
  auto faults = *Faults::parse("a.b.c=error,d.e.f=error@2");
  for (int i = 0; i < 3; ++i) {
    const auto always = faults->reach("a.b.c");
    ASSERT_FALSE(always);
    EXPECT_EQ(always.error().code, Code::unavailable);
    EXPECT_EQ(always.error().reason, "fault.injected");
    EXPECT_EQ(faults->reach("d.e.f").has_value(), i != 1);
    EXPECT_TRUE(faults->reach("not.armed.here"));
  }
  EXPECT_EQ(faults->reached(), (std::map<std::string, std::uint64_t>{{"a.b.c", 3}, {"d.e.f", 3}}));
}

TEST(Faults, OnceActsInOneProcessOnly) {
  const std::string path = "/tmp/millrace_fault_once_" + std::to_string(::getpid());
  ::unlink(path.c_str());
  auto first = *Faults::parse("a.b.c=error/once:" + path);
  EXPECT_FALSE(first->reach("a.b.c"));
  EXPECT_TRUE(first->reach("a.b.c"));
  auto restarted = *Faults::parse("a.b.c=error/once:" + path);
  EXPECT_TRUE(restarted->reach("a.b.c"));
  ::unlink(path.c_str());
}

TEST(Faults, NotesWhatIsReached) {
  const std::string path = "/tmp/millrace_fault_note_" + std::to_string(::getpid());
  ::unlink(path.c_str());
  auto faults = *Faults::parse("a.b.c=error@2,*=note:" + path);
  EXPECT_TRUE(faults->reach("a.b.c"));
  EXPECT_TRUE(faults->reach("d.e.f"));
  EXPECT_FALSE(faults->reach("a.b.c"));
  std::ifstream file(path);
  std::vector<std::string> names;
  std::string name, pid;
  while (file >> name >> pid) {
    names.push_back(name);
    EXPECT_EQ(pid, std::to_string(::getpid()));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a.b.c", "d.e.f", "a.b.c"}));
  EXPECT_EQ(faults->reached(), (std::map<std::string, std::uint64_t>{{"a.b.c", 2}}));
  ::unlink(path.c_str());
}

TEST(FaultsDeathTest, KillIsSigkill) {
  auto faults = *Faults::parse("a.b.c=kill@2");
  EXPECT_TRUE(faults->reach("a.b.c"));
  EXPECT_EXIT((void)faults->reach("a.b.c"), testing::KilledBySignal(SIGKILL), "");
}

TEST(FaultsDeathTest, AbortIsSigabrtAndHangNeverReturns) {
  auto faults = *Faults::parse("a.b.c=abort,d.e.f=hang");
  EXPECT_EXIT((void)faults->reach("a.b.c"), testing::KilledBySignal(SIGABRT), "");
  EXPECT_EXIT((::alarm(1), (void)faults->reach("d.e.f")), testing::KilledBySignal(SIGALRM), "");
}

TEST(Faults, RefusesOtherSpecs) {
  for (const auto* spec : {"a", "=kill", "a=", "a=explode", "a=kill@0", "a=kill@x", "a=kill@1x",
                           "a=kill/once:", "*=note:", "a=note:x", "a=kill,a=stop", "a=kill,,b=kill"}) {
    const auto got = Faults::parse(spec);
    ASSERT_FALSE(got) << spec;
    EXPECT_EQ(got.error().reason, "fault.bad_spec");
  }
  EXPECT_TRUE(Faults::parse(""));
}

}  // namespace
}  // namespace millrace
