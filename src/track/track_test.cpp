#include "track/track.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "meta/testing/temp_store.hpp"

namespace millrace::track {
namespace {

constexpr TimePoint noon{std::chrono::hours(12)};

track::Run make_run(std::string id, TimePoint created) {
  track::Run run;
  run.id = std::move(id);
  run.project = "churn";
  run.kind = "train";
  run.cause = "first version";
  run.created = created;
  return run;
}

class TrackTest : public testing::Test {
 protected:
  meta::TempStore store{migrations()};
  Result<void> create(const track::Run& run) {
    return store->write([&](meta::Tx& tx) { return create_run(tx, run); });
  }
};

TEST_F(TrackTest, ARunIsWhatWasWrittenLast) {
  auto run = make_run("06F3AAAAAAAAAAAAAAAAAAAAAA", noon);
  ASSERT_TRUE(create(run));
  run.state = RunState::failed;
  run.ended = noon + std::chrono::seconds(3);
  run.failure = R"({"cause":"memory"})";
  ASSERT_TRUE(store->write([&](meta::Tx& tx) { return update_run(tx, run); }));
  auto read = store->read([&](meta::Reader& reader) { return get_run(reader, "06F3A"); });
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->state, RunState::failed);
  EXPECT_EQ(read->failure, run.failure);
  EXPECT_EQ(read->ended, run.ended);
  EXPECT_EQ(read->started, std::nullopt);
}

TEST_F(TrackTest, TheNewestIsTheLastOneMadeWhateverTheCalendarDid) {
  ASSERT_TRUE(create(make_run("06F3AAAAAAAAAAAAAAAAAAAAAA", noon)));
  ASSERT_TRUE(create(make_run("06F3AAAAAAAAAAAAAAAAAAAAAB", noon - std::chrono::hours(1))));
  const auto runs = store->read([&](meta::Reader& reader) { return list_runs(reader, "churn", 2, 0); });
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ(runs->front().id, "06F3AAAAAAAAAAAAAAAAAAAAAB");
  EXPECT_EQ(runs->front().created, noon + Duration(1));
}

TEST_F(TrackTest, APrefixMustFitOneRun) {
  ASSERT_TRUE(create(make_run("06F3AAAAAAAAAAAAAAAAAAAAAA", noon)));
  ASSERT_TRUE(create(make_run("06F3ABAAAAAAAAAAAAAAAAAAAA", noon + std::chrono::seconds(1))));
  auto get = [&](std::string_view id) {
    return store->read([&](meta::Reader& reader) { return get_run(reader, id); });
  };
  EXPECT_EQ(get("06F3A").error().reason, "track.ambiguous_run");
  EXPECT_EQ(get("06F3AB")->id, "06F3ABAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(get("07").error().reason, "track.no_run");
  EXPECT_EQ(get("").error().reason, "track.no_run");
  auto newest = store->read([&](meta::Reader& reader) { return list_runs(reader, "churn", 1, 0); });
  EXPECT_EQ(newest->front().id, "06F3ABAAAAAAAAAAAAAAAAAAAA");
}

TEST_F(TrackTest, AResumedRunRepeatsItsStepsAndNanIsKept) {
  auto run = make_run("06F3AAAAAAAAAAAAAAAAAAAAAA", noon);
  ASSERT_TRUE(create(run));
  auto log = [&](std::vector<MetricPoint> points) {
    return store->write([&](meta::Tx& tx) { return log_metrics(tx, run.id, points); });
  };
  ASSERT_TRUE(log({{"auc", 1, 0.5, noon}, {"auc", 2, 0.6, noon}}));
  ASSERT_TRUE(log({{"auc", 2, 0.7, noon}, {"auc", 3, std::numeric_limits<double>::quiet_NaN(), noon}}));
  auto history = store->read([&](meta::Reader& reader) { return metric_history(reader, run.id); });
  ASSERT_EQ(history->size(), 3u);
  EXPECT_EQ((*history)[1].value, 0.7);
  EXPECT_TRUE(std::isnan((*history)[2].value));
}

}  // namespace
}  // namespace millrace::track
