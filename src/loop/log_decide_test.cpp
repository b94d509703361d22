#include "loop/log_decide.hpp"

#include <gtest/gtest.h>

namespace millrace::loop {
namespace {

constexpr std::uint64_t mib = 1u << 20;
TimePoint at(std::string_view text) { return *parse_time(text); }

TEST(LogDecide, WhenToRoll) {
  const auto now = at("2026-03-03T12:00:00Z");
  auto segments = [](std::uint64_t first, int count, std::uint64_t bytes = 8 * mib) {
    std::vector<LogSegment> out;
    for (int i = 0; i < count; ++i) out.push_back({first + static_cast<std::uint64_t>(i), bytes});
    return out;
  };
  auto ago = [&](auto age) { return std::optional(now - age); };
  using std::chrono::hours, std::chrono::minutes;
  struct Case {
    const char* what;
    RollSnapshot snapshot;  // now is filled in
    bool close;
    std::uint64_t through;
    bool waits;
  };
  const Case cases[] = {
      {"nothing logged", {{}, {}, 5, {}, false, {}}, false, 0, false},
      {"nothing logged, by hand", {{}, {}, 5, {}, true, {}}, false, 0, false},
      {"a few lines", {{}, segments(6, 1), 5, ago(hours(1)), false, {}}, false, 0, false},
      {"a few lines, by hand", {{}, segments(6, 1), 5, ago(hours(1)), true, {}}, true, 0, false},
      {"closed by hand", {{}, segments(6, 1), 6, ago(hours(1)), true, {}}, false, 6, false},
      {"seven closed", {{}, segments(6, 8), 12, ago(hours(1)), false, {}}, false, 0, false},
      {"eight closed, one open", {{}, segments(6, 9), 13, ago(hours(1)), false, {}}, false, 13, false},
      {"eight, of which one is open", {{}, segments(6, 8), 12, ago(hours(1)), false, {}}, false, 0, false},
      {"a day old and open", {{}, segments(6, 1), 5, ago(hours(24)), false, {}}, true, 0, false},
      {"almost a day old", {{}, segments(6, 1), 5, ago(hours(24) - minutes(1)), false, {}}, false, 0, false},
      {"a day old and closed", {{}, segments(6, 1), 6, ago(hours(24)), false, {}}, false, 6, false},
      {"a day old, closed, then open", {{}, segments(6, 2), 6, ago(hours(30)), false, {}}, false, 6, false},
      {"by hand, closed, then open", {{}, segments(6, 2), 6, ago(hours(1)), true, {}}, true, 0, false},
      {"the clock went back", {{}, segments(6, 1), 5, now + hours(3), false, {}}, false, 0, false},
      {"age unknown", {{}, segments(6, 1), 6, {}, false, {}}, false, 0, false},
      {"more than one job takes", {{}, segments(6, 50), 55, ago(hours(1)), false, {}}, false, 37, false},
      {"one larger than a job takes", {{}, segments(6, 2, 512 * mib), 7, ago(hours(1)), false, {}}, false, 6, false},
      {"failed just now", {{}, segments(6, 1), 6, ago(hours(24)), false, minutes(9)}, false, 0, true},
      {"failed just now, by hand", {{}, segments(6, 1), 6, ago(hours(24)), true, minutes(9)}, false, 6, false},
      {"failed some time ago", {{}, segments(6, 1), 6, ago(hours(24)), false, minutes(10)}, false, 6, false},
      {"half of the bound", {{}, segments(6, 5), 9, ago(hours(1)), false, {}, 64 * mib}, false, 9, false},
      {"less than half of it", {{}, segments(6, 4), 8, ago(hours(1)), false, {}, 64 * mib}, false, 0, false},
      {"a large bound", {{}, segments(6, 9), 13, ago(hours(1)), false, {}, 1024 * mib}, false, 13, false},
      {"numbers with gaps", {{}, {{6, 40 * mib}, {9, 40 * mib}}, 9, ago(hours(1)), false, {}}, false, 9, false},
  };
  for (auto c : cases) {
    c.snapshot.now = now;
    auto decision = decide_roll(c.snapshot);
    EXPECT_EQ(decision.close, c.close) << c.what;
    EXPECT_EQ(decision.through, c.through) << c.what;
    EXPECT_EQ(!decision.waiting.empty(), c.waits) << c.what;
    EXPECT_EQ(decision.cause.empty(), decision.through == 0 && !c.close && !c.waits) << c.what;
  }
}

TEST(LogDecide, SegmentsStayForTheirReaders) {
  EXPECT_EQ(removable_through(9, {}), 9u);
  EXPECT_EQ(removable_through(9, {9, 9}), 9u);
  EXPECT_EQ(removable_through(9, {9, 4, 7}), 4u);
  EXPECT_EQ(removable_through(9, {12}), 9u);
  EXPECT_EQ(removable_through(0, {}), 0u);
}

TEST(LogDecide, PartsThatRetentionLetsGo) {
  const auto now = at("2026-03-03T12:00:00Z");
  auto part = [&](Duration first, Duration last) {
    return RolledPart{{}, (now - first).time_since_epoch().count(), (now - last).time_since_epoch().count(), {}};
  };
  using std::chrono::days;
  const std::vector<RolledPart> parts = {part(days(50), days(31)), part(days(40), days(30)), part(days(90), days(2)),
                                         part(days(1), -days(1))};
  EXPECT_EQ(parts_to_let_go(parts, days(30), now), std::vector<std::size_t>{0}) << "exactly as old as that stays";
  EXPECT_EQ(parts_to_let_go(parts, days(1), now), (std::vector<std::size_t>{0, 1, 2})) << "by the newest line";
  EXPECT_TRUE(parts_to_let_go(parts, days(60), now).empty());
  EXPECT_TRUE(parts_to_let_go({}, days(1), now).empty());
}

TEST(LogDecide, QuietHoursFromTheRolledLog) {
  auto hour = [](std::string_view text) {
    return std::chrono::floor<std::chrono::hours>(at(text).time_since_epoch()).count();
  };
  const flow::Zone utc, lisbon = *flow::Zone::find("Europe/Lisbon");
  EXPECT_EQ(requests_by_hour({}, utc).days, 0);
  std::vector<HourRows> hours;
  const auto begin = hour("2026-07-01T00:00:00Z");
  auto fill = [&](int days) {
    hours.clear();
    for (int h = 0; h < days * 24; ++h) hours.push_back({begin + h, h % 24 == 9 || h % 24 == 10 ? 1 : 50});
  };
  fill(6);
  EXPECT_EQ(requests_by_hour(hours, utc).days, 6);
  EXPECT_EQ(quiet_hours(requests_by_hour(hours, utc)).start_hour, 3) << "six days are not enough";
  EXPECT_EQ(quiet_hours(requests_by_hour(hours, utc)).reason, "03:00 until the log in Parquet has 7 days, 6 so far");
  fill(7);
  auto requests = requests_by_hour(hours, utc);
  EXPECT_EQ(requests.days, 7);
  EXPECT_EQ(requests.count[9], 7u);
  EXPECT_EQ(requests.count[8], 350u);
  EXPECT_EQ(quiet_hours(requests).start_hour, 9);
  EXPECT_EQ(quiet_hours(requests_by_hour(hours, lisbon)).start_hour, 10) << "by the clock on the wall";
  EXPECT_NE(quiet_hours(requests).reason.find("14 of 7,714 requests of the last 7 days fell into 09:00-11:00"),
            std::string::npos)
      << quiet_hours(requests).reason;
  fill(40);
  for (int h = 0; h < 12 * 24; ++h) hours[static_cast<std::size_t>(h)].rows = 1'000'000;  // long ago
  requests = requests_by_hour(hours, utc);
  EXPECT_EQ(requests.days, 28);
  EXPECT_EQ(requests.count[8], 28u * 50);
  // Two parts may share an hour, and come in any order.
  EXPECT_EQ(requests_by_hour({{begin + 200, 3}, {begin, 1}, {begin + 200, 4}}, utc).days, 8);
  EXPECT_EQ(requests_by_hour({{begin + 200, 3}, {begin, 1}, {begin + 200, 4}}, utc).count[200 % 24], 7u);
}

// Weeks of a business in Lisbon as the log in Parquet would tell them, hour by hour: people by the clock on their wall,
// on weekdays more than at weekends; machines that ask at night; and around a change of that clock.
struct Weeks {
  flow::Zone zone = *flow::Zone::find("Europe/Lisbon");
  std::vector<HourRows> hours;

