#include "label/parse.hpp"

#include <gtest/gtest.h>

namespace millrace::label {
namespace {

const TimePoint now{std::chrono::sys_days(std::chrono::year(2026) / 11 / 20)};
const std::string good_id = "06F3X00000000000000000000A";

RawLabel row(std::string value = "Yes") { return {.key = "k1", .value_given = true, .value = std::move(value)}; }
LabelRules rules() { return {.model = "churn", .classes = {"No", "Yes"}}; }

TEST(ParseLabels, FillsInWhatIsNotSaid) {
  RawLabel full{.prediction = good_id,
                .id = "crm-1",
                .time = "2026-11-19T10:00:00Z",
                .origin = "human",
                .author = "ann",
                .value_given = true,
                .value = "No"};
  const std::vector<RawLabel> rows{row(), full};
  auto with = rules();
  with.author = "token:crm";
  const auto labels = parse_labels(rows, with, now);
  ASSERT_TRUE(labels) << labels.error().message;
  EXPECT_EQ((*labels)[0].key, "k1");
  EXPECT_EQ((*labels)[0].origin, Origin::system);
  EXPECT_EQ((*labels)[0].author, "token:crm");
  EXPECT_FALSE((*labels)[0].time_given);
  EXPECT_EQ((*labels)[1].origin, Origin::human);
  EXPECT_EQ((*labels)[1].author, "ann");
  EXPECT_TRUE((*labels)[1].time_given);
  EXPECT_EQ((*labels)[1].prediction->text(), good_id);
  EXPECT_EQ((*labels)[1].id, "crm-1");
}

TEST(ParseLabels, NullTakesBack) {
  RawLabel null = row();
  null.value.reset();
  const auto labels = parse_labels(std::vector{null}, rules(), now);
  ASSERT_TRUE(labels);
  EXPECT_FALSE((*labels)[0].value);
}

TEST(ParseLabels, ValuesBecomeTheClassesOwnText) {
  LabelRules digits{.model = "digits", .classes = {"0", "1", "2.5"}};
  EXPECT_EQ(*parse_labels(std::vector{row("1.0")}, digits, now)->front().value, "1");
  EXPECT_EQ(*parse_labels(std::vector{row("2.50")}, digits, now)->front().value, "2.5");
  LabelRules price{.model = "price"};
  EXPECT_EQ(*parse_labels(std::vector{row("1e3")}, price, now)->front().value, "1000");
  LabelRules open = rules();
  open.new_classes = true;
  EXPECT_EQ(*parse_labels(std::vector{row("Maybe")}, open, now)->front().value, "Maybe");
}

TEST(ParseLabels, SaysWhereAndWhat) {
  struct Case {
    void (*spoil)(RawLabel&);
    const char *reason, *says;
  };
  const Case cases[] = {
      {[](RawLabel& r) { r.key.reset(); }, "label.bad_row", "labels[1]: needs 'prediction'"},
      {[](RawLabel& r) { r.prediction = good_id; }, "label.bad_row", "labels[1]: has both"},
      {[](RawLabel& r) { r.key = ""; }, "label.bad_row", "labels[1].key"},
      {[](RawLabel& r) { r.key = std::string(2000, 'x'); }, "label.bad_row", "labels[1].key: 2000 bytes"},
      {[](RawLabel& r) { r.key.reset(), r.prediction = "nonsense"; }, "label.bad_row", "labels[1].prediction"},
      {[](RawLabel& r) { r.id = ""; }, "label.bad_row", "labels[1].id"},
      {[](RawLabel& r) { r.time = "yesterday"; }, "label.bad_row", "labels[1].time"},
      {[](RawLabel& r) { r.time = "2026-11-21"; }, "label.time_ahead", "labels[1].time"},
      {[](RawLabel& r) { r.origin = "robot"; }, "label.bad_origin", "labels[1].origin"},
      {[](RawLabel& r) { r.value_given = false; }, "label.bad_row", "labels[1].value: is missing"},
      {[](RawLabel& r) { r.value = "yes "; }, "label.bad_value", "did you mean 'Yes'"},
      {[](RawLabel& r) { r.value = "perhaps"; }, "label.bad_value", "expected one of 'No', 'Yes'"},
      {[](RawLabel& r) { r.value = ""; }, "label.bad_value", "labels[1].value"},
  };
  for (const Case& c : cases) {
    std::vector<RawLabel> rows{row(), row()};
    c.spoil(rows[1]);
    const auto labels = parse_labels(rows, rules(), now);
    ASSERT_FALSE(labels) << c.says;
    EXPECT_EQ(labels.error().code, Code::invalid_argument);
    EXPECT_EQ(labels.error().reason, c.reason) << labels.error().message;
    EXPECT_NE(labels.error().message.find(c.says), std::string::npos) << labels.error().message;
  }
  for (const char* text : {"many", "nan", "inf", "1e999", "1 "}) {
    EXPECT_EQ(parse_labels(std::vector{row(text)}, {.model = "price"}, now).error().reason, "label.bad_value") << text;
  }
}

TEST(ParseLabels, ABatchIsBounded) {
  auto small = rules();
  small.rows_max = 2;
  const auto labels = parse_labels(std::vector<RawLabel>(3, row()), small, now);
  ASSERT_FALSE(labels);
  EXPECT_EQ(labels.error().reason, "label.too_many");
}

TEST(LabelDigest, IsOfWhatIsSaid) {
  const Label base = parse_labels(std::vector{row()}, rules(), now)->front();
  Label later = base;
  later.time += Duration(5);  // only the stamp
  later.seq = 9;
  later.arrived = now;
  EXPECT_EQ(digest_of(base), digest_of(later));
  const auto differs = [&](void (*change)(Label&)) {
    Label other = base;
    change(other);
    return digest_of(other) != digest_of(base);
  };
  EXPECT_TRUE(differs([](Label& l) { l.time_given = true; }));
  EXPECT_TRUE(differs([](Label& l) { l.value.reset(); }));
  EXPECT_TRUE(differs([](Label& l) { l.value = ""; }));
  EXPECT_TRUE(differs([](Label& l) { l.origin = Origin::human; }));
  EXPECT_TRUE(differs([](Label& l) { l.author = "x"; }));
  EXPECT_TRUE(differs([](Label& l) { l.id = "1"; }));
  EXPECT_TRUE(differs([](Label& l) { l.model = "m"; }));
  // Texts that run together as one are told apart.
  Label left = base, right = base;
  left.key = "ab", left.id = "c";
  right.key = "a", right.id = "bc";
  EXPECT_NE(digest_of(left), digest_of(right));
}

}  // namespace
}  // namespace millrace::label
