#include "base/text.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace millrace {
namespace {

TEST(Printable, Table) {
  const std::string bad = "\xEF\xBF\xBD";
  const std::pair<std::string, std::string> cases[] = {
      {"plain\ttext\n", "plain\ttext\n"},
      {"größe 東京 😀", "größe 東京 😀"},
      {std::string("a\0b", 3), "a" + bad + "b"},
      {"\xFF\xFE\x01\x02 x", bad + " x"},
      {"\xC3", bad},                                  // cut off
      {"\xED\xA0\x80", bad},                          // a surrogate
      {"\xC0\xAF\xE0\x80\x80\xF4\x90\x80\x80", bad},  // longer than needed, past the end
      {"\xC2\x9B", bad},                              // a control character that terminals obey
      {"10%\r20%\r\ndone", "10%\n20%\ndone"},
      {"\x1B[1;31mred\x1B[0m", "red"},
      {"\x1B]0;title\x07", "0;title" + bad},
      {"\x1B", bad},
  };
  for (const auto& [bytes, shown] : cases) {
    EXPECT_EQ(printable(bytes), shown);
    EXPECT_EQ(printable(printable(bytes)), shown);
  }
}

TEST(Printable, AnyBytes) {
  SeededRng rng(5);
  for (int i = 0; i < 2'000; ++i) {
    std::string bytes(rng.below(40), ' ');
    for (auto& c : bytes) c = static_cast<char>(rng.below(256));
    const auto once = printable(bytes);
    EXPECT_EQ(printable(once), once);
    for (const char c : once) EXPECT_TRUE(c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 0x20);
  }
}

TEST(LastLines, WholeLinesWhereThereAreSome) {
  EXPECT_EQ(last_lines("one\ntwo\nthree\n\n", 100), "one\ntwo\nthree");
  EXPECT_EQ(last_lines("one\ntwo\nthree\n", 9), "two\nthree");
  EXPECT_EQ(last_lines("one\ntwo\nthree\n", 8), "three");
  EXPECT_EQ(last_lines("abcdef", 3), "def");
  EXPECT_EQ(last_lines("ää", 3), "ä") << "no half character";
  EXPECT_EQ(last_lines("", 3), "");
}

TEST(ShellWord, Table) {
  EXPECT_EQ(shell_word("/data/churn-2/.millrace"), "/data/churn-2/.millrace");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("my models/x"), "'my models/x'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$HOME;rm"), "'$HOME;rm'");
  EXPECT_EQ(shell_word("~x"), "'~x'");
}

TEST(WithThousands, Table) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(-1234567), "-1,234,567");
  EXPECT_EQ(with_thousands(-123), "-123");
}

}  // namespace
}  // namespace millrace
