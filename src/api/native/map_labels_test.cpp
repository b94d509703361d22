#include <gtest/gtest.h>

#include "api/native/map.hpp"

namespace millrace::api {
namespace {

TEST(LabelsFromTheWire, ValuesAreTheClassesTheyMean) {
  struct Case {
    std::variant<std::string, double, bool> value;
    std::string text;
  };
  const Case cases[] = {{"yes", "yes"}, {"3.0", "3.0"}, {3.0, "3"},        {-2.0, "-2"},
                        {2.5, "2.5"},   {true, "true"}, {1e300, "1e+300"}, {-9.3e18, "-9.3e+18"}};
  for (const auto& [value, text] : cases) {
    const auto raw = from_wire({Label{.key = "k", .value = value}});
    ASSERT_EQ(1u, raw.size());
    EXPECT_TRUE(raw[0].value_given);
    EXPECT_EQ(text, raw[0].value);
  }
  const auto withdrawn = from_wire({Label{.key = "k", .value = "yes", .withdraw = true}, Label{.key = "k"}});
  EXPECT_TRUE(withdrawn[0].value_given);
  EXPECT_FALSE(withdrawn[0].value);
  EXPECT_FALSE(withdrawn[1].value_given);
}

}  // namespace
}  // namespace millrace::api
