#include "model/rows.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

using table::Value;

const RowParser& parser() {
  static const RowParser p(testing::sample_manifest(TaskType::binary));
  return p;
}

constexpr std::string_view kGood =
    R"({"age":31,"income":2.5,"member":true,"city":"Lima","joined":"2020-02-29","seen_at":"2020-02-29T10:00:00Z"})";

table::Row good_row() {
  return {
      std::int64_t{31}, 2.5, true, std::string("Lima"), table::Date{18321}, table::Timestamp{1'582'970'400'000'000}};
}

TEST(JsonRows, OneRowManyRowsAndEnvelopes) {
  const std::string one(kGood);
  for (const std::string& text : {one, "[" + one + "]", R"({"rows":[)" + one + "]}",
                                  R"( {"inputs" : [ )" + one + " ] } ", R"({"instances":[)" + one + "]}"}) {
    auto parsed = parser().parse_json(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(std::vector<table::Row>{good_row()}, parsed->rows) << text;
  }
  auto two = parser().parse_json("[" + one + "," + one + "]");
  ASSERT_TRUE(two);
  EXPECT_EQ((std::vector<table::Row>{good_row(), good_row()}), two->rows);
}

TEST(JsonRows, OrderNullsKeysAndIgnoredColumns) {
  auto parsed = parser().parse_json(
      R"([{"note":"hm","customer":"C-7","seen_at":null,"joined":"1970-01-01","member":false,"age":5.0},
          {"age":1e3,"member":false,"joined":"1970-01-01","customer":8812345678901234567,"city":"Z\u00fcrich \ud83d\ude00"},
          {"age":-0,"member":false,"joined":"1970-01-01","note":null}])");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ((std::vector<std::string>{"C-7", "8812345678901234567", ""}), parsed->keys);
  EXPECT_EQ((table::Row{std::int64_t{5}, Value{}, false, Value{}, table::Date{0}, Value{}}), parsed->rows[0]);
  EXPECT_EQ(Value{std::int64_t{1000}}, parsed->rows[1][0]);
  EXPECT_EQ(Value{std::string("Zürich 😀")}, parsed->rows[1][3]);
  EXPECT_EQ(Value{std::int64_t{0}}, parsed->rows[2][0]);
}

TEST(JsonRows, NumbersAtTheEdges) {
  const auto row = [](std::string_view age, std::string_view income) {
    return R"({"member":true,"joined":"2020-01-01","age":)" + std::string(age) + R"(,"income":)" + std::string(income) +
           "}";
  };
  const std::pair<std::string_view, std::int64_t> whole[] = {
      {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}, {"9007199254740993", 9007199254740993}};
  for (const auto& [text, value] : whole) {
    auto parsed = parser().parse_json(row(text, "1"));
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(Value{value}, parsed->rows[0][0]) << text;
  }
  const std::pair<std::string_view, double> real[] = {
      {"1.7976931348623157e308", 1.7976931348623157e308},
      {"5e-324", 5e-324},
      {"1e-400", 0.0},
      {"18446744073709551616", 18446744073709551616.0},
      {"123456789012345678901234567890", 123456789012345678901234567890.0},
      {"9007199254740993", 9007199254740992.0}};
  for (const auto& [text, value] : real) {
    auto parsed = parser().parse_json(row("1", text));
    ASSERT_TRUE(parsed) << text << parsed.error().message;
    EXPECT_EQ(Value{value}, parsed->rows[0][1]) << text;
  }
}

// A request for the sample model in which one piece is replaced.
std::string with(std::string_view part, std::string_view by) {
  std::string text(kGood);
  const auto at = text.find(part);
  return text.replace(at, part.size(), by);
}

TEST(JsonRows, BadOnesSayWhatAndWhere) {
  const std::string good(kGood);
  struct Case {
    std::string text;
    std::string reason;
    std::string path;
  };
  const Case cases[] = {
      {"", "model.bad_json", ""},
      {" ", "model.bad_json", ""},
      {"null", "model.bad_json", ""},
      {"17", "model.bad_json", ""},
      {"\"text\"", "model.bad_json", ""},
      {"{", "model.bad_json", ""},
      {"[", "model.bad_json", ""},
      {"{}", "model.missing_input", "age"},
      {"[]", "model.no_rows", ""},
      {R"({"rows":[]})", "model.no_rows", ""},
      {good.substr(0, good.size() - 1), "model.bad_json", ""},
      {good + "x", "model.bad_json", ""},
      {good + good, "model.bad_json", ""},
      {"[" + good + ",]", "model.bad_json", ""},
      {"[" + good + " " + good + "]", "model.bad_json", ""},
      {R"({"rows":[)" + good + R"(],"more":1})", "model.unknown_column", "more"},
      {R"({"rows":3})", "model.unknown_column", "rows"},
      {"[" + good + ",3]", "model.wrong_type", "rows[1]"},
      {"[" + good + ",null]", "model.wrong_type", "rows[1]"},
      {"[[" + good + "]]", "model.wrong_type", "rows[0]"},
      {with("\"age\"", "\"Age\""), "model.unknown_column", "Age"},
      {with("\"age\"", "\"age \""), "model.unknown_column", "age "},
      {with("\"age\"", "\"\""), "model.unknown_column", ""},
      {with("\"age\":31,", ""), "model.missing_input", "age"},
      {with("\"income\":2.5", "\"age\":31"), "model.duplicate_column", "age"},
      {with("31", "\"31\""), "model.wrong_type", "age"},
      {with("31", "31.5"), "model.wrong_type", "age"},
      {with("31", "true"), "model.wrong_type", "age"},
      {with("31", "[31]"), "model.wrong_type", "age"},
      {with("31", "{\"a\":1}"), "model.wrong_type", "age"},
      {with("31", "9223372036854775808"), "model.out_of_range", "age"},
      {with("31", "-9223372036854775809"), "model.out_of_range", "age"},
      {with("31", "18446744073709551616"), "model.out_of_range", "age"},
      {with("31", "123456789012345678901234567890"), "model.out_of_range", "age"},
      {with("31", "1e19"), "model.out_of_range", "age"},
      {with("31", "NaN"), "model.wrong_type", "age"},
      {with("2.5", "NaN"), "model.wrong_type", "income"},
      {with("2.5", "nan"), "model.wrong_type", "income"},
      {with("2.5", "Infinity"), "model.wrong_type", "income"},
      {with("2.5", "-Infinity"), "model.wrong_type", "income"},
      {with("2.5", "1e999"), "model.out_of_range", "income"},
      {with("2.5", "-1e999"), "model.out_of_range", "income"},
      {with("2.5", "2,5"), "model.bad_json", ""},
      {with("2.5", "+2.5"), "model.bad_json", "income"},
      {with("2.5", "02"), "model.bad_json", ""},
      {with("2.5", ".5"), "model.bad_json", "income"},
      {with("2.5", "0x10"), "model.bad_json", ""},
      {with("2.5", "2.5.5"), "model.bad_json", ""},
      {with("2.5", "\"2.5\""), "model.wrong_type", "income"},
      {with("2.5", "undefined"), "model.bad_json", "income"},
      {with("true", "1"), "model.wrong_type", "member"},
      {with("true", "\"true\""), "model.wrong_type", "member"},
      {with("true", "True"), "model.bad_json", "member"},
      {with("true", "truely"), "model.bad_json", ""},
      {with("\"Lima\"", "3"), "model.wrong_type", "city"},
      {with("\"Lima\"", "false"), "model.wrong_type", "city"},
      {with("\"Lima\"", "'Lima'"), "model.bad_json", "city"},
      {with("\"Lima\"", "\"Li\xC3\x28ma\""), "model.bad_json", ""},
      {with("\"Lima\"", "\"Li\xED\xA0\x80ma\""), "model.bad_json", ""},
      {with("\"Lima\"", "\"\\ud800\""), "model.bad_json", ""},
      {with("\"Lima\"", "\"\\x\""), "model.bad_json", ""},
      {with("\"Lima\"", "\"a\nb\""), "model.bad_json", ""},
      {with("\"2020-02-29\"", "\"2021-02-29\""), "model.wrong_type", "joined"},
      {with("\"2020-02-29\"", "\"29.02.2020\""), "model.wrong_type", "joined"},
      {with("\"2020-02-29\"", "\"\""), "model.wrong_type", "joined"},
      {with("\"2020-02-29\"", "18321"), "model.wrong_type", "joined"},
      {with("\"2020-02-29T10:00:00Z\"", "\"noon\""), "model.wrong_type", "seen_at"},
      {with("\"2020-02-29T10:00:00Z\"", "1582970400"), "model.wrong_type", "seen_at"},
      {with("\"age\"", "\"note\":[1],\"age\""), "model.wrong_type", "note"},
      {with("\"age\"", "\"note\":NaN,\"age\""), "model.wrong_type", "note"},
      {with("\"age\"", "\"customer\":{},\"age\""), "model.wrong_type", "customer"},
      {"[" + good + "," + with("31", "\"x\"") + "]", "model.wrong_type", "rows[1].age"},
      {R"({"rows":[)" + good + "," + good + "," + with("\"age\":31,", "") + "]}", "model.missing_input", "rows[2].age"},
      {std::string(5000, '[') + std::string(5000, ']'), "model.wrong_type", "rows[0]"},
      {with("31", std::string(100000, '[')), "model.wrong_type", "age"},
      {std::string(100000, '{'), "model.bad_json", ""},
      {std::string("{\"age\":31\0}", 11), "model.bad_json", ""},
      {"\xEF\xBB\xBF{\"age\":", "model.bad_json", ""},
      {std::string("\xFF\xFE{\0}\0", 6), "model.bad_json", ""},
  };
  EXPECT_GE(std::size(cases), 60u);
  for (const auto& c : cases) {
    Problem problem;
    auto parsed = parser().parse_json(c.text, {}, &problem);
    const std::string shown = c.text.substr(0, 150);
    ASSERT_FALSE(parsed) << shown;
    EXPECT_EQ(Code::invalid_argument, parsed.error().code) << shown;
    EXPECT_EQ(c.reason, parsed.error().reason) << shown << "\n  " << parsed.error().message;
    EXPECT_EQ(c.path, problem.path) << shown;
    EXPECT_FALSE(problem.expected.empty()) << shown;
    EXPECT_FALSE(problem.got.empty()) << shown;
    EXPECT_LT(parsed.error().message.size(), 300u) << parsed.error().message;
    // And the parser is as good as new.
    ASSERT_TRUE(parser().parse_json(kGood)) << "after " << shown;
  }
}

TEST(JsonRows, LimitsAreRefusals) {
  const std::string two = "[" + std::string(kGood) + "," + std::string(kGood) + "]";
  auto many = parser().parse_json(two, {.rows_max = 1});
  ASSERT_FALSE(many);
  EXPECT_EQ(Code::resource_exhausted, many.error().code);
  EXPECT_EQ("model.too_many_rows", many.error().reason);
  auto large = parser().parse_json(two, {.bytes_max = 100});
  ASSERT_FALSE(large);
  EXPECT_EQ("model.too_large", large.error().reason);
}

TEST(JsonRows, ANearNameIsSuggested) {
  auto parsed = parser().parse_json(with("\"income\"", "\"incmoe\""));
  ASSERT_FALSE(parsed);
  EXPECT_NE(std::string::npos, parsed.error().message.find("'income'")) << parsed.error().message;
}

// Under the sanitizers this is what keeps foreign bytes harmless.
TEST(JsonRows, DamagedTextNeverBreaksTheParser) {
  const std::string many = R"({"rows":[)" + std::string(kGood) + "," + std::string(kGood) + "]}";
  SeededRng rng(11);
  static constexpr std::string_view kPieces[] = {"\"",    "{",    "}",   "[", "]",    ",",        ":",  "\\",
                                                 "\\u12", "null", "1e5", "-", "\xff", "\xed\xa0", "NaN"};
  int good = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = i % 2 == 0 ? std::string(kGood) : many;
    for (auto changes = 1 + rng.below(3); changes > 0; --changes) {
      const auto at = rng.below(text.size());
      switch (rng.below(4)) {
        case 0:
          text[at] = static_cast<char>(rng.next());
          break;
        case 1:
          text.erase(at, rng.below(8));
          break;
        case 2:
          text.insert(at, kPieces[rng.below(std::size(kPieces))]);
          break;
        default:
          text.resize(at);
      }
      if (text.empty()) break;
    }
    auto parsed = parser().parse_json(text);
    good += parsed.has_value();
    if (parsed) {
      for (const auto& row : parsed->rows) EXPECT_EQ(6u, row.size());
    } else {
      EXPECT_EQ(Code::invalid_argument, parsed.error().code) << text;
    }
    (void)parser().parse_csv(text);
  }
  EXPECT_GT(good, 100);
  ASSERT_TRUE(parser().parse_json(kGood));
}

TEST(CsvRows, HeaderQuotesAndMissing) {
  auto parsed = parser().parse_csv(
      "city,age, member ,joined,income,note,customer\r\n"
      "\"Li,\"\"ma\nX\",31,true,2020-02-29, 2.5 ,,C1\r\n"
      "NA,5,false,1970-01-01,?,\"?\",\n"
      "\"NA\",6,false,1970-01-01,NaN,,c");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(3u, parsed->rows.size());
  EXPECT_EQ((table::Row{std::int64_t{31}, 2.5, true, std::string("Li,\"ma\nX"), table::Date{18321}, Value{}}),
            parsed->rows[0]);
  EXPECT_EQ((table::Row{std::int64_t{5}, Value{}, false, Value{}, table::Date{0}, Value{}}), parsed->rows[1]);
  EXPECT_EQ(Value{std::string("NA")}, parsed->rows[2][3]);
  EXPECT_EQ((std::vector<std::string>{"C1", "", "c"}), parsed->keys);
}

TEST(CsvRows, OtherDelimitersAndLinesThatWereJoined) {
  for (const char* delimiter : {";", "\t", "|"}) {
    const std::string d = delimiter;
    auto parsed = parser().parse_csv("age" + d + "member" + d + "joined\n31" + d + "true" + d + "2020-02-29\n");
    ASSERT_TRUE(parsed) << d << parsed.error().message;
    EXPECT_EQ(Value{std::int64_t{31}}, parsed->rows[0][0]);
  }
  const auto joined = parser().parse_csv("age,member,joined31,true,2020-02-29");
  ASSERT_FALSE(joined);
  const auto header = parser().parse_csv("age,member,joined");
  ASSERT_FALSE(header);
  EXPECT_TRUE(header.error().message.contains("--data-binary")) << header.error().message;
}

TEST(CsvRows, BadOnes) {
  const std::string head = "age,member,joined\n";
  const std::pair<std::string, std::string> cases[] = {
      {"", "model.bad_csv"},
      {head, "model.no_rows"},
      {"age,member\n1,true\n", "model.missing_input"},
      {"age,age,member,joined\n", "model.duplicate_column"},
      {"agee,member,joined\n", "model.unknown_column"},
      {head + "1,true\n", "model.bad_csv"},
      {head + "1,true,2020-01-01,5\n", "model.bad_csv"},
      {head + "x,true,2020-01-01\n", "model.wrong_type"},
      {head + "1.5,true,2020-01-01\n", "model.wrong_type"},
      {head + "1,maybe,2020-01-01\n", "model.wrong_type"},
      {head + "\"1,true,2020-01-01\n", "model.bad_csv"},
      {head + "\"1\"x,true,2020-01-01\n", "model.bad_csv"},
      {head + "1,true,\xFF\n", "model.bad_csv"},
  };
  for (const auto& [text, reason] : cases) {
    Problem problem;
    auto parsed = parser().parse_csv(text, {}, &problem);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(reason, parsed.error().reason) << text;
  }
}

}  // namespace
}  // namespace millrace::model
