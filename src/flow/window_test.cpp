#include "flow/window.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace millrace::flow {
namespace {

namespace chr = std::chrono;

TimePoint at(std::string_view text) { return *parse_time(text); }
Zone zone(std::string_view name) { return *Zone::find(name); }
Window hours(int from, int to, bool weekends = false) { return {Window::Kind::hours, from, to, weekends, {}}; }

TEST(Window, MayStart) {
  const Window night = hours(22 * 60, 5 * 60), noon = hours(12 * 60, 13 * 60),
               free_weekends = hours(22 * 60, 5 * 60, true);
  Window holiday = noon;
  holiday.holidays = {chr::year(2026) / 3 / 4};
  const Window small_hours = hours(2 * 60, 3 * 60);  // skipped in spring in New York
  struct Case {
    const char* what;
    Window window;
    const char *zone, *now, *opens;  // opens nullptr: yes, now
  };
  const Case cases[] = {
      {"any", {}, "UTC", "2026-03-03T12:00:00Z", nullptr},
      {"inside over midnight", night, "UTC", "2026-03-03T23:00:00Z", nullptr},
      {"inside after midnight", night, "UTC", "2026-03-03T04:59:59Z", nullptr},
      {"at its end", night, "UTC", "2026-03-03T05:00:00Z", "2026-03-03T22:00:00Z"},
      {"at its beginning", night, "UTC", "2026-03-03T22:00:00Z", nullptr},
      {"by day", night, "Europe/Lisbon", "2026-07-03T12:00:00Z", "2026-07-03T21:00:00Z"},
      {"before noon", noon, "UTC", "2026-03-03T11:59:59Z", "2026-03-03T12:00:00Z"},
      {"after noon", noon, "UTC", "2026-03-03T13:00:00Z", "2026-03-04T12:00:00Z"},
      {"weekend", free_weekends, "UTC", "2026-03-07T12:00:00Z", nullptr},
      {"Friday noon", free_weekends, "UTC", "2026-03-06T12:00:00Z", "2026-03-06T22:00:00Z"},
      {"Friday night", hours(1 * 60, 2 * 60, true), "UTC", "2026-03-06T23:00:00Z", "2026-03-07T00:00:00Z"},
      {"holiday", holiday, "UTC", "2026-03-04T18:00:00Z", nullptr},
      {"before a holiday", holiday, "UTC", "2026-03-03T18:00:00Z", "2026-03-04T00:00:00Z"},
      {"the day whose window is skipped", small_hours, "America/New_York", "2026-03-07T12:00:00Z",
       "2026-03-09T06:00:00Z"},
      {"half of it skipped", hours(2 * 60 + 30, 4 * 60), "America/New_York", "2026-03-08T05:00:00Z",
       "2026-03-08T07:00:00Z"},
      {"in the hour that is repeated", hours(60, 2 * 60), "America/New_York", "2026-11-01T06:30:00Z", nullptr},
      {"Sydney's autumn", hours(150, 240), "Australia/Sydney", "2026-04-04T12:00:00Z", "2026-04-04T15:30:00Z"},
      {"leap day", noon, "UTC", "2028-02-28T13:00:00Z", "2028-02-29T12:00:00Z"},
  };
  for (const Case& c : cases) {
    const Start start = may_start(c.window, at(c.now), zone(c.zone));
    EXPECT_EQ(start.yes, c.opens == nullptr) << c.what << ": " << start.why;
    EXPECT_EQ(format_time(start.when), format_time(at(c.opens ? c.opens : c.now))) << c.what;
    EXPECT_EQ(start.why.empty(), start.yes) << c.what;
  }
}

TEST(Window, QuietestIsThreeUntilThereAreLogs) {
  Window window;
  window.kind = Window::Kind::quietest;
  const QuietHours unknown = quietest({});
  EXPECT_EQ(unknown.start_hour, 3);
  const Start wait = may_start(window, at("2026-03-03T12:00:00Z"), zone("Europe/Lisbon"), unknown);
  EXPECT_FALSE(wait.yes);
  EXPECT_EQ(format_time(wait.when), "2026-03-04T03:00:00.000000Z");
  EXPECT_NE(wait.why.find("03:00 until then"), std::string::npos) << wait.why;

  HourlyRequests requests{{}, 7};
  requests.count.fill(100);
  EXPECT_EQ(quietest(requests).start_hour, 3);  // all equal
  requests.count[23] = requests.count[0] = 1;
  EXPECT_EQ(quietest(requests).start_hour, 23);
  EXPECT_EQ(format_time(may_start(window, at("2026-03-03T12:00:00Z"), {}, quietest(requests)).when),
            "2026-03-03T23:00:00.000000Z");
  EXPECT_TRUE(may_start(window, at("2026-03-03T00:30:00Z"), {}, quietest(requests)).yes);
  requests.days = 0;
  EXPECT_EQ(quietest(requests).start_hour, 3);
}

TEST(Window, ItsOwnAnswerIsKept) {
  SeededRng rng(11);
  for (const char* name :
       {"UTC", "Europe/Lisbon", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Santiago"}) {
    const Zone here = zone(name);
    for (int i = 0; i < 3000; ++i) {
      Window window = hours(static_cast<int>(rng.below(1440)), static_cast<int>(rng.below(1441)), rng.below(4) == 0);
      const TimePoint now = at("2026-01-01T00:00:00Z") + chr::minutes(rng.below(366 * 1440));
      const Start start = may_start(window, now, here);
      if (start.yes) continue;
      EXPECT_GT(start.when, now);
      EXPECT_TRUE(may_start(window, start.when, here).yes)
          << name << ' ' << describe(window) << ' ' << format_time(now);
      // and not a minute earlier than that
      EXPECT_FALSE(may_start(window, start.when - chr::minutes(1), here).yes)
          << name << ' ' << describe(window) << ' ' << format_time(now);
    }
  }
}

TEST(Window, TimesOfDay) {
  EXPECT_EQ(parse_minute_of_day("00:00"), 0);
  EXPECT_EQ(parse_minute_of_day("2:05"), 125);
  EXPECT_EQ(parse_minute_of_day("24:00"), 1440);
  for (const char* wrong : {"", "24:01", "12:60", "1200", "12-00", "aa:bb", "-1:00", "12:0", "2:x0"})
    EXPECT_FALSE(parse_minute_of_day(wrong)) << wrong;
  EXPECT_EQ(describe(hours(1320, 300, true)), "22:00-05:00, weekends");
}

}  // namespace
}  // namespace millrace::flow
