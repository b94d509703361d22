#include "table/value.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

#include "base/testing/reason.hpp"

namespace millrace::table {
namespace {

TEST(Value, TextOfEachType) {
  EXPECT_EQ(to_text(Value{}), "");
  EXPECT_EQ(to_text(Value{true}), "true");
  EXPECT_EQ(to_text(Value{std::int64_t{-9223372036854775807 - 1}}), "-9223372036854775808");
  EXPECT_EQ(to_text(Value{0.1}), "0.1");
  EXPECT_EQ(to_text(Value{1e300}), "1e+300");
  EXPECT_EQ(to_text(Value{Date{0}}), "1970-01-01");
  EXPECT_EQ(to_text(Value{Date{-1}}), "1969-12-31");
  EXPECT_EQ(to_text(Value{Date{-719528}}), "0000-01-01");
  EXPECT_EQ(to_text(Value{Timestamp{-1}}), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(to_text(Value{Timestamp{1376374062000000}}), "2013-08-13T06:07:42Z");
}

struct TextCase {
  const char* text;
  Type type;
  const char* again;  // null: refused
};

TEST(Value, FromTextTable) {
  const TextCase cases[] = {
      {"", Type::int64, ""},
      {"TRUE", Type::boolean, "true"},
      {"0", Type::boolean, "false"},
      {"yes", Type::boolean, nullptr},
      {"+5", Type::int64, "5"},
      {"007", Type::int64, nullptr},
      {"-0", Type::int64, "0"},
      {"9223372036854775807", Type::int64, "9223372036854775807"},
      {"9223372036854775808", Type::int64, nullptr},
      {"1.5", Type::int64, nullptr},
      {"1e3", Type::float64, "1000"},
      {"+.5", Type::float64, "0.5"},
      {"+-5", Type::float64, nullptr},
      {"1e999", Type::float64, "inf"},
      {"nan", Type::float64, "nan"},
      {"nan(1)", Type::float64, nullptr},
      {"0x10", Type::float64, nullptr},
      {"1,5", Type::float64, nullptr},
      {"2020-02-29", Type::date, "2020-02-29"},
      {"2021-02-29", Type::date, nullptr},
      {"2021-2-9", Type::date, nullptr},
      {"-0001-12-31", Type::date, "-0001-12-31"},
      {"123456-01-01", Type::date, "123456-01-01"},
      {"2013-08-13 06:03:42", Type::timestamp, "2013-08-13T06:03:42Z"},
      {"2013-08-13T06:03", Type::timestamp, "2013-08-13T06:03:00Z"},
      {"2013-08-13T06:03:42.5+02:00", Type::timestamp, "2013-08-13T04:03:42.500000Z"},
      {"2013-08-13", Type::timestamp, "2013-08-13T00:00:00Z"},
      {"2013-08-13 24:00:00", Type::timestamp, nullptr},
      {"2013-08-13 06:03:42 noon", Type::timestamp, nullptr},
  };
  for (const TextCase& c : cases) {
    const auto value = from_text(c.text, c.type);
    ASSERT_EQ(value.has_value(), c.again != nullptr) << c.text << " as " << type_name(c.type);
    if (value) {
      EXPECT_EQ(to_text(*value), c.again) << c.text;
    } else {
      EXPECT_EQ(reason_of(value), "table.bad_value");
    }
  }
}

TEST(Value, ExcerptsAreAlwaysText) {
  EXPECT_EQ(excerpt("short", 10), "short");
  EXPECT_EQ(excerpt("0123456789x", 10), "0123456...");
  EXPECT_EQ(excerpt("012345\xc3\xbc\xc3\xbc", 9), "012345...");
  EXPECT_EQ(excerpt("a\xe4z", 10), "a?z");
  EXPECT_EQ(excerpt("a\xc3", 10), "a?");
}

TEST(Value, TypeNamesReadBack) {
  for (const Type type : {Type::boolean, Type::int64, Type::float64, Type::text, Type::date, Type::timestamp}) {
    EXPECT_EQ(parse_type(type_name(type)).value(), type);
  }
  EXPECT_EQ(reason_of(parse_type("integer")), "table.bad_type");
}

RC_GTEST_PROP(Value, WhatIsPrintedReadsBack, (std::int64_t whole, double number, std::int32_t days)) {
  RC_ASSERT(from_text(to_text(Value{whole}), Type::int64).value() == Value{whole});
  RC_ASSERT(from_text(to_text(Value{number}), Type::float64).value() == Value{number});
  days %= 300'000'000;
  const auto date = from_text(to_text(Value{Date{days}}), Type::date);
  RC_ASSERT(date.has_value() == (std::abs(days) < 365'000'000 - 719'528 && date.has_value()));
  if (date) RC_ASSERT(*date == Value{Date{days}});
  const Timestamp time{whole % (std::int64_t{86'400'000'000} * 3'000'000)};
  RC_ASSERT(from_text(to_text(Value{time}), Type::timestamp).value() == Value{time});
}

}  // namespace
}  // namespace millrace::table
