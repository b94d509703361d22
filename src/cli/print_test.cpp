#include "cli/print.hpp"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

TEST(Print, TablesLineUpAlsoWithUnicode) {
  Table table({"name", "rows"}, {false, true});
  table.add({"churn", "7,043"});
  table.add({"Ærø", "12"});
  EXPECT_EQ(table.text(), "name    rows\nchurn  7,043\nÆrø       12\n");
}

TEST(Print, Numbers) {
  EXPECT_EQ(short_number(0.846123), "0.8461");
  EXPECT_EQ(short_time("2026-11-20T09:40:12.123456Z"), "2026-11-20 09:40:12");
}

TEST(Print, RepeatedEventsAreCounted) {
  auto line = [](int second, const std::string& what) {
    return "2026-11-20T09:40:1" + std::to_string(second) + " " + what;
  };
  EXPECT_EQ(condensed({}), std::vector<std::string>{});
  EXPECT_EQ(condensed({"short", "short"}), (std::vector<std::string>{"short", "short"}));
  EXPECT_EQ(condensed({line(0, "claimed"), line(1, "checkpoint"), line(2, "checkpoint"), line(3, "checkpoint"),
                       line(4, "checkpoint"), line(5, "done")}),
            (std::vector<std::string>{line(0, "claimed"), line(1, "checkpoint"), "                    ... 2 more",
                                      line(4, "checkpoint"), line(5, "done")}));
}

}  // namespace
}  // namespace millrace::cli
