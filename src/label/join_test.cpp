#include "label/join.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "label/records.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::label {
namespace {

TimePoint at(int seconds) { return TimePoint(std::chrono::seconds(1'800'000'000 + seconds)); }
Id id_of(int number) {
  Id id;
  id.bytes[15] = static_cast<std::uint8_t>(number);
  return id;
}
Prediction predicted(int number, int seconds, std::string key = "") {
  return {id_of(number), std::move(key), at(seconds), "m", 1};
}
Label about(int prediction, std::string value, int seconds) {
  Label label{.model = "m", .prediction = id_of(prediction), .time = at(seconds)};
  if (!value.empty()) label.value = std::move(value);
  return label;
}
Label for_key(std::string key, std::string value, int seconds) {
  return {.model = "m", .key = std::move(key), .time = at(seconds), .value = std::move(value)};
}
std::string truth_of(const Joined& joined, std::size_t row) {
  const std::string* truth = joined.rows[row].truth();
  return truth == nullptr ? "" : *truth;
}

TEST(Join, ByPredictionId) {
  const std::vector<Prediction> predictions{predicted(1, 0), predicted(2, 10)};
  const std::vector<Label> labels{about(2, "Yes", 20), about(9, "No", 20)};
  const Joined joined = join(predictions, labels, {.now = at(30)});
  ASSERT_EQ(joined.rows.size(), 2u);
  EXPECT_EQ(joined.rows[0].state, State::waiting);
  EXPECT_EQ(joined.rows[1].state, State::labelled);
  EXPECT_EQ(truth_of(joined, 1), "Yes");
  ASSERT_EQ(joined.unmatched.size(), 1u);
  EXPECT_EQ(joined.unmatched[0].prediction, id_of(9));
}

TEST(Join, ByKeyTakesTheLastPredictionBeforeTheLabel) {
  const std::vector<Prediction> predictions{predicted(1, 0, "a"), predicted(2, 10, "a"), predicted(3, 20, "a"),
                                            predicted(4, 5, "b")};
  struct Case {
    const char* key;
    int seconds;
    int prediction;  // 0: none
  };
  for (const Case& c : {Case{"a", 15, 2},
                        {"a", 10, 2},
                        {"a", 9, 1},
                        {"a", -1, 0},
                        {"a", 100, 3},
                        {"a", 121, 0},
                        {"a", 120, 3},
                        {"b", 6, 4},
                        {"c", 15, 0}}) {
    const std::vector<Label> labels{for_key(c.key, "Yes", c.seconds)};
    const Joined joined = join(predictions, labels, {.mature = std::chrono::seconds(100), .now = at(15)});
    int met = 0;
    for (const JoinedRow& row : joined.rows) {
      if (row.truth() != nullptr) met = predictions[row.prediction].id.bytes[15];
    }
    EXPECT_EQ(met, c.prediction) << c.key << " at " << c.seconds;
    EXPECT_EQ(joined.unmatched.size(), c.prediction == 0 ? 1u : 0u);
  }
}

TEST(Join, OfTwoPredictionsAtOneMomentTheHigherId) {
  const std::vector<Prediction> predictions{predicted(2, 0, "a"), predicted(1, 0, "a")};
  const Joined joined = join(predictions, std::vector{for_key("a", "Yes", 1)}, {});
  EXPECT_EQ(truth_of(joined, 0), "");
  EXPECT_EQ(truth_of(joined, 1), "Yes");
  EXPECT_EQ(joined.rows[1].prediction, 0u);
}

TEST(Join, TheLaterTimeWinsAndTheEarlierIsHistory) {
  const std::vector<Prediction> predictions{predicted(1, 0)};
  const std::vector<Label> labels{about(1, "b", 30), about(1, "c", 20), about(1, "a", 10)};
  const Joined joined = join(predictions, labels, {});
  EXPECT_EQ(truth_of(joined, 0), "b");
  ASSERT_EQ(joined.rows[0].history.size(), 2u);
  EXPECT_EQ(joined.rows[0].history[0].value, "a");
  EXPECT_EQ(joined.rows[0].history[1].value, "c");
}

TEST(Join, AtOneTimeTheAnswerIsTheSameInAnyOrder) {
  const std::vector<Prediction> predictions{predicted(1, 0)};
  const std::vector<Label> one{about(1, "a", 10), about(1, "b", 10)}, other{one[1], one[0]};
  EXPECT_EQ(truth_of(join(predictions, one, {}), 0), truth_of(join(predictions, other, {}), 0));
}

TEST(Join, WithoutTimesArrivalDecides) {
  const std::vector<Prediction> predictions{predicted(1, 0)};
  Label first = about(1, "a", 10), second = about(1, "b", 11);  // stamped when they came
  first.time_given = second.time_given = false;
  EXPECT_EQ(truth_of(join(predictions, std::vector{second, first}, {}), 0), "b");
  // A copy of the first that came later says nothing new.
  Label copy = first;
  copy.time = at(12);
  EXPECT_EQ(truth_of(join(predictions, std::vector{copy, second, first}, {}), 0), "b");
}

TEST(Join, UntrustedOriginsAreHistoryOnly) {
  const std::vector<Prediction> predictions{predicted(1, 0)};
  Label guess = about(1, "guess", 20);
  guess.origin = Origin::model;
  const std::vector<Label> labels{about(1, "truth", 10), guess};
  const Joined careful = join(predictions, labels, {});
  EXPECT_EQ(truth_of(careful, 0), "truth");
  ASSERT_EQ(careful.rows[0].history.size(), 1u);
  EXPECT_EQ(careful.rows[0].history[0].value, "guess");
  EXPECT_EQ(truth_of(join(predictions, labels, {.trust = {Origin::model}}), 0), "guess");
  EXPECT_EQ(join(predictions, std::vector{guess}, {}).rows[0].state, State::waiting);
  EXPECT_EQ(truth_of(join(predictions, labels, {.trust = {Origin::human}}), 0), "");
}

TEST(Join, ALabelWithoutValueTakesBack) {
  const std::vector<Prediction> predictions{predicted(1, 0)};
  const std::vector<Label> labels{about(1, "Yes", 10), about(1, "", 20)};
  const Joined joined = join(predictions, labels, {.now = at(30)});
  EXPECT_EQ(joined.rows[0].state, State::waiting);
  EXPECT_EQ(joined.rows[0].truth(), nullptr);
  EXPECT_EQ(joined.rows[0].history.size(), 1u);
}

TEST(Join, WaitingUntilMature) {
  const std::vector<Prediction> predictions{predicted(1, 0)};
  const auto state = [&](std::optional<Duration> mature, int now) {
    return join(predictions, {}, {.mature = mature, .now = at(now)}).rows[0].state;
  };
  EXPECT_EQ(state(std::chrono::seconds(60), 60), State::waiting);
  EXPECT_EQ(state(std::chrono::seconds(60), 61), State::expired);
  EXPECT_EQ(state(std::nullopt, 1'000'000), State::waiting);
}

// ---- for all inputs ----

// Everything of the joined table that must not depend on how the labels came.
std::string fingerprint(const Joined& joined, std::span<const Prediction> predictions) {
  std::string text;
  const auto put = [&](const Label& label) { text += " " + digest_of(label).hex().substr(0, 12); };
  for (const JoinedRow& row : joined.rows) {
    text += "\n" + predictions[row.prediction].id.text() + " " + std::to_string(static_cast<int>(row.state));
    if (row.label) put(*row.label);
    text += " |";
    for (const Label& label : row.history) put(label);
  }
  text += "\n?";
  for (const Label& label : joined.unmatched) put(label);
  return text;
}

// Time and key follow from the number: one id is one prediction.
rc::Gen<Prediction> any_prediction() {
  return rc::gen::map(rc::gen::inRange(1, 12), [](int number) {
    const std::string key = number % 4 == 0 ? "" : std::string(1, static_cast<char>('a' + number % 3));
    return predicted(number, number * 3 % 20, key);
  });
}

rc::Gen<Label> any_label() {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::inRange(0, 14), rc::gen::inRange(0, 25), rc::gen::inRange(0, 4), rc::gen::inRange(0, 3)),
      [](const std::tuple<int, int, int, int>& t) {
        const auto [target, seconds, value, origin] = t;
        Label label = target > 2 ? about(target, "", seconds)
                                 : for_key(std::string(1, static_cast<char>('a' + target)), "", seconds);
        label.value = value == 0 ? std::nullopt : std::optional(std::string(1, static_cast<char>('u' + value)));
        label.origin = static_cast<Origin>(origin);
        return label;
      });
}

// Predictions of one id are one prediction.
std::vector<Prediction> some_predictions() {
  auto predictions = *rc::gen::container<std::vector<Prediction>>(any_prediction());
  std::ranges::sort(predictions, {}, &Prediction::id);
  predictions.erase(std::unique(predictions.begin(), predictions.end(), [](auto& a, auto& b) { return a.id == b.id; }),
                    predictions.end());
  return predictions;
}

std::vector<Label> shuffled_with_copies(const std::vector<Label>& labels) {
  std::vector<Label> out = labels;
  for (const Label& label : labels) {
    for (int copies = *rc::gen::inRange(0, 3); copies > 0; --copies) out.push_back(label);
  }
  for (std::size_t i = out.size(); i > 1; --i) std::swap(out[i - 1], out[*rc::gen::inRange<std::size_t>(0, i)]);
  return out;
}

TEST(JoinProperty, PermutationsAndCopiesChangeNothing) {
  EXPECT_TRUE(rc::check("join(labels) == join(shuffled labels with copies)", [] {
    const auto predictions = some_predictions();
    const auto labels = *rc::gen::container<std::vector<Label>>(any_label());
    const JoinOptions options{.mature = std::chrono::seconds(8), .now = at(15)};
    auto other = predictions;
    std::reverse(other.begin(), other.end());
    const auto mixed = shuffled_with_copies(labels);
    RC_ASSERT(fingerprint(join(predictions, labels, options), predictions) ==
              fingerprint(join(other, mixed, options), other));
  }));
}

// The same through the store: other orders, copies and splits into batches, sent to two servers.
TEST(JoinProperty, BatchesThroughTheStoreChangeNothing) {
  EXPECT_TRUE(rc::check("stored and joined, however sent", [] {
    const auto predictions = some_predictions();
    const auto labels = *rc::gen::container<std::vector<Label>>(any_label());
    const JoinOptions options{.mature = std::chrono::seconds(8), .now = at(15)};
    std::string seen[2];
    std::int64_t counted[2] = {};
    for (int server = 0; server < 2; ++server) {
      meta::TempStore store(migrations());
      const auto sent = server == 0 ? labels : shuffled_with_copies(labels);
      for (std::size_t from = 0; from < sent.size();) {
        const auto size = std::min<std::size_t>(sent.size() - from, *rc::gen::inRange<std::size_t>(1, 6));
        const auto done = store->write([&](meta::Tx& tx) {
          return add(tx, store.env().faults, "m", std::span(sent).subspan(from, size), store.clock.now());
        });
        RC_ASSERT(done.has_value());
        from += size;
      }
      const auto stored = store->read([](meta::Reader& reader) { return labels_after(reader, "m", 0, 1000); });
      RC_ASSERT(stored.has_value());
      counted[server] = static_cast<std::int64_t>(stored->size());
      seen[server] = fingerprint(join(predictions, *stored, options), predictions);
    }
    RC_ASSERT(counted[0] == counted[1]);
    RC_ASSERT(seen[0] == seen[1]);
  }));
}

// A slow and obvious join, prediction by prediction.
TEST(JoinProperty, AgreesWithTheNaiveJoin) {
  EXPECT_TRUE(rc::check("join == for each prediction, look at each label", [] {
    const auto predictions = some_predictions();
    const auto labels = *rc::gen::container<std::vector<Label>>(any_label());
    const Duration mature = std::chrono::seconds(8);
    const Joined joined = join(predictions, labels, {.mature = mature, .now = at(15)});
    RC_ASSERT(joined.rows.size() == predictions.size());
    for (const JoinedRow& row : joined.rows) {
      const Prediction& p = predictions[row.prediction];
      const Label* best = nullptr;
      for (const Label& label : labels) {
        if (label.origin == Origin::model) continue;
        bool mine = label.prediction == p.id;
        if (label.key && *label.key == p.key && p.time <= label.time && label.time - p.time <= mature) {
          mine = std::ranges::none_of(predictions, [&](const Prediction& q) {
            return q.key == p.key && q.time <= label.time && std::tie(q.time, q.id) > std::tie(p.time, p.id);
          });
        }
        if (!mine) continue;
        if (best == nullptr || label.time > best->time ||
            (label.time == best->time && digest_of(label) > digest_of(*best))) {
          best = &label;
        }
      }
      RC_ASSERT((best == nullptr) == !row.label.has_value());
      if (best != nullptr) RC_ASSERT(digest_of(*best) == digest_of(*row.label));
    }
  }));
}

}  // namespace
}  // namespace millrace::label
