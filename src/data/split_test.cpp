#include "data/split.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "table/table.hpp"

namespace millrace::data {
namespace {

using table::Row;
using table::Schema;
using table::Type;
using table::Value;

// These never change: rows of stored versions would change sides.
TEST(Split, KnownDigests) {
  const Schema schema = {{{"id", Type::int64}, {"b", Type::text}, {"a", Type::float64}, {"y", Type::int64}}};
  const Row row = {Value{std::int64_t{7}}, Value{std::string("x;1:y")}, Value{2.5}, Value{std::int64_t{1}}};
  EXPECT_EQ(RowDigester(schema, "id", "y").digest(row), sha256("2:id=1:7;"));
  EXPECT_EQ(RowDigester(schema, "", "y").digest(row), sha256("1:a=3:2.5;1:b=5:x;1:y;2:id=1:7;"));
  EXPECT_EQ(RowDigester(schema, "id", "y").digest(row).hex(),
            "3123bf6bbc52731b2d56ce59f06bc482908c9e38e9c1b098dc789a6b26a2b84e");
}

TEST(Split, CanonicalText) {
  EXPECT_EQ(canonical_text(Value{5.0}), canonical_text(Value{std::int64_t{5}}));
  EXPECT_EQ(canonical_text(Value{1e15}), canonical_text(Value{std::int64_t{1'000'000'000'000'000}}));
  EXPECT_EQ(canonical_text(Value{-0.0}), "0");
  EXPECT_EQ(canonical_text(Value{0.1}), "0.1");
  EXPECT_EQ(canonical_text(Value{1e300}), "1e+300");
  EXPECT_EQ(canonical_text(Value{table::Date{18262}}),
            canonical_text(Value{table::Timestamp{18262 * 86'400'000'000LL}}));
  EXPECT_EQ(canonical_text(Value{true}), "true");
}

TEST(Split, SidesByShares) {
  const auto with_head = [](double share) {
    Digest d;
    const auto head = static_cast<std::uint64_t>(share * 0x1p64);
    for (int i = 0; i < 8; i++) d.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(head >> (56 - 8 * i));
    return d;
  };
  EXPECT_EQ(side_of(with_head(0.0)), Side::test);
  EXPECT_EQ(side_of(with_head(0.19)), Side::test);
  EXPECT_EQ(side_of(with_head(0.21)), Side::validation);
  EXPECT_EQ(side_of(with_head(0.31)), Side::train);
  EXPECT_EQ(side_of(with_head(0.999)), Side::train);
  EXPECT_EQ(side_of(with_head(0.1), {.test = 0, .validation = 0}), Side::train);
  EXPECT_EQ(side_name(Side::validation), "validation");
}

// A row's digest depends on the row alone: not on the order of columns, on columns added later, on widened types, on
// the target, or on the rows around it.
RC_GTEST_PROP(Split, DigestFollowsTheRowAlone, ()) {
  const int columns = *rc::gen::inRange(1, 8);
  Schema schema;
  Row row;
  for (int i = 0; i < columns; i++) {
    const bool number = *rc::gen::arbitrary<bool>();
    schema.fields.push_back({"c" + std::to_string(i), number ? Type::int64 : Type::text});
    const bool null = *rc::gen::inRange(0, 5) == 0;
    row.push_back(null     ? Value{}
                  : number ? Value{std::int64_t{*rc::gen::inRange(-1'000'000, 1'000'000)}}
                           : Value{*rc::gen::arbitrary<std::string>()});
  }
  const Digest expected = RowDigester(schema, "", "y").digest(row);
  std::vector<std::size_t> order(static_cast<std::size_t>(columns));
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = order.size(); i > 1; i--)
    std::swap(order[i - 1], order[static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(i)))]);
  Schema shuffled;
  Row moved;
  for (const std::size_t i : order) {
    const bool widen = schema.fields[i].type == Type::int64 && *rc::gen::arbitrary<bool>();
    shuffled.fields.push_back({schema.fields[i].name, widen ? Type::float64 : schema.fields[i].type});
    const auto* whole = std::get_if<std::int64_t>(&row[i]);
    moved.push_back(widen && whole ? Value{static_cast<double>(*whole)} : row[i]);
  }
  shuffled.fields.push_back({"added", Type::text});
  moved.push_back(Value{});
  shuffled.fields.push_back({"y", Type::boolean});
  moved.push_back(Value{*rc::gen::arbitrary<bool>()});
  RC_ASSERT(RowDigester(shuffled, "", "y").digest(moved) == expected);
  const auto batch = table::Batch::from_rows(shuffled, {moved, moved, moved}).value();
  for (const Digest& d : RowDigester(shuffled, "", "y").digests(batch)) RC_ASSERT(d == expected);
}

TEST(Split, SharesAreWithinBinomialBounds) {
  const Schema schema = {{{"id", Type::int64}, {"x", Type::float64}}};
  for (const char* key : {"id", ""}) {
    const RowDigester digester(schema, key, "");
    double test = 0, validation = 0;
    constexpr int rows = 40'000;
    for (int i = 0; i < rows; i++) {
      const Side side = side_of(digester.digest({Value{std::int64_t{i}}, Value{i / 3.0}}));
      test += side == Side::test;
      validation += side == Side::validation;
    }
    EXPECT_NEAR(test / rows, 0.2, 4 * std::sqrt(0.2 * 0.8 / rows));
    EXPECT_NEAR(validation / rows, 0.1, 4 * std::sqrt(0.1 * 0.9 / rows));
  }
}

TEST(Split, KeyDecidesWhereThereIsOne) {
  const Schema schema = {{{"id", Type::int64}, {"x", Type::text}}};
  const RowDigester by_key(schema, "id", "");
  EXPECT_EQ(by_key.digest({Value{std::int64_t{1}}, Value{std::string("a")}}),
            by_key.digest({Value{std::int64_t{1}}, Value{std::string("b")}}));
  EXPECT_NE(by_key.digest({Value{}, Value{std::string("a")}}), by_key.digest({Value{}, Value{std::string("b")}}));
}

}  // namespace
}  // namespace millrace::data
