#include "loop/log_intake.hpp"

#include <gtest/gtest.h>

#include "label/records.hpp"
#include "loop/fleet_records.hpp"
#include "loop/service.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::loop {
namespace {

class IntakeTest : public testing::Test {
 protected:
  IntakeTest() {
    EXPECT_TRUE(store->write([&](meta::Tx& tx) { return put_predictor(tx, {"p", "{}", store.clock.now()}); }));
    const auto theirs = *serve::PredictionLog::open({store.test.path("theirs")}, *env);
    const auto handle = theirs->schema({"m", 1, {{"x", table::Type::int64}}, {"No", "Yes"}});
    IdMaker ids(store.clock, store.test.rng);
    const float scores[] = {0.5f};
    for (std::int64_t x = 0; x < 3; ++x) {
      last = ids.make();
      EXPECT_TRUE(theirs->append(handle, last, store.clock.now(), "k", scores, 1, table::Row{x}));
    }
    piece = *serve::read_piece(env->fs, serve::list_segments(env->fs, store.test.path("theirs"))->at(0).path, 0, true);
    restart();
  }
  void restart() {
    intake.reset();
    log.reset();
    log = *serve::PredictionLog::open({store.test.path("log")}, *env);
    intake = *LogIntake::open(*env, *store, *log);
  }
  void say(label::Label label, const std::string& model = "m") {
    label.model = model;
    label.value = "Yes";
    ASSERT_TRUE(store->write(
        [&](meta::Tx& tx) { return label::add(tx, store.test.faults, model, std::vector{label}, store.clock.now()); }));
  }
  std::int64_t late(const std::string& model = "m") {
    return *store->read([&](meta::Reader& reader) { return late_lines(reader, model); });
  }
  serve::ShippedFrom from() const { return {"p", "1-1", 0, piece.to}; }
  std::uint64_t lines() {
    return serve::read_prediction_log(env->fs, store.test.path("log"),
                                      [](const auto&, auto&&) -> Result<void> { return {}; })
        ->lines;
  }

  meta::TempStore store{all_migrations()};
  std::optional<Env> env{store.env()};
  serve::LogPiece piece;
  Id last;  // of the newest line in it
  std::unique_ptr<serve::PredictionLog> log;
  std::unique_ptr<LogIntake> intake;
};

TEST_F(IntakeTest, TakesAPieceOnce) {
  EXPECT_EQ(*intake->accepted("p", "1-1"), 0u);
  EXPECT_EQ(*intake->take(from(), piece.items), piece.to);
  EXPECT_EQ(*intake->take(from(), piece.items), piece.to);
  EXPECT_EQ(lines(), 3u);
  restart();
  EXPECT_EQ(*intake->accepted("p", "1-1"), piece.to);
  EXPECT_EQ(*intake->take(from(), piece.items), piece.to);
  EXPECT_EQ(lines(), 3u);
  EXPECT_EQ(*intake->take({"p", "1-1", piece.to + 8, piece.to + 16}, piece.items),
            piece.to);  // one in between is missing
  EXPECT_EQ(*intake->take({"q", "1-1", 0, piece.to}, piece.items), piece.to);
  EXPECT_EQ(lines(), 6u);
}

TEST_F(IntakeTest, KilledAtEveryPoint) {
  for (const char* point : {"loop.shipped.before_log", "loop.shipped.before_commit", "loop.shipped.after_commit"}) {
    const serve::ShippedFrom here{"p", point, 0, piece.to};
    const auto before = lines();
    ASSERT_TRUE(store.test.faults.arm(std::string(point) + "=error"));
    EXPECT_FALSE(intake->take(here, piece.items));
    ASSERT_TRUE(store.test.faults.arm(""));
    restart();
    EXPECT_EQ(*intake->take(here, piece.items), piece.to) << point;
    EXPECT_EQ(lines(), before + 3) << point;
  }
}

TEST_F(IntakeTest, AfterAFailedCommitTheSameProcessTakesItOnce) {
  ASSERT_TRUE(store.test.faults.arm("loop.shipped.before_commit=error"));
  EXPECT_FALSE(intake->take(from(), piece.items));
  ASSERT_TRUE(store.test.faults.arm(""));
  EXPECT_EQ(*intake->take(from(), piece.items), piece.to);
  EXPECT_EQ(lines(), 3u);
}

TEST_F(IntakeTest, ALabelThatCameBeforeItsLineIsNoted) {
  ASSERT_TRUE(intake->take({"p", "1-1", 0, piece.to}, piece.items));
  EXPECT_EQ(late(), 0);
  say({.prediction = last, .time = store.clock.now()});
  ASSERT_TRUE(intake->take({"q", "1-1", 0, piece.to}, piece.items));
  EXPECT_EQ(late(), 1);
  EXPECT_EQ(late("other"), 0);
  ASSERT_TRUE(intake->take({"q", "1-1", 0, piece.to}, piece.items));  // again, and nothing is taken
  EXPECT_EQ(late(), 1);
}

TEST_F(IntakeTest, ALabelByKeyIsNotedForLinesUpToItsTime) {
  say({.key = "k", .time = store.clock.now() - Duration(1)});
  say({.key = "other", .time = store.clock.now()});
  say({.key = "k", .time = store.clock.now()}, "other");
  ASSERT_TRUE(intake->take({"p", "1-1", 0, piece.to}, piece.items));
  EXPECT_EQ(late(), 0);
  say({.key = "k", .time = store.clock.now()});
  ASSERT_TRUE(intake->take({"q", "1-1", 0, piece.to}, piece.items));
  EXPECT_EQ(late(), 1);
}

TEST_F(IntakeTest, ALateLineIsNotedAfterAKillToo) {
  say({.prediction = last, .time = store.clock.now()});
  std::int64_t noted = 0;
  for (const char* point : {"loop.shipped.before_log", "loop.shipped.before_commit", "loop.shipped.after_commit"}) {
    const serve::ShippedFrom here{"p", point, 0, piece.to};
    ASSERT_TRUE(store.test.faults.arm(std::string(point) + "=error"));
    EXPECT_FALSE(intake->take(here, piece.items));
    ASSERT_TRUE(store.test.faults.arm(""));
    restart();
    EXPECT_EQ(*intake->take(here, piece.items), piece.to) << point;
    EXPECT_EQ(late(), ++noted) << point;
  }
}

TEST_F(IntakeTest, OfAnotherContentNothingIsTaken) {
  EXPECT_EQ(intake->take(from(), "rubbish").error().reason, "serve.bad_piece");
  EXPECT_EQ(lines(), 0u);
}

}  // namespace
}  // namespace millrace::loop
