#include <gtest/gtest.h>

#include "loop/records.hpp"
#include "loop/service.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::loop {
namespace {

using std::chrono::hours;

TEST(LoopRecords, TheNewestTrainingIsTheLastOneWhateverTheCalendarDid) {
  meta::TempStore store(all_migrations());
  const auto add = [&](const std::string& run, bool counts) {
    Training one;
    one.run = run;
    one.plan = "{}";
    one.counts = counts;
    one.started = store.clock.now();
    ASSERT_TRUE(store->write([&](meta::Tx& tx) { return add_training(tx, one); }));
  };
  const auto newest = [&] { return **store->read([](meta::Reader& reader) { return newest_training(reader); }); };

  const auto noon = store.clock.now();
  add("a", true);
  EXPECT_EQ(newest().started, noon);
  store.clock.step_calendar(-hours(1));
  add("b", true);
  EXPECT_EQ(newest().run, "b") << "else what it has seen counts as new once more";
  EXPECT_GT(newest().started, noon) << "a schedule that fired does not fire again";
  EXPECT_LT(newest().started, noon + std::chrono::seconds(1));
  add("0", true);  // in the same microsecond, with an id that sorts before
  EXPECT_EQ(newest().run, "0");
  add("c", false);
  EXPECT_EQ((*store->read([](meta::Reader& reader) { return training_of(reader, "c"); }))->started, noon - hours(1));
  store.clock.step_calendar(hours(2));
  add("d", true);
  EXPECT_EQ(newest().started, noon + hours(1));
}

TEST(LoopRecords, TheProjectFileOfAMoment) {
  meta::TempStore store(all_migrations());
  const auto first = store.clock.now();
  for (const char* text : {"one", "two"}) {
    ASSERT_TRUE(
        store->write([&](meta::Tx& tx) { return add_project(tx, {0, "churn", text, "", store.clock.now(), "ana"}); }));
    store.clock.advance(hours(2));
  }
  const auto then = [&](TimePoint at) {
    const auto project = *store->read([&](meta::Reader& reader) { return project_at(reader, at); });
    return project ? project->text : "none";
  };
  EXPECT_EQ(then(first - Duration(1)), "none");
  EXPECT_EQ(then(first), "one");
  EXPECT_EQ(then(first + hours(2) - Duration(1)), "one");
  EXPECT_EQ(then(first + hours(2)), "two");
  EXPECT_EQ(then(store.clock.now()), "two");
}

}  // namespace
}  // namespace millrace::loop
