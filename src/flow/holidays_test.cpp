#include "flow/holidays.hpp"

#include <gtest/gtest.h>

#include <format>

#include "flow/window.hpp"

namespace millrace::flow {
namespace {

TEST(Holidays, Lists) {
  struct Case {
    const char* what;
    std::string text;
    std::string dates;  // or the beginning of the message
  };
  const Case cases[] = {
      {"dates alone", "2026-12-25\n2027-01-01\n", "2026-12-25 2027-01-01 "},
      {"no end of line", "2026-12-25", "2026-12-25 "},
      {"names", "2026-12-25 Natal\n2026-04-25,Dia da Liberdade\n2026-06-10\tPortugal\n",
       "2026-04-25 2026-06-10 2026-12-25 "},
      {"comments and blanks", "# Portugal\n\n   \n 2026-12-25 # Natal\n#2026-12-26\n", "2026-12-25 "},
      {"from Windows",
       "\xEF\xBB\xBF"
       "2026-12-25 Natal\r\n2027-01-01\r\n",
       "2026-12-25 2027-01-01 "},
      {"one twice", "2026-12-25\n2026-12-25 Christmas\n", "2026-12-25 "},
      {"a leap day", "2028-02-29\n", "2028-02-29 "},
      {"none", "", "pt.txt: there is no date"},
      {"only comments", "# soon\n", "pt.txt: there is no date"},
      {"a day that does not exist", "2026-12-25\n\n2026-02-29 x\n", "pt.txt:3: '2026-02-29 x'"},
      {"another order", "25.12.2026\n", "pt.txt:1: '25.12.2026'"},
      {"too short", "2026-12-2\n", "pt.txt:1: '2026-12-2'"},
      {"a moment", "2026-12-25T00:00:00Z\n", "pt.txt:1: "},
      {"a name first", "Natal 2026-12-25\n", "pt.txt:1: 'Natal 2026"},
      {"no text at all", std::string("\x01\xff\x00\n", 4), "pt.txt:1: "},
  };
  for (const auto& c : cases) {
    const auto got = parse_holidays(c.text, "pt.txt");
    std::string said = got ? "" : got.error().message;
    if (got)
      for (const auto& date : *got) said += std::format("{:%F} ", date);
    EXPECT_TRUE(got ? said == c.dates : said.starts_with(c.dates)) << c.what << ": " << said;
    EXPECT_EQ(got ? "flow.bad_holidays" : got.error().reason, "flow.bad_holidays");
  }
  std::string many;
  for (int i = 0; i < 10'001; ++i) many += "2026-12-25\n";
  EXPECT_EQ(parse_holidays(many, "x").error().message, "x:10001: more than 10,000 dates");
}

TEST(Holidays, RegionsAreNamesOfFiles) {
  for (const char* good : {"PT", "DE-BY", "us_ny", "X1"}) EXPECT_TRUE(is_region(good)) << good;
  for (const char* bad : {"", "../PT", "P T", "PT.txt", "a/b", "P\xC3\x89", "0123456789012345678901234567890123"})
    EXPECT_FALSE(is_region(bad)) << bad;
  EXPECT_EQ(holidays_file("PT"), "holidays/PT.txt");
}

// A year of a window with Portugal's holidays: open for the whole of each, by the wall clock, whatever the clock does.
TEST(Holidays, AYearOfWindows) {
  Window window{Window::Kind::hours, 22 * 60, 5 * 60, false, {}, "PT"};
  window.holidays = *parse_holidays("2026-01-01\n2026-03-29\n2026-04-25\n2026-10-25\n2026-12-25\n", "PT");
  EXPECT_EQ(describe(window), "22:00-05:00, holidays of PT");
  const Zone lisbon = *Zone::find("Europe/Lisbon");
  int open_days = 0;
  for (int day = 0; day < 365; ++day) {
    const auto noon = lisbon
                          .moments(LocalTime(std::chrono::local_days(std::chrono::year(2026) / 1 / 1) +
                                             std::chrono::days(day) + std::chrono::hours(12)))
                          .first;
    open_days += may_start(window, noon, lisbon).yes ? 1 : 0;
  }
  EXPECT_EQ(open_days, 5);
  // From the day before a holiday on which the clock changes: it opens at 22:00, and stays open until the night after.
  const auto start = *parse_time("2026-10-24T12:00:00Z");
  EXPECT_EQ(format_time(may_start(window, start, lisbon).when), "2026-10-24T21:00:00.000000Z");
  for (int hour = 9; hour < 41; ++hour)
    EXPECT_TRUE(may_start(window, start + std::chrono::hours(hour), lisbon).yes) << hour;
  EXPECT_FALSE(may_start(window, start + std::chrono::hours(41), lisbon).yes);
}

}  // namespace
}  // namespace millrace::flow
