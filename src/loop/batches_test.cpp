#include "loop/batches.hpp"

#include <gtest/gtest.h>

#include "flow/schedule.hpp"

namespace millrace::loop {
namespace {

TimePoint when(const char* text) { return parse_time(text).value(); }
const flow::Zone lisbon = flow::Zone::find("Europe/Lisbon").value();

TEST(Batches, DueOnceForEachTimeAndOnceForAllThatWereMissed) {
  const auto daily = flow::parse_schedule("daily 02:00").value();
  const auto decide = [&](const char* since, const char* now, bool unfinished = false) {
    return decide_batch(daily, {}, {when(now), when(since), unfinished});
  };
  auto early = decide("2031-07-07T12:00:00Z", "2031-07-08T01:59:59Z");
  EXPECT_FALSE(early.due_at);
  EXPECT_EQ(early.next, when("2031-07-08T02:00:00Z"));

  auto due = decide("2031-07-07T12:00:00Z", "2031-07-08T02:00:00Z");
  EXPECT_EQ(due.due_at, when("2031-07-08T02:00:00Z"));
  EXPECT_EQ(due.missed, 0u);
  EXPECT_EQ(due.next, when("2031-07-09T02:00:00Z"));
  EXPECT_FALSE(decide("2031-07-08T02:00:00Z", "2031-07-08T02:00:01Z").due_at) << "it was taken";

  auto missed = decide("2031-07-07T12:00:00Z", "2031-07-12T09:00:00Z");
  EXPECT_EQ(missed.due_at, when("2031-07-12T02:00:00Z")) << "it is named after the newest";
  EXPECT_EQ(missed.missed, 4u);

  auto held = decide("2031-07-07T12:00:00Z", "2031-07-08T03:00:00Z", true);
  EXPECT_FALSE(held.due_at);
  EXPECT_NE(held.waits, "");
  EXPECT_FALSE(decide("2031-07-07T12:00:00Z", "2031-07-01T02:00:00Z").due_at) << "the calendar was set back";
}

TEST(Batches, PathsAreFilledInTheZone) {
  const BatchMoment moment{when("2031-07-08T23:05:00Z"), lisbon, "churn", "3"};
  EXPECT_EQ(fill_batch_path("a/{date}/{model}-{version}_{time}.csv", moment), "a/2031-07-09/churn-3_0005.csv");
  EXPECT_EQ(fill_batch_path("plain.csv", moment), "plain.csv");
}

TEST(Batches, PathsThatAreRefused) {
  for (const char* good : {"a.csv", "/abs/{date}/x.parquet", "{model}/{version}-{time}.csv"})
    EXPECT_EQ(bad_batch_path(good, BatchPath::out), "") << good;
  for (const char* bad : {"", "a.txt", "a*.csv", "{day}.csv", "{date.csv", "file:a.csv", "s3://b/a.csv"})
    EXPECT_NE(bad_batch_path(bad, BatchPath::out), "") << bad;
  for (const char* good : {"a", "in/*.csv", "in/{date}/part-??.parquet"})
    EXPECT_EQ(bad_batch_path(good, BatchPath::in), "") << good;
  for (const char* bad : {"", "in/*/a.csv", "{version}.csv", "file:in.csv", "https://x/a.csv"})
    EXPECT_NE(bad_batch_path(bad, BatchPath::in), "") << bad;
}

}  // namespace
}  // namespace millrace::loop
