#include "loop/again.hpp"

#include <gtest/gtest.h>

#include "base/testing/reason.hpp"

namespace millrace::loop {
namespace {

using State = track::RunState;

TEST(Again, Table) {
  struct Case {
    const char* name;
    AgainSnapshot run;
    std::string resume, repeat;  // reasons; "" for yes
  };
  const Case cases[] = {
      {"failed half-way", {"r", "train", State::failed, "", true, true, false}, "", ""},
      {"cancelled half-way", {"r", "train", State::cancelled, "", true, true, false}, "", ""},
      {"trained, and its evaluation failed", {"r", "train", State::failed, "", true, false, true}, "", ""},
      {"failed before a checkpoint", {"r", "train", State::failed, "", true, false, false}, "loop.no_checkpoint", ""},
      {"failed before its rows",
       {"r", "train", State::failed, "", false, false, false},
       "loop.no_checkpoint",
       "loop.rows_not_settled"},
      {"finished", {"r", "train", State::finished, "m:3", true, true, true}, "loop.run_finished", ""},
      {"runs", {"r", "train", State::running, "", true, true, false}, "loop.run_not_over", "loop.run_not_over"},
      {"waits", {"r", "train", State::queued, "", true, false, false}, "loop.run_not_over", "loop.run_not_over"},
      {"an import",
       {"r", "import", State::finished, "m:2", true, false, false},
       "loop.not_a_training",
       "loop.not_a_training"},
  };
  const auto reason = [](const Result<void>& done) { return done ? "" : done.error().reason; };
  for (const auto& one : cases) {
    EXPECT_EQ(reason(may_resume(one.run)), one.resume) << one.name;
    EXPECT_EQ(reason(may_repeat(one.run)), one.repeat) << one.name;
  }
  EXPECT_NE(may_resume(cases[5].run).error().message.find("runs repeat r"), std::string::npos);
}

}  // namespace
}  // namespace millrace::loop
