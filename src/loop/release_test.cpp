#include "loop/release.hpp"

#include <gtest/gtest.h>

#include "loop/release_records.hpp"

namespace millrace::loop {
namespace {

using namespace std::chrono_literals;
using StepKind = ReleaseStep::Kind;
using Kind = ReleaseDecision::Kind;

TEST(ReleaseSteps, AsTheyAreWritten) {
  const auto step = [](const char* text) { return parse_release_step(text).value(); };
  EXPECT_EQ(step("full"), (ReleaseStep{}));
  EXPECT_EQ(step("shadow"), (ReleaseStep{StepKind::shadow, 0, 1h}));
  EXPECT_EQ(step("shadow 90s"), (ReleaseStep{StepKind::shadow, 0, 90s}));
  EXPECT_EQ(step("canary 5%"), (ReleaseStep{StepKind::canary, 0.05, 10min}));
  EXPECT_EQ(step("  canary  2.5%  30m "), (ReleaseStep{StepKind::canary, 0.025, 30min}));
  for (const char* bad : {"", "canary", "canary 5", "canary 0%", "canary 101%", "canary 5% x", "canary 5% 0s",
                          "canary 5% 1h 2h", "full 1h", "shadow 5%", "Full", "blue"})
    EXPECT_EQ(parse_release_step(bad).error().reason, "loop.bad_step") << bad;
  EXPECT_EQ(parse_release_step("replay 14d").error().code, Code::unimplemented);
}

TEST(ReleaseSteps, AsAList) {
  EXPECT_EQ(bad_release_steps({"full"}), "");
  EXPECT_EQ(bad_release_steps({"shadow 1h", "canary 5% 30m", "canary 25%", "full"}), "");
  const std::vector<std::vector<std::string>> bad = {{},
                                                     {"canary 5%"},
                                                     {"full", "full"},
                                                     {"canary 25%", "canary 5%", "full"},
                                                     {"canary 5%", "shadow", "full"},
                                                     {"x", "full"}};
  for (const auto& steps : bad) EXPECT_NE(bad_release_steps(steps), "") << steps.size();
}

// Against scipy.stats.fisher_exact (1.17.1), alternative "greater".
TEST(FailureChance, IsFishersExactTest) {
  struct {
    ReleaseCounts counts;  // of the candidate, failed; of the other, failed
    double expected;
  } const cases[] = {
      {{100, 0, 100, 0}, 1.0},
      {{100, 5, 1000, 0}, 5.661015424159783e-06},
      {{100, 3, 1000, 10}, 0.10669272468283643},
      {{120, 12, 3000, 30}, 2.517588592085397e-08},
      {{100, 100, 1000, 0}, 7.027569001851997e-145},
      {{100, 1, 100, 1}, 0.7512562814070352},
      {{100, 60, 100000, 5000}, 2.1912750241116774e-51},
      {{500, 7, 500, 7}, 0.6054768970562591},
      {{1000, 20, 20000, 100}, 9.48599541789573e-07},
      {{100, 4, 0, 0}, 1.0},
  };
  for (const auto& c : cases)
    EXPECT_NEAR(failure_chance(c.counts) / c.expected, 1, 1e-6)
        << c.counts.candidate_failed << " of " << c.counts.candidate;
}

ReleaseSnapshot canary() {
  ReleaseSnapshot s;
  s.step = {StepKind::canary, 0.05, 30min};
  s.since = TimePoint(1000s);
  s.now = s.since + 10min;
  s.ready = true;
  return s;
}

TEST(DecideRelease, Table) {
  struct Case {
    const char* what;
    void (*change)(ReleaseSnapshot&);
    Kind expected;
  };
  const Case cases[] = {
      {"its time is not over", [](auto&) {}, Kind::stay},
      {"its time is over", [](auto& s) { s.now = s.since + 30min; }, Kind::next},
      {"a shadow's too", [](auto& s) { s.step = {StepKind::shadow, 0, 10min}; }, Kind::next},
      {"the calendar was set back", [](auto& s) { s.now = s.since - 5min; }, Kind::stay},
      {"worse", [](auto& s) { s.counts = {100, 5, 1000, 0}; }, Kind::back},
      {"worse, though its time is over", [](auto& s) { s.counts = {100, 5, 1000, 0}, s.now = s.since + 1h; },
       Kind::back},
      {"too few requests to say", [](auto& s) { s.counts = {99, 99, 1000, 0}; }, Kind::stay},
      {"as bad as the other", [](auto& s) { s.counts = {1000, 50, 1000, 50}; }, Kind::stay},
      {"better", [](auto& s) { s.counts = {1000, 1, 1000, 50}; }, Kind::stay},
      {"nothing to compare with", [](auto& s) { s.counts = {1000, 50, 0, 0}; }, Kind::stay},
      {"nothing to go back to", [](auto& s) { s.counts = {100, 50, 1000, 0}, s.may_go_back = false; }, Kind::stay},
      {"not loaded yet", [](auto& s) { s.ready = false, s.now = s.since + 1h; }, Kind::stay},
      {"can't be loaded, for now", [](auto& s) { s.ready = false, s.load_error = "no"; }, Kind::stay},
      {"can't be loaded", [](auto& s) { s.ready = false, s.load_error = "no", s.now = s.since + 31min; }, Kind::back},
      {"full: too early", [](auto& s) { s.step = {}, s.counts.candidate = 1000, s.now = s.since + 9min; }, Kind::stay},
      {"full: too few requests", [](auto& s) { s.step = {}, s.counts.candidate = 1000, s.candidate_before = 950; },
       Kind::stay},
      {"full: passed", [](auto& s) { s.step = {}, s.counts.candidate = 1000, s.candidate_before = 900; }, Kind::finish},
      {"full: worse", [](auto& s) { s.step = {}, s.counts = {1000, 50, 1000, 0}; }, Kind::back},
  };
  for (const auto& c : cases) {
    auto snapshot = canary();
    c.change(snapshot);
    const auto decision = decide_release(snapshot);
    EXPECT_EQ(decision.kind, c.expected) << c.what << ": " << decision.why;
    if (c.expected == Kind::back) EXPECT_FALSE(decision.why.empty()) << c.what;
  }
}

TEST(DecideRelease, SaysTheNumbers) {
  auto snapshot = canary();
  snapshot.counts = {120, 12, 3000, 30};
  const auto why = decide_release(snapshot).why;
  for (const char* part : {"12 of 120", "30 of 3000", "2.5e-08", "0.001", "Fisher"})
    EXPECT_NE(why.find(part), std::string::npos) << why;
}

serve::Death death_of(std::int64_t version, int second) {
  serve::Death death{.signal = 6, .at = TimePoint(std::chrono::seconds(second)), .watched = {}, .requests = {{}}};
  death.watched.model = "m";
  death.watched.version = version;
  return death;
}

TEST(ReleaseDeaths, EachPredictorIsNotedOnce) {
  Release release{.model = "m", .candidate = 4};
  EXPECT_FALSE(add_death(release, death_of(3, 1), "one")) << "of another version";
  EXPECT_TRUE(add_death(release, death_of(4, 1), "one"));
  EXPECT_FALSE(add_death(release, death_of(4, 1), "one"));
  release.ended = TimePoint(std::chrono::seconds(2));
  EXPECT_TRUE(add_death(release, death_of(4, 1), "two"));
  EXPECT_FALSE(add_death(release, death_of(4, 1), "two"));
  EXPECT_FALSE(add_death(release, death_of(4, 1), "")) << "of the server's own: the release is over";
  EXPECT_EQ(release.death->predictor + release.death->name, "oneSIGABRT");
  EXPECT_EQ(release.death->requests.size(), 1u);
  ASSERT_EQ(release.death->others.size(), 1u);
  EXPECT_EQ(release.death->others[0].predictor, "two");
  for (int i = 0; i < 200; ++i) (void)add_death(release, death_of(4, 100 + i), "two");
  EXPECT_EQ(release.death->others.size(), ReleaseDeath::kOthersMax);
}

TEST(ReleaseDeaths, TheServersOwnEndsWhatIsUnderWay) {
  Release release{.model = "m", .candidate = 4};
  EXPECT_TRUE(add_death(release, death_of(4, 1), ""));
  EXPECT_EQ(release.death->predictor, "");
  EXPECT_EQ(release.death->signal, 6);
}

}  // namespace
}  // namespace millrace::loop
