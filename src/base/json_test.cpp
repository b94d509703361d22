#include "base/json.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

namespace json_test {

enum class Color { red, green };
struct Inner {
  std::string name;
  std::optional<double> score;
};
struct Outer {
  int format = 1;
  std::vector<Inner> items;
  std::map<std::string, std::int64_t> counts;
  std::optional<Inner> best;
  Color color = Color::red;
  bool on = false;
};

}  // namespace json_test

MILLRACE_JSON_ENUM(json_test::Color, red, green);

namespace millrace {
namespace {

using json_test::Color;
using json_test::Inner;
using json_test::Outer;

TEST(Json, GoesThroughText) {
  const Outer value{2,
                    {{"a\"\n\xc3\xa9", 0.1}, {"b", {}}},
                    {{"x", std::numeric_limits<std::int64_t>::max()}},
                    Inner{"c", -1e-300},
                    Color::green,
                    true};
  const auto text = json::render(value);
  const auto again = json::parse<Outer>(text, "the value");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(json::render(*again), text);
  EXPECT_EQ(again->items[0].score, 0.1);
  EXPECT_EQ(again->counts.at("x"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(again->best->score, -1e-300);
}

TEST(Json, KeysInOrderAbsentOnesLeftOut) {
  EXPECT_EQ(json::render(Inner{"n", {}}), R"({"name":"n"})");
  EXPECT_EQ(json::render(Inner{"n", 2}), R"({"name":"n","score":2})");
}

TEST(Json, MissingKeepsDefaultsNullIsAbsent) {
  const auto value = json::parse<Outer>(R"({"best":null, "on":true})", "x");
  ASSERT_TRUE(value) << value.error().message;
  EXPECT_EQ(value->format, 1);
  EXPECT_FALSE(value->best);
  EXPECT_TRUE(value->on);
}

TEST(Json, UnknownKeys) {
  constexpr auto* text = R"({"name":"n", "other":{"deep":[1,2]}})";
  const auto strict = json::parse<Inner>(text, "the record");
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, Code::invalid_argument);
  EXPECT_EQ(strict.error().reason, "json.malformed");
  EXPECT_EQ(json::parse_lenient<Inner>(text, "the request")->name, "n");
  EXPECT_FALSE(json::parse_lenient<Inner>(R"({"name":"n", "other":{"deep":tru}})", "the request"))
      << "JSON all the same";
}

TEST(Json, RefusesBrokenText) {
  for (const auto* text :
       {"", "{", "{\"name\"}", "[]", "{\"name\":1}", "{\"name\":\"a\"} x", "{\"name\":\"a\"}{}", "{\"name\":\"a\",}",
        "nul", "{\"score\":\"1\"}", "{\"score\":1e999}", "{\"name\":\"\\ud800\"}", "{\"name\":\"\n\"}"}) {
    const auto got = json::parse<Inner>(text, "the record");
    EXPECT_FALSE(got) << text;
  }
}

TEST(Json, EnumeratorsAreNames) {
  EXPECT_TRUE(json::render(Outer{}).contains(R"("color":"red")")) << json::render(Outer{});
  EXPECT_FALSE(json::parse<Outer>(R"({"color":"blue"})", "x"));
}

TEST(Json, EveryCharacterSurvives) {
  std::string text = std::string("\0", 1) + "ä東😀";
  for (int c = 1; c < 128; ++c) text += static_cast<char>(c);
  const Outer value{.items = {{text, {}}, {"\x01", {}}}, .counts = {{text, 1}}};
  const std::string written = json::render(value);
  for (const char c : written) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  const auto back = json::parse<Outer>(written, "the value");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->items[0].name, text);
  EXPECT_EQ(back->items[1].name, "\x01");
  EXPECT_EQ(back->counts.at(text), 1);
}

// Deep nesting must not end the process.
TEST(Json, DeepNesting) {
  const std::string deep(200'000, '[');
  EXPECT_FALSE(json::parse<Inner>("{\"name\":" + deep, "x"));
  EXPECT_FALSE(json::parse_lenient<Inner>("{\"x\":" + deep, "x"));
}

}  // namespace
}  // namespace millrace