  // Requests in each local hour of a weekday and of a day at the weekend.
  using Day = std::array<std::int64_t, 24>;
  void live(std::string_view from, int days, const Day& weekday, const Day& weekend) {
    const auto begin = std::chrono::floor<std::chrono::hours>(at(from));
    for (int h = 0; h < days * 24; ++h) {
      const auto moment = begin + std::chrono::hours(h);
      const auto local = zone.local(moment);
      const auto day = std::chrono::floor<std::chrono::days>(local);
      const unsigned of_week = std::chrono::weekday(day).c_encoding();
      const auto& rows = of_week == 0 || of_week == 6 ? weekend : weekday;
      const auto hour = std::chrono::floor<std::chrono::hours>(local - day).count();
      if (const auto count = rows[static_cast<std::size_t>(hour)]; count > 0)
        hours.push_back({moment.time_since_epoch().count(), count});
    }
  }
  flow::QuietHours quiet() const { return quiet_hours(requests_by_hour(hours, zone)); }
};

Weeks::Day day_of(std::int64_t night, std::int64_t day,
                  std::initializer_list<std::pair<int, std::int64_t>> other = {}) {
  Weeks::Day out{};
  for (int hour = 0; hour < 24; ++hour) out[static_cast<std::size_t>(hour)] = hour >= 8 && hour < 20 ? day : night;
  for (const auto& [hour, rows] : other) out[static_cast<std::size_t>(hour)] = rows;
  return out;
}

TEST(QuietHours, OfSimulatedWeeks) {
  const auto office = day_of(20, 900, {{5, 6}, {6, 6}}), sunday = day_of(25, 40);
  struct Case {
    const char* what;
    const char* from;
    int days;
    Weeks::Day weekday, weekend;
    int start_hour;
    const char* says;
  };
  const Case cases[] = {
      {"weekdays decide", "2026-06-01T00:00:00Z", 28, office, sunday, 5, "of the last 28 days fell into 05:00-07:00"},
      {"spring forward in the middle", "2026-03-15T00:00:00Z", 28, office, sunday, 5, "05:00-07:00"},
      {"back in autumn in the middle", "2026-10-11T00:00:00Z", 28, office, sunday, 5, "05:00-07:00"},
      {"more than four weeks", "2026-05-01T00:00:00Z", 60, office, sunday, 5, "the last 28 days"},
      {"a batch at three", "2026-06-01T00:00:00Z", 28, day_of(20, 900, {{3, 5000}, {4, 5000}}), sunday, 1,
       "01:00-03:00"},
      {"a batch on weekdays, weekends otherwise", "2026-06-01T00:00:00Z", 28, day_of(20, 900, {{3, 5000}}),
       day_of(1, 40, {{23, 500}}), 4, "04:00-06:00"},
      {"a night shift: noon is quiet", "2026-06-01T00:00:00Z", 14, day_of(700, 100, {{12, 1}, {13, 1}}),
       day_of(700, 100, {{12, 1}, {13, 1}}), 12, "12:00-14:00"},
      {"around midnight", "2026-06-01T00:00:00Z", 21, day_of(50, 900, {{23, 2}, {0, 2}}),
       day_of(50, 60, {{23, 2}, {0, 2}}), 23, "23:00-01:00"},
      {"only by day: of many empty hours those nearest to 03:00", "2026-06-01T08:00:00Z", 28, day_of(0, 900),
       day_of(0, 900), 3, "0 of "},
      {"a week of it", "2026-06-01T00:00:00Z", 7, office, sunday, 5, "the last 7 days"},
      {"a day less than a week", "2026-06-01T00:00:00Z", 6, office, sunday, 3, "has 7 days, 6 so far"},
      {"weeks of next to nothing", "2026-06-01T00:00:00Z", 28, day_of(0, 0, {{2, 1}, {20, 1}}),
       day_of(0, 0, {{2, 1}, {20, 1}}), 3, "unknown yet"},
  };
  for (const auto& c : cases) {
    Weeks weeks;
    weeks.live(c.from, c.days, c.weekday, c.weekend);
    const auto quiet = weeks.quiet();
    EXPECT_EQ(quiet.start_hour, c.start_hour) << c.what << ": " << quiet.reason;
    EXPECT_NE(quiet.reason.find(c.says), std::string::npos) << c.what << ": " << quiet.reason;
  }
}

// Habits that changed: only the last four weeks count.
TEST(QuietHours, FollowTheLastFourWeeks) {
  Weeks weeks;
  const auto before = day_of(20, 900, {{5, 1}, {6, 1}}), after = day_of(20, 900, {{2, 1}, {1, 1}});
  weeks.live("2026-05-04T00:00:00Z", 56, before, before);
  EXPECT_EQ(weeks.quiet().start_hour, 5);
  weeks.live("2026-06-29T00:00:00Z", 28, after, after);
  EXPECT_EQ(weeks.quiet().start_hour, 1);
}

}  // namespace
}  // namespace millrace::loop
