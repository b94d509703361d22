#include "model/encoder.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "model/fit.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

using table::Type;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> encoded(const Input& input, const ValueView& value, EncodeStats* stats = nullptr) {
  EncodeStats own;
  const Encoder encoder({input});
  std::vector<float> out(static_cast<std::size_t>(encoder.features()), -777.0f);
  EXPECT_TRUE(encoder.encode_value(0, value, out.data(), stats ? *stats : own));
  return out;
}

void expect_bits(const std::vector<float>& expected, const std::vector<float>& got, const std::string& what) {
  ASSERT_EQ(expected.size(), got.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(got[i])) << what << " feature " << i << " is " << got[i];
    } else {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(expected[i]), std::bit_cast<std::uint32_t>(got[i]))
          << what << " feature " << i << ": " << got[i];
    }
  }
}

TEST(Encoder, ValuesToFeatures) {
  const Input whole{.name = "x", .type = Type::int64, .encoding = Encoding::number};
  const Input number{.name = "x", .type = Type::float64, .encoding = Encoding::number};
  const Input flag{.name = "x", .type = Type::boolean, .encoding = Encoding::boolean};
  const Input text{.name = "x", .type = Type::text, .encoding = Encoding::category, .categories = {"", "a", "ä"}};
  Input strict = text;
  strict.unseen = UnseenRule::as_missing;
  const Input code{.name = "x", .type = Type::int64, .encoding = Encoding::category, .categories = {"-5", "10", "9"}};
  const Input date{.name = "x", .type = Type::date, .encoding = Encoding::date_parts};
  const Input time{.name = "x", .type = Type::timestamp, .encoding = Encoding::date_parts};
  Input filled = number;
  filled.fill = -1.5;
  Input filled_text = text;
  filled_text.fill = -1;
  const float big = std::numeric_limits<float>::max();
  struct Case {
    const char* what;
    Input input;
    ValueView value;
    std::vector<float> features;
  };
  const Case cases[] = {
      {"int64", whole, std::int64_t{42}, {42}},
      {"int64 null", whole, std::monostate{}, {kNan}},
      // 2^60 + 2^36 + 1 lies just above the middle of two floats; through double it would be the middle, and go down.
      {"int64 rounds once", whole, (std::int64_t{1} << 60) + (std::int64_t{1} << 36) + 1, {1152921642045800448.0f}},
      {"int64 max", whole, std::numeric_limits<std::int64_t>::max(), {9223372036854775808.0f}},
      {"int64 min", whole, std::numeric_limits<std::int64_t>::min(), {-9223372036854775808.0f}},
      {"double", number, 0.1, {0.1f}},
      {"double takes whole numbers", number, std::int64_t{7}, {7}},
      {"double null", number, std::monostate{}, {kNan}},
      {"double NaN", number, std::nan(""), {kNan}},
      {"double above float", number, 1e300, {big}},
      {"double infinite", number, -std::numeric_limits<double>::infinity(), {-big}},
      {"double tiny", number, 1e-300, {0}},
      {"double -0", number, -0.0, {-0.0f}},
      {"double filled", filled, std::monostate{}, {-1.5f}},
      {"category filled", filled_text, std::monostate{}, {-1}},
      {"true", flag, true, {1}},
      {"false", flag, false, {0}},
      {"category", text, std::string_view("a"), {1}},
      {"category empty text is a value", text, std::string_view(""), {0}},
      {"category Unicode", text, std::string_view("ä"), {2}},
      {"category unseen", text, std::string_view("b"), {3}},
      {"category unseen as missing", strict, std::string_view("b"), {kNan}},
      {"category null", text, std::monostate{}, {kNan}},
      {"category of numbers", code, std::int64_t{-5}, {0}},
      {"category of numbers sorted as text", code, std::int64_t{9}, {2}},
      {"date epoch", date, table::Date{0}, {1970, 1, 1, 4}},
      {"date leap day", date, table::Date{18321}, {2020, 2, 29, 6}},
      {"date before the epoch", date, table::Date{-1}, {1969, 12, 31, 3}},
      {"date null", date, std::monostate{}, {kNan, kNan, kNan, kNan}},
      {"time", time, table::Timestamp{1'600'000'000'000'000}, {2020, 9, 13, 7, 12}},
      {"time before the epoch", time, table::Timestamp{-1}, {1969, 12, 31, 3, 23}},
      {"time far away", time, table::Timestamp{std::numeric_limits<std::int64_t>::max()}, {294247, 1, 10, 7, 4}},
      {"time far back", time, table::Timestamp{std::numeric_limits<std::int64_t>::min()}, {-290308, 12, 21, 7, 19}},
  };
  for (const auto& c : cases) expect_bits(c.features, encoded(c.input, c.value), c.what);
}

TEST(Encoder, CountsWhatItMet) {
  const Input text{.name = "x", .type = Type::text, .encoding = Encoding::category, .categories = {"a"}};
  EncodeStats stats;
  encoded(text, std::string_view("a"), &stats);
  encoded(text, std::string_view("b"), &stats);
  encoded(text, std::monostate{}, &stats);
  EXPECT_EQ(3u, stats.values);
  EXPECT_EQ(1u, stats.missing);
  EXPECT_EQ(1u, stats.unseen);
  EXPECT_EQ(std::vector<std::uint64_t>{1}, stats.unseen_by_input);
}

TEST(Encoder, RowsByNameAreCheckedAndInAnyOrder) {
  const Encoder encoder(testing::sample_inputs());
  std::vector<float> out(static_cast<std::size_t>(encoder.features()));
  EncodeStats stats;
  using Named = std::vector<std::pair<std::string_view, ValueView>>;
  const Named good = {{"joined", table::Date{0}}, {"member", true}, {"age", std::int64_t{3}}};
  ASSERT_TRUE(encoder.encode_row(good, out.data(), stats));
  EXPECT_EQ(3.0f, out[0]);
  EXPECT_TRUE(std::isnan(out[1]));
  const std::pair<const char*, Named> bad[] = {
      {"model.unknown_column", {{"aged", std::int64_t{3}}}},
      {"model.duplicate_column", {{"age", std::int64_t{3}}, {"age", std::int64_t{3}}}},
      {"model.wrong_type", {{"age", 3.5}}},
      {"model.wrong_type", {{"city", std::int64_t{3}}}},
      {"model.wrong_type", {{"age", std::nan("")}}},
      {"model.missing_input", {{"age", std::int64_t{3}}, {"member", true}}},
  };
  for (const auto& [reason, row] : bad) {
    auto done = encoder.encode_row(row, out.data(), stats);
    ASSERT_FALSE(done) << reason;
    EXPECT_EQ(reason, done.error().reason);
  }
}

TEST(Fit, TablesAreSortedBoundedAndLeaveOutRareValues) {
  auto fitter = EncoderFitter::open({{.name = "t", .type = Type::text}}, {.categories_max = 2, .category_rows_min = 2});
  ASSERT_TRUE(fitter);
  for (const char* text : {"b", "b", "b", "a", "a", "c", "c", "c", "secret"})
    ASSERT_TRUE(fitter->add(table::Row{std::string(text)}));
  auto fitted = fitter->finish();
  EXPECT_EQ((std::vector<std::string>{"b", "c"}), fitted.inputs[0].categories);
  EXPECT_EQ(3u, fitted.other_rows[0]);
  EXPECT_TRUE(fitted.inputs[0].required);
  ASSERT_TRUE(fitter->add(table::Row{table::Value{}}));
  EXPECT_FALSE(fitter->finish().inputs[0].required);
}

TEST(Fit, SpreadIsMeanAndDeviation) {
  auto fitter = EncoderFitter::open({{.name = "x", .type = Type::float64}, {.name = "d", .type = Type::date}});
  ASSERT_TRUE(fitter);
  for (const double x : {2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0}) {
    ASSERT_TRUE(fitter->add(table::Row{x, table::Date{static_cast<std::int32_t>(x)}}));
  }
  ASSERT_TRUE(fitter->add(table::Row{std::nan(""), table::Value{}}));
  ASSERT_TRUE(fitter->add(table::Row{std::numeric_limits<double>::infinity(), table::Value{}}));
  const auto spread = fitter->finish().spreads;
  EXPECT_NEAR(5.0, spread[1].mean, 1e-12);
  EXPECT_NEAR(std::sqrt(32.0 / 7), spread[1].deviation, 1e-12);
}

TEST(Fit, RefusesAnEncodingThatDoesNotFitAndDoubles) {
  EXPECT_FALSE(EncoderFitter::open({{.name = "x", .type = Type::text, .encoding = Encoding::number}}));
  EXPECT_FALSE(EncoderFitter::open({{.name = "x"}, {.name = "x"}}));
  EXPECT_FALSE(EncoderFitter::open({{.name = ""}}));
}

TEST(Golden, RowsAreMadeUpAndRepeatable) {
  auto fitter = EncoderFitter::open(
      {{.name = "x", .type = Type::float64}, {.name = "n", .type = Type::int64}, {.name = "t", .type = Type::text}});
  ASSERT_TRUE(fitter);
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(fitter->add(table::Row{1234.5678, std::int64_t{987654321}, std::string(i % 2 ? "a" : "b")}));
  const auto fitted = fitter->finish();
  const auto rows = make_golden_rows(fitted, 5);
  EXPECT_EQ(rows, make_golden_rows(fitted, 5));
  ASSERT_EQ(16u, rows.size());
  EXPECT_EQ((table::Row{1230.0, std::int64_t{988000000}, rows[0][2]}), rows[0]);
  EXPECT_EQ(table::Row(3), rows[1]);
  EXPECT_EQ("(never seen)", table::to_text(rows[2][2]));
}

}  // namespace
}  // namespace millrace::model
