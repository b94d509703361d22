#include "base/clock.hpp"

#include <gtest/gtest.h>

#include <concepts>
#include <limits>
#include <string>

namespace millrace {
namespace {

using namespace std::chrono;

// The two hands meet nowhere: what the compiler refuses, nobody has to look for (tools/clocks.py looks for the rest).
template <class A, class B>
concept Meet = requires(A a, B b) { a - b; } || requires(A a, B b) { a < b; } || requires(A a, B b) { a == b; } ||
               std::convertible_to<A, B> || std::constructible_from<A, B>;
static_assert(Meet<TimePoint, TimePoint> && Meet<SteadyPoint, SteadyPoint>);
static_assert(!Meet<TimePoint, SteadyPoint> && !Meet<SteadyPoint, TimePoint>);
template <class A>
concept Written = requires(A a) { format_time(a); };
static_assert(Written<TimePoint> && !Written<SteadyPoint>);

TEST(Clock, FormatsTimes) {
  EXPECT_EQ(format_time(TimePoint{}), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(format_time(sys_days(year{2026} / 11 / 20) + 9h + 40min + microseconds(7)), "2026-11-20T09:40:00.000007Z");
  EXPECT_EQ(format_time(TimePoint(microseconds(-1))), "1969-12-31T23:59:59.999999Z");
}

TEST(Clock, ParsesTimes) {
  const TimePoint expected = sys_days(year{2026} / 11 / 20) + 9h + 40min;
  for (const auto* text :
       {"2026-11-20T09:40:00.000000Z", "2026-11-20T09:40:00Z", "2026-11-20 09:40:00", "2026-11-20T09:40",
        "2026-11-20T10:40:00+01:00", "2026-11-20T04:10:00-0530", "2026-11-20t09:40:00.000z"}) {
    const auto got = parse_time(text);
    ASSERT_TRUE(got) << text;
    EXPECT_EQ(*got, expected) << text;
  }
  EXPECT_EQ(*parse_time("2026-11-20"), TimePoint(sys_days(year{2026} / 11 / 20)));
  EXPECT_EQ(*parse_time("2026-11-20T00:00:00.5Z") - *parse_time("2026-11-20"), Duration(500'000));
  EXPECT_EQ(*parse_time("2026-11-20T00:00:00.1234567Z") - *parse_time("2026-11-20"), Duration(123'456));
}

TEST(Clock, RefusesWhatIsNoTime) {
  for (const auto* text : {"", "2026", "2026-13-01", "2026-02-30", "2026-11-20T", "2026-11-20T25:00:00Z",
                           "2026-11-20T09:60", "2026-11-20T09:40:00.Z", "2026-11-20T09:40:00ZZ",
                           "2026-11-20T09:40:00+1", "20261120", " 2026-11-20", "2026-11-20T09:40:00+24:00"}) {
    const auto got = parse_time(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code, Code::invalid_argument);
    EXPECT_EQ(got.error().reason, "base.bad_time");
  }
}

TEST(Clock, TimesGoThroughText) {
  for (std::int64_t us = -62'000'000'000'000'000; us < 250'000'000'000'000'000; us += 1'234'567'890'123'457) {
    const TimePoint time{Duration(us)};
    EXPECT_EQ(*parse_time(format_time(time)), time);
  }
}

TEST(Clock, Durations) {
  EXPECT_EQ(*parse_duration("90s"), Duration(90s));
  EXPECT_EQ(*parse_duration("15m"), Duration(15min));
  EXPECT_EQ(*parse_duration("6h"), Duration(6h));
  EXPECT_EQ(*parse_duration("30d"), Duration(days(30)));
  EXPECT_EQ(*parse_duration("2w"), Duration(weeks(2)));
  EXPECT_EQ(*parse_duration("250ms"), Duration(250ms));
  for (const auto* text : {"", "s", "5", "-5s", "+5s", "1.5h", "5 parsecs", "99999999999999w", "1h30m"}) {
    const auto got = parse_duration(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().reason, "base.bad_duration");
  }
  EXPECT_EQ(format_duration(90s), "90s");
  EXPECT_EQ(format_duration(15min), "15m");
  EXPECT_EQ(format_duration(24h), "1d");
  EXPECT_EQ(format_duration(days(30)), "30d");
  EXPECT_EQ(format_duration(days(14)), "2w");
  EXPECT_EQ(format_duration(Duration(0)), "0s");
  for (const std::int64_t us :
       {1L, 999L, 1'000L, 61'000'000L, 3'600'000'001L, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(*parse_duration(format_duration(Duration(us))), Duration(us));
  }
}

TEST(Clock, Sizes) {
  EXPECT_EQ(*parse_size("512"), 512);
  EXPECT_EQ(*parse_size("64KB"), 64'000);
  EXPECT_EQ(*parse_size("8GB"), 8'000'000'000);
  EXPECT_EQ(*parse_size("2 MiB"), 2 << 20);
  for (const auto* text : {"", "GB", "-1", "8gb", "1.5GB", "9999999999TB"}) {
    const auto got = parse_size(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().reason, "base.bad_size");
  }
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(999), "999 B");
  EXPECT_EQ(format_size(1'400'000), "1.4 MB");
  EXPECT_EQ(format_size(999'999), "1.0 MB");
}

TEST(Clock, SystemClockMoves) {
  SystemClock clock;
  const auto a = clock.steady();
  EXPECT_GE(clock.steady(), a);
  EXPECT_GT(clock.now(), *parse_time("2024-01-01"));
}

}  // namespace
}  // namespace millrace
