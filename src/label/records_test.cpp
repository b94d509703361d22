#include "label/records.hpp"

#include <gtest/gtest.h>

#include "meta/testing/temp_store.hpp"

namespace millrace::label {
namespace {

class LabelRecords : public ::testing::Test {
 protected:
  meta::TempStore store_{migrations()};

  Result<Intake> send(const std::vector<Label>& labels, const std::string& model = "churn") {
    return store_->write([&](meta::Tx& tx) { return add(tx, store_.env().faults, model, labels, store_.clock.now()); });
  }
  std::vector<Label> stored(const std::string& model = "churn") {
    auto labels = store_->read([&](meta::Reader& reader) { return labels_after(reader, model, 0, 100); });
    EXPECT_TRUE(labels);
    return labels ? *labels : std::vector<Label>{};
  }
  std::int64_t counted(const LabelFilter& filter = {}) {
    auto number = store_->read([&](meta::Reader& reader) { return count(reader, "churn", filter); });
    EXPECT_TRUE(number);
    return number.value_or(-1);
  }
  std::vector<meta::OutboxEvent> events() {
    auto all = store_->outbox_after(0, 100);
    EXPECT_TRUE(all);
    return all ? *all : std::vector<meta::OutboxEvent>{};
  }
};

Label key_label(const std::string& key, const std::string& value) {
  return {.model = "churn",
          .key = key,
          .time = TimePoint(std::chrono::seconds(1'700'000'000)),
          .author = "ann",
          .value = value};
}

TEST_F(LabelRecords, KeepsWhatWasSaid) {
  Label all{.model = "churn",
            .prediction = *Id::parse("06F3X00000000000000000000A"),
            .id = "crm-1",
            .time = TimePoint(std::chrono::microseconds(1'700'000'000'123'456)),
            .origin = Origin::human,
            .author = "ann"};
  const auto done = send({all, key_label("k1", "Yes")});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->accepted, 2);
  EXPECT_EQ(done->last_seq, 2);
  auto labels = stored();
  ASSERT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels[0].seq, 1);
  EXPECT_LT(labels[0].arrived, labels[1].arrived);
  labels[0].seq = 0;
  labels[0].arrived = {};
  EXPECT_EQ(labels[0], all);
}

TEST_F(LabelRecords, RepeatingABatchAddsNothingAndSaysNothing) {
  const std::vector<Label> batch{key_label("k1", "Yes"), key_label("k2", "No"), key_label("k1", "Yes")};
  ASSERT_TRUE(send(batch));
  store_.clock.advance(std::chrono::hours(1));
  const auto again = send(batch);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->accepted, 0);
  EXPECT_EQ(again->duplicates, 3);
  EXPECT_EQ(again->last_seq, 2);
  const auto all = events();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].event.subject, "labels.added");
  EXPECT_EQ(all[0].event.key, "churn");
  EXPECT_EQ(all[0].event.payload, R"({"model":"churn","count":2,"seq":2})");
}

TEST_F(LabelRecords, WithoutATimeTheArrivalIsTheTimeAndNeverTwiceTheSame) {
  std::vector<Label> batch{key_label("k1", "a"), key_label("k1", "b"), key_label("k1", "c")};
  for (Label& label : batch) label.time_given = false;
  ASSERT_TRUE(send(batch));
  store_.clock.advance(std::chrono::hours(-2));  // the calendar may jump
  Label last = key_label("k1", "d");
  last.time_given = false;
  ASSERT_TRUE(send({last}));
  const auto labels = stored();
  ASSERT_EQ(labels.size(), 4u);
  for (std::size_t i = 1; i < labels.size(); ++i) EXPECT_LT(labels[i - 1].time, labels[i].time);
  store_.clock.advance(std::chrono::hours(5));
  EXPECT_EQ(send(batch)->duplicates, 3) << "a retry says nothing new, whenever it comes";
}

TEST_F(LabelRecords, AllOrNone) {
  Label other = key_label("k2", "No");
  other.model = "bread";
  auto mixed = send({key_label("k1", "Yes"), other});
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().reason, "label.mixed_models");
  EXPECT_TRUE(stored().empty());
  EXPECT_TRUE(events().empty());
}

TEST_F(LabelRecords, AClientIdStandsForOneLabel) {
  Label first = key_label("k1", "Yes"), second = key_label("k1", "No");
  first.id = second.id = "crm-1";
  ASSERT_TRUE(send({first}));
  EXPECT_EQ(send({first})->duplicates, 1);
  const auto clash = send({key_label("k3", "Yes"), second});
  ASSERT_FALSE(clash);
  EXPECT_EQ(clash.error().code, Code::already_exists);
  EXPECT_EQ(clash.error().reason, "label.id_reused");
  EXPECT_EQ(stored().size(), 1u);
  second.model = "bread";
  EXPECT_TRUE(send({second}, "bread")) << "another model's ids are its own";
}

TEST_F(LabelRecords, AFaultInTheMiddleLeavesNothing) {
  for (const char* point : {"label.add.halfway=error", "label.add.before_commit=error"}) {
    ASSERT_TRUE(store_.env().faults.arm(point));
    EXPECT_FALSE(send({key_label("k1", "Yes"), key_label("k2", "No")}));
    EXPECT_TRUE(stored().empty());
    EXPECT_TRUE(events().empty());
  }
  ASSERT_TRUE(store_.env().faults.arm(""));
  EXPECT_EQ(send({key_label("k1", "Yes"), key_label("k2", "No")})->accepted, 2);
}

TEST_F(LabelRecords, CountsWhatMayBeTrainedOn) {
  Label guess = key_label("k2", "Yes"), taken_back = key_label("k3", "x"), human = key_label("k4", "No");
  guess.origin = Origin::model;
  taken_back.value.reset();
  human.origin = Origin::human;
  ASSERT_TRUE(send({key_label("k1", "Yes"), guess, taken_back, human}));
  EXPECT_EQ(counted(), 2);
  EXPECT_EQ(counted({.origins = {Origin::human}}), 1);
  EXPECT_EQ(counted({.origins = {Origin::human, Origin::system, Origin::model}}), 3);
  EXPECT_EQ(counted({.origins = {}}), 0);
  EXPECT_EQ(counted({.after_seq = 1}), 1);
  const TimePoint seen = stored().back().arrived;
  EXPECT_EQ(counted({.arrived_after = seen}), 0);
  store_.clock.advance(std::chrono::seconds(1));
  ASSERT_TRUE(send({key_label("k9", "Yes")}));
  EXPECT_EQ(counted({.arrived_after = seen}), 1);
}

TEST_F(LabelRecords, PagesAndSurvivesARestart) {
  std::vector<Label> batch;
  for (int i = 0; i < 25; ++i) batch.push_back(key_label("k" + std::to_string(i), "Yes"));
  ASSERT_TRUE(send(batch));
  store_.reopen();
  std::int64_t after = 0;
  std::size_t pages = 0, labels = 0;
  while (true) {
    const auto page = store_->read([&](meta::Reader& reader) { return labels_after(reader, "churn", after, 10); });
    ASSERT_TRUE(page);
    if (page->empty()) break;
    ++pages;
    labels += page->size();
    after = page->back().seq;
  }
  EXPECT_EQ(pages, 3u);
  EXPECT_EQ(labels, 25u);
  EXPECT_EQ(send({key_label("new", "Yes")})->last_seq, 26);
}

}  // namespace
}  // namespace millrace::label
