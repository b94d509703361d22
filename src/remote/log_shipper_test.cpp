#include "remote/log_shipper.hpp"

#include <gtest/gtest.h>

#include <format>
#include <map>

#include "base/testing/env.hpp"

namespace millrace::remote {
namespace {

// A server with a log of its own.
struct Receiver final : LogReceiver {
  explicit Receiver(TestEnv& t) : t(t), log(*serve::PredictionLog::open({t.path("server"), 1 << 20}, t.env)) {}
  Result<std::uint64_t> shipped(const std::string& segment) const override {
    ++asked;
    return accepted[segment];
  }
  Result<std::uint64_t> ship(const std::string& segment, std::uint64_t from, std::uint64_t to,
                             std::string items) const override {
    if (away) return fail(Code::unavailable, "http.unreachable", "away");
    TRY_VOID(serve::check_piece({"p", segment, from, to}, items));
    if (accepted[segment] == from) {
      TRY_VOID(log->append_shipped({"p", segment, from, to}, items));
      accepted[segment] = to;
    }
    if (answer_lost) return fail(Code::unavailable, "http.unreachable", "cut");
    return accepted[segment];
  }
  std::map<std::string, int> lines() const {
    std::map<std::string, int> out;
    EXPECT_TRUE(serve::read_prediction_log(
        t.env.fs, t.path("server"), [&](const serve::LogSchema&, serve::LoggedPrediction&& line) -> Result<void> {
          ++out[line.key];
          return {};
        }));
    return out;
  }
  TestEnv& t;
  std::unique_ptr<serve::PredictionLog> log;
  mutable std::map<std::string, std::uint64_t> accepted;
  mutable int asked = 0;
  bool away = false, answer_lost = false;
};

class ShipperTest : public testing::Test {
 protected:
  ShipperTest() { start(); }
  void start() {
    shipper.reset();
    log = *serve::PredictionLog::open({t.path("log"), 1 << 16}, t.env);
    handle = log->schema({"m", 1, {{"x", table::Type::int64}}, {"No", "Yes"}});
    shipper.emplace(t.env, receiver, *log);
  }
  void add(int count) {
    for (int i = 0; i < count; ++i) {
      const float scores[] = {0.5f};
      const table::Row row{std::int64_t{sent}};
      ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), std::format("k{}", sent++), scores, 1, row));
    }
  }
  void ship_all() {
    for (int i = 0; i < 1000; ++i) {
      const auto step = shipper->step();
      ASSERT_TRUE(step) << step.error().message;
      if (!*step) return;
    }
    FAIL() << "no end";
  }
  void expect_all_once() {
    const auto lines = receiver.lines();
    EXPECT_EQ(static_cast<int>(lines.size()), sent);
    for (const auto& [key, times] : lines) EXPECT_EQ(times, 1) << key;
  }
  std::size_t segments() { return serve::list_segments(t.env.fs, t.path("log"))->size(); }

  TestEnv t;
  Receiver receiver{t};
  IdMaker ids{t.clock, t.rng};
  std::unique_ptr<serve::PredictionLog> log;
  serve::PredictionLog::Handle handle;
  std::optional<LogShipper> shipper;
  int sent = 0;
};

TEST_F(ShipperTest, SendsEachLineOnceAndRemovesWhatIsSent) {
  ship_all();
  add(10);
  ship_all();
  EXPECT_EQ(receiver.lines().size(), 10u);
  EXPECT_EQ(shipper->unshipped_bytes(), 0u);
  add(2000);  // over several segments
  EXPECT_GT(segments(), 2u);
  EXPECT_GT(shipper->unshipped_bytes(), 0u);
  ship_all();
  expect_all_once();
  EXPECT_EQ(segments(), 1u);  // the one that is written to
  EXPECT_EQ(shipper->unshipped_bytes(), 0u);
}

TEST_F(ShipperTest, ASegmentMadeAheadHasNothingToSend) {
  while (log->prepare(), segments() < 2) add(1);
  ship_all();
  expect_all_once();
  EXPECT_EQ(segments(), 2u);
  EXPECT_EQ(shipper->unshipped_bytes(), 0u);
}

TEST_F(ShipperTest, GoesOnAfterARestart) {
  add(1000);
  ASSERT_TRUE(shipper->step());
  start();
  add(10);
  ship_all();
  expect_all_once();
  EXPECT_EQ(segments(), 1u);
}

TEST_F(ShipperTest, AnAnswerThatIsLostIsAskedFor) {
  add(10);
  receiver.answer_lost = true;
  EXPECT_FALSE(shipper->step());
  receiver.answer_lost = false;
  add(5);
  ship_all();
  expect_all_once();
}

TEST_F(ShipperTest, NothingIsRemovedWhileTheServerIsAway) {
  receiver.away = true;
  add(1000);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(shipper->step());
  EXPECT_GT(segments(), 1u);
  receiver.away = false;
  ship_all();
  expect_all_once();
}

TEST_F(ShipperTest, KilledAtEveryPoint) {
  for (const char* point :
       {"remote.ship.before_send", "remote.ship.after_send", "remote.ship.before_remove", "remote.ship.after_remove"}) {
    add(1000);
    ASSERT_TRUE(t.faults.arm(std::string(point) + "=error"));
    while (shipper->step()) {
    }
    ASSERT_TRUE(t.faults.arm(""));
    start();
  }
  ship_all();
  expect_all_once();
}

}  // namespace
}  // namespace millrace::remote
