#include "loop/decide.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace millrace::loop {
namespace {

const RetrainRule labels_100{RetrainRule::Kind::new_labels, "new_labels >= 100", 100, ""};
const RetrainRule rows_50{RetrainRule::Kind::new_rows, "new_rows >= 50", 50, ""};
const RetrainRule live_auc{RetrainRule::Kind::live_below, "live.auc < 0.78", 0.78, "auc"};
constexpr TimePoint noon{std::chrono::hours(12)};

RetrainSnapshot trained() {
  RetrainSnapshot s;
  s.now = noon;
  s.dataset_version = 1;
  s.dataset_rows = 1000;
  s.labels = 40;
  s.model_digest = "a";
  s.last = LastTraining{1, 1000, 40, "a", noon - std::chrono::hours(1), false};
  return s;
}

struct Case {
  const char* name;
  RetrainPolicy policy;
  std::function<void(RetrainSnapshot&)> change;
  bool start;
  std::string rule;
};

TEST(DecideRetrain, Table) {
  std::vector<Case> cases = {
      {"no data",
       {},
       [](auto& s) {
         s.dataset_version.reset();
         s.last.reset();
       },
       false,
       ""},
      {"first version", {}, [](auto& s) { s.last.reset(); }, true, "first version"},
      {"first version does not wait for the window",
       {},
       [](auto& s) {
         s.last.reset();
         s.window_open = false;
       },
       true,
       "first version"},
      {"nothing new", {{labels_100, rows_50}, {}, ""}, [](auto&) {}, false, ""},
      {"99 labels are not enough", {{labels_100}, {}, ""}, [](auto& s) { s.labels = 139; }, false, ""},
      {"100 are", {{labels_100}, {}, ""}, [](auto& s) { s.labels = 140; }, true, "new_labels >= 100"},
      {"but not beside a run",
       {{labels_100}, {}, ""},
       [](auto& s) {
         s.labels = 140;
         s.running = true;
       },
       false,
       ""},
      {"nor outside the window",
       {{labels_100}, {}, ""},
       [](auto& s) {
         s.labels = 140;
         s.window_open = false;
       },
       false,
       ""},
      {"new rows", {{rows_50}, {}, ""}, [](auto& s) { s.dataset_rows = 1050; }, true, "new_rows >= 50"},
      {"live metric fell",
       {{live_auc}, {}, ""},
       [](auto& s) {
         s.live["auc"] = 0.7;
         s.labels = 41;
       },
       true,
       "live.auc < 0.78"},
      {"live metric fell, nothing to learn from",
       {{live_auc}, {}, ""},
       [](auto& s) { s.live["auc"] = 0.7; },
       false,
       ""},
      {"live metric holds",
       {{live_auc}, {}, ""},
       [](auto& s) {
         s.live["auc"] = 0.79;
         s.labels = 41;
       },
       false,
       ""},
      {"live metric unknown", {{live_auc}, {}, ""}, [](auto& s) { s.labels = 41; }, false, ""},
      {"schedule due", {{}, noon, "daily"}, [](auto&) {}, true, "schedule daily"},
      {"schedule not due", {{}, noon + std::chrono::seconds(1), "daily"}, [](auto&) {}, false, ""},
      {"the model's part of the file changed", {}, [](auto& s) { s.model_digest = "b"; }, true, "project file changed"},
      {"by hand beats the window",
       {},
       [](auto& s) {
         s.asked = "ana";
         s.window_open = false;
       },
       true,
       "by hand"},
      {"by hand waits for a run",
       {},
       [](auto& s) {
         s.asked = "ana";
         s.running = true;
       },
       false,
       ""},
  };
  for (const auto& c : cases) {
    auto snapshot = trained();
    c.change(snapshot);
    auto decision = decide_retrain(c.policy, snapshot);
    EXPECT_EQ(decision.start, c.start) << c.name;
    EXPECT_EQ(decision.rule, c.rule) << c.name;
  }
}

TEST(DecideRetrain, SaysWhatItWaitsFor) {
  auto snapshot = trained();
  snapshot.labels = 77;
  auto decision = decide_retrain({{labels_100, live_auc}, noon + std::chrono::hours(3), "daily"}, snapshot);
  ASSERT_EQ(decision.waiting.size(), 3u);
  EXPECT_EQ(decision.waiting[0], "new_labels >= 100 (37 so far)");
  EXPECT_EQ(decision.waiting[1], "live.auc < 0.78 (no labelled predictions yet)");
}

}  // namespace
}  // namespace millrace::loop
