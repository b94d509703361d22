#include "flow/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <format>
#include <string_view>
#include <vector>

#include "base/rng.hpp"

namespace millrace::flow {
namespace {

namespace chr = std::chrono;

TimePoint at(std::string_view text) { return *parse_time(text); }
Zone zone(std::string_view name) { return *Zone::find(name); }
std::string text(TimePoint time) { return std::format("{:%FT%H:%MZ}", chr::floor<chr::minutes>(time)); }

TEST(Schedule, NextFire) {
  struct Case {
    const char *schedule, *zone, *after, *next;
  };
  const Case cases[] = {
      {"daily", "UTC", "2026-03-01T00:00:00Z", "2026-03-02T00:00Z"},
      {"daily", "UTC", "2026-02-28T23:59:59.999999Z", "2026-03-01T00:00Z"},
      {"daily 02:00", "Europe/Lisbon", "2026-01-10T00:00:00Z", "2026-01-10T02:00Z"},
      {"daily 02:00", "Europe/Lisbon", "2026-07-10T00:00:00Z", "2026-07-10T01:00Z"},
      {"DAILY  02:00", "Australia/Sydney", "2026-07-10T00:00:00Z", "2026-07-10T16:00Z"},
      {"hourly", "UTC", "2026-03-01T10:00:00Z", "2026-03-01T11:00Z"},
      {"weekly", "UTC", "2026-03-01T10:00:00Z", "2026-03-02T00:00Z"},  // a Monday
      {"monthly", "UTC", "2026-03-01T00:00:00Z", "2026-04-01T00:00Z"},
      {"Mon 06:00", "Europe/Lisbon", "2026-03-02T06:00:00Z", "2026-03-09T06:00Z"},
      {"Mon,Thu 06:00", "UTC", "2026-03-02T06:00:00Z", "2026-03-05T06:00Z"},
      {"Fri-Sun 06:00", "UTC", "2026-03-02T06:00:00Z", "2026-03-06T06:00Z"},
      {"Sat-Mon 06:00", "UTC", "2026-03-02T06:00:00Z", "2026-03-07T06:00Z"},
      {"weekdays 06:00", "UTC", "2026-03-06T07:00:00Z", "2026-03-09T06:00Z"},
      {"weekends 06:00", "UTC", "2026-03-06T07:00:00Z", "2026-03-07T06:00Z"},
      {"every 6h", "UTC", "2026-03-01T07:00:00Z", "2026-03-01T12:00Z"},
      {"every 6h", "Europe/Lisbon", "2026-07-01T07:00:00Z", "2026-07-01T11:00Z"},
      {"every 15m", "UTC", "2026-03-01T23:46:00Z", "2026-03-02T00:00Z"},
      {"every 90m", "UTC", "2026-03-01T01:00:00Z", "2026-03-01T01:30Z"},
      {"every 2d", "UTC", "1970-01-01T00:00:00Z", "1970-01-03T00:00Z"},
      {"every 7h", "UTC", "1970-01-01T00:00:00Z", "1970-01-01T07:00Z"},
      {"every 7h", "UTC", "1969-12-31T23:00:00Z", "1970-01-01T00:00Z"},
      {"0 2 * * 1-5", "UTC", "2026-03-06T02:00:00Z", "2026-03-09T02:00Z"},
      {"*/20 8-9 * * *", "UTC", "2026-03-06T09:40:00Z", "2026-03-07T08:00Z"},
      {"5/10 8 * * *", "UTC", "2026-03-06T08:50:00Z", "2026-03-06T08:55Z"},
      {"0 0 1 jan *", "UTC", "2026-03-06T09:40:00Z", "2027-01-01T00:00Z"},
      {"0 0 * * sun", "UTC", "2026-03-06T09:40:00Z", "2026-03-08T00:00Z"},
      {"0 0 * * 7", "UTC", "2026-03-06T09:40:00Z", "2026-03-08T00:00Z"},
      {"0 0 13 * 5", "UTC", "2026-03-01T00:00:00Z", "2026-03-06T00:00Z"},  // the 13th or a Friday
      // leap days
      {"0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00Z"},
      {"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00Z"},
      {"daily 12:00", "UTC", "2028-02-28T12:00:00Z", "2028-02-29T12:00Z"},
      // the hour that is skipped: Lisbon 2026-03-29 01:00 -> 02:00, New York 2026-03-08 02:00 -> 03:00, Sydney
      // 2026-10-04 02:00 -> 03:00
      {"daily 01:30", "Europe/Lisbon", "2026-03-28T12:00:00Z", "2026-03-29T01:00Z"},
      {"daily 01:30", "Europe/Lisbon", "2026-03-29T01:00:00Z", "2026-03-30T00:30Z"},
      {"daily 02:30", "America/New_York", "2026-03-08T00:00:00-05:00", "2026-03-08T07:00Z"},
      {"daily 02:30", "America/New_York", "2026-03-08T07:00:00Z", "2026-03-09T06:30Z"},
      {"daily 02:15", "Australia/Sydney", "2026-10-03T12:00:00Z", "2026-10-03T16:00Z"},
      {"0 2,3 * * *", "America/New_York", "2026-03-08T07:00:00Z", "2026-03-09T06:00Z"},  // both at 03:00: once
      {"30 * * * *", "America/New_York", "2026-03-08T06:30:00Z", "2026-03-08T07:30Z"},
      {"hourly", "America/New_York", "2026-03-08T06:00:00Z", "2026-03-08T07:00Z"},
      {"every 15m", "America/New_York", "2026-03-08T06:45:00Z", "2026-03-08T07:00Z"},
      // the hour that is repeated: Lisbon 2026-10-25 02:00 -> 01:00, New York 2026-11-01 02:00 -> 01:00, Sydney
      // 2026-04-05 03:00 -> 02:00
      {"daily 01:30", "Europe/Lisbon", "2026-10-24T12:00:00Z", "2026-10-25T00:30Z"},
      {"daily 01:30", "Europe/Lisbon", "2026-10-25T00:30:00Z", "2026-10-26T01:30Z"},
      {"daily 01:30", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-02T06:30Z"},
      {"daily 02:30", "Australia/Sydney", "2026-04-04T12:00:00Z", "2026-04-04T15:30Z"},
      {"daily 02:30", "Australia/Sydney", "2026-04-04T15:30:00Z", "2026-04-05T16:30Z"},
      {"hourly", "America/New_York", "2026-11-01T05:00:00Z", "2026-11-01T06:00Z"},
      {"30 * * * *", "Europe/Lisbon", "2026-10-25T00:30:00Z", "2026-10-25T01:30Z"},
      {"0 1,3 * * *", "America/New_York", "2026-11-01T05:00:00Z", "2026-11-01T08:00Z"},
      // midnight itself is skipped (Santiago 2026-09-06 00:00 -> 01:00)
      {"daily", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T04:00Z"},
      {"daily 23:30", "America/Santiago", "2026-04-04T12:00:00Z", "2026-04-05T02:30Z"},  // 23:00-24:00 is repeated
      {"daily 23:30", "America/Santiago", "2026-04-05T02:30:00Z", "2026-04-06T03:30Z"},
  };
  for (const Case& c : cases) {
    const auto schedule = parse_schedule(c.schedule);
    ASSERT_TRUE(schedule) << c.schedule << ": " << schedule.error().message;
    EXPECT_EQ(text(next_fire(*schedule, at(c.after), zone(c.zone))), c.next)
        << c.schedule << " in " << c.zone << " after " << c.after;
  }
}

TEST(Schedule, RefusesWhatItCannotMean) {
  for (const char* wrong : {"",
                            " ",
                            "dayly",
                            "daily 24:00",
                            "daily 2:60",
                            "daily 2",
                            "daily 02:00 03:00",
                            "Mon",
                            "Mon 25:00",
                            "Mun 06:00",
                            "every",
                            "every day",
                            "every 0m",
                            "every 30s",
                            "every 90s",
                            "every 400d",
                            "* * * *",
                            "60 * * * *",
                            "* 24 * * *",
                            "* * 0 * *",
                            "* * * 13 *",
                            "* * * * 8",
                            "*/0 * * * *",
                            "5-1 * * * *",
                            "0 0 30 2 *",
                            "0 0 31 4,6 *",
                            "a b c d e",
                            "-1 * * * *",
                            "1,, * * * *",
                            "99999999999 * * * *",
                            "* * * * * *"}) {
    const auto schedule = parse_schedule(wrong);
    ASSERT_FALSE(schedule) << wrong;
    EXPECT_EQ(schedule.error().reason, "flow.bad_schedule") << wrong;
  }
}

// Every minute of the two seasons in which clocks change, one by one: a schedule fires when the wall clock has come to
// or has jumped past one of its minutes for the first time; one that fires in each hour whenever the wall clock shows
// one of them.
TEST(Schedule, AgreesWithWatchingTheClock) {
  const char* specs[] = {"daily 02:00", "daily 01:30", "daily 02:15", "daily",          "daily 23:30", "hourly",
                         "every 45m",   "every 6h",    "17 3 * * 0",  "*/20 1-3 * * *", "0 0 13 * 5"};
  for (const char* name :
       {"Europe/Lisbon", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Santiago"}) {
    const Zone here = zone(name);
    for (const TimePoint begin : {at("2026-03-01T00:00:00Z"), at("2026-09-01T00:00:00Z")}) {
      std::vector<LocalTime> wall;
      for (int minute = 0; minute < 65 * 1440; ++minute) wall.push_back(here.local(begin + chr::minutes(minute)));
      for (const char* spec : specs) {
        const Schedule schedule = *parse_schedule(spec);
        const auto shows = [&](LocalTime time) {
          const auto day = chr::floor<chr::days>(time);
          const chr::year_month_day date(day);
          const bool by_date = schedule.days.test(static_cast<unsigned>(date.day()));
          const bool by_weekday = schedule.weekdays.test(chr::weekday(day).c_encoding());
          return schedule.minutes.test(static_cast<std::size_t>((time - day) / chr::minutes(1))) &&
                 (schedule.either_day ? by_date || by_weekday : by_date && by_weekday);
        };
        std::vector<TimePoint> expected;
        LocalTime furthest = wall[0];
        for (std::size_t i = 1; i < wall.size(); ++i) {
          bool fires = schedule.every_hour && shows(wall[i]);
          if (!schedule.every_hour)
            for (LocalTime passed = furthest + chr::minutes(1); passed <= wall[i]; passed += chr::minutes(1))
              fires |= shows(passed);
          if (fires) expected.push_back(begin + chr::minutes(i));
          furthest = std::max(furthest, wall[i]);
        }
        std::vector<TimePoint> fires;
        for (TimePoint now = next_fire(schedule, begin, here); now < begin + chr::minutes(wall.size());
             now = next_fire(schedule, now, here))
          fires.push_back(now);
        EXPECT_EQ(fires, expected) << spec << " in " << name;
      }
    }
  }
}

TEST(Schedule, CatchesUpOnce) {
  const Zone utc;
  const Schedule daily = *parse_schedule("daily 02:00");
  EXPECT_FALSE(due(daily, at("2026-03-01T02:00:00Z"), at("2026-03-02T01:59:59Z"), utc));
  const Due one{at("2026-03-02T02:00:00Z"), 0, at("2026-03-03T02:00:00Z")};
  EXPECT_EQ(due(daily, at("2026-03-01T02:00:00Z"), at("2026-03-02T02:00:00Z"), utc), one);
  const Due three{at("2026-03-02T02:00:00Z"), 2, at("2026-03-05T02:00:00Z")};
  EXPECT_EQ(due(daily, at("2026-03-01T02:00:01Z"), at("2026-03-04T09:00:00Z"), utc), three);
  // The run is noted at the time it ran: nothing is due again before the next one.
  EXPECT_FALSE(due(daily, at("2026-03-04T09:00:00Z"), at("2026-03-05T01:00:00Z"), utc));
  // A clock that went back: nothing is due.
  EXPECT_FALSE(due(daily, at("2026-03-04T09:00:00Z"), at("2026-03-01T01:00:00Z"), utc));
  EXPECT_EQ(due(*parse_schedule("every 1m"), at("2020-01-01T00:00:00Z"), at("2026-03-01T00:00:00Z"), utc)->missed,
            1000u);
}

TEST(Schedule, RandomTextNeverHangsOrCrashes) {
  SeededRng rng(7);
  const std::string_view alphabet = "0123456789*/-, :abcdehilnmorsuvwytf\t\xff";
  for (int i = 0; i < 20'000; ++i) {
    std::string spec;
    for (auto n = rng.below(24); n > 0; --n) spec += alphabet[rng.below(alphabet.size())];
    if (rng.below(3) == 0)
      spec = std::format("{} {} {} {} {}", rng.below(70), rng.below(30), rng.below(40), rng.below(15), rng.below(9));
    if (const auto schedule = parse_schedule(spec)) {
      const TimePoint after = at("2026-03-01T00:00:00Z");
      const TimePoint next = next_fire(*schedule, after, {});
      EXPECT_GT(next, after) << spec;
      EXPECT_LT(next, TimePoint::max()) << spec;
    }
  }
}

TEST(Zone, NamesItKnows) {
  EXPECT_EQ(zone("UTC").name(), "UTC");
  EXPECT_EQ(zone("Europe/Lisbon").name(), "Europe/Lisbon");
  const auto wrong = Zone::find("Europe/Lisboa");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason, "flow.unknown_zone");
  EXPECT_NE(wrong.error().message.find("Europe/Lisbon"), std::string::npos) << wrong.error().message;
  for (const char* bad : {"", "../etc/passwd", "Mars/Base", "\xff"}) EXPECT_FALSE(Zone::find(bad));
}

}  // namespace
}  // namespace millrace::flow
