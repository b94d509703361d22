// What every queue promises, as tests. A backend's test file writes a harness and instantiates the suite:
//   class NatsHarness {
//    public:
//     Queue& queue();           // the same one each time, until reopen()
//     void reopen();            // as after a restart of the process
//     void pass(Duration time);
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Nats, QueuePromises, NatsHarness);
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "queue/queue.hpp"

namespace millrace::queue {

template <class Harness>
class QueuePromises : public ::testing::Test {
 protected:
  Queue& queue() { return harness_.queue(); }

  std::uint64_t publish(std::string_view subject, std::string_view payload, std::uint64_t dedup_id = 0) {
    auto seq = queue().publish(subject, payload, dedup_id);
    EXPECT_TRUE(seq) << seq.error().message;
    return seq.value_or(0);
  }
  void add(std::string_view name, ConsumerOptions options = {}) {
    auto added = queue().add_consumer(name, options);
    EXPECT_TRUE(added) << added.error().message;
  }
  std::vector<Message> fetch(std::string_view consumer, std::size_t max = 1000) {
    auto messages = queue().fetch(consumer, max);
    EXPECT_TRUE(messages) << messages.error().message;
    return messages ? *messages : std::vector<Message>{};
  }
  void ack(std::string_view consumer, std::uint64_t seq) {
    auto acked = queue().ack(consumer, seq);
    EXPECT_TRUE(acked) << acked.error().message;
  }
  std::vector<std::string> payloads(std::string_view consumer, std::size_t max = 1000) {
    std::vector<std::string> out;
    for (const Message& m : fetch(consumer, max)) out.push_back(m.payload);
    return out;
  }
  using Texts = std::vector<std::string>;

  Harness harness_;
};

TYPED_TEST_SUITE_P(QueuePromises);

TYPED_TEST_P(QueuePromises, EventsComeInOrderWithEverythingThatWasPublished) {
  this->add("c");
  const std::string binary("\0\xff\n\x89MRQUEU", 10);
  EXPECT_EQ(this->publish("model.churn.promoted", "one"), 1u);
  EXPECT_EQ(this->publish("data", ""), 2u);
  EXPECT_EQ(this->publish("data", binary), 3u);
  const auto messages = this->fetch("c");
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].subject, "model.churn.promoted");
  EXPECT_EQ(messages[0].payload, "one");
  EXPECT_EQ(messages[1].payload, "");
  EXPECT_EQ(messages[2].payload, binary);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(messages[i].seq, i + 1);
  EXPECT_LE(messages[0].time, messages[2].time);
}

TYPED_TEST_P(QueuePromises, WhatIsNotAcknowledgedComesAgain) {
  using Texts = std::vector<std::string>;
  this->add("c");
  for (const char* text : {"a", "b", "c"}) this->publish("s", text);
  EXPECT_EQ(this->payloads("c"), (Texts{"a", "b", "c"}));
  EXPECT_EQ(this->payloads("c"), (Texts{"a", "b", "c"}));
  this->ack("c", 1);
  EXPECT_EQ(this->payloads("c"), (Texts{"b", "c"}));
  EXPECT_EQ(this->payloads("c", 1), (Texts{"b"}));
  this->ack("c", 3);
  EXPECT_EQ(this->payloads("c"), Texts{});
  this->ack("c", 2);  // going back does nothing
  EXPECT_EQ(this->payloads("c"), Texts{});
  this->publish("s", "d");
  EXPECT_EQ(this->payloads("c"), Texts{"d"});
}

TYPED_TEST_P(QueuePromises, EachConsumerHasItsOwnPosition) {
  using Texts = std::vector<std::string>;
  this->add("fast");
  this->add("slow");
  for (const char* text : {"a", "b", "c"}) this->publish("s", text);
  this->ack("fast", 3);
  EXPECT_EQ(this->payloads("fast"), Texts{});
  EXPECT_EQ(this->payloads("slow"), (Texts{"a", "b", "c"}));
  this->ack("slow", 1);
  this->harness_.reopen();  // positions are durable
  EXPECT_EQ(this->payloads("fast"), Texts{});
  EXPECT_EQ(this->payloads("slow"), (Texts{"b", "c"}));
  const auto infos = this->queue().consumers();
  ASSERT_EQ(infos.size(), 2u);
  EXPECT_EQ(infos[0].name, "fast");
  EXPECT_EQ(infos[0].lag, 0u);
  EXPECT_EQ(infos[1].name, "slow");
  EXPECT_EQ(infos[1].lag, 2u);
}

TYPED_TEST_P(QueuePromises, FiltersAreASubjectAPrefixOrEverything) {
  using Texts = std::vector<std::string>;
  this->add("exact", {.filter = "model.churn"});
  this->add("below", {.filter = "model.>"});
  this->add("all", {.filter = ">"});
  for (const char* subject : {"model.churn", "model", "models.x", "model.churn.promoted", "data"}) {
    this->publish(subject, subject);
  }
  EXPECT_EQ(this->payloads("exact"), Texts{"model.churn"});
  EXPECT_EQ(this->payloads("below"), (Texts{"model.churn", "model.churn.promoted"}));
  EXPECT_EQ(this->payloads("all").size(), 5u);
  // max counts what the filter lets through.
  EXPECT_EQ(this->payloads("below", 1), Texts{"model.churn"});
  this->ack("below", 1);
  EXPECT_EQ(this->payloads("below", 1), Texts{"model.churn.promoted"});
}

TYPED_TEST_P(QueuePromises, LateJoinersStartWithTheFirstKeptOrWithNow) {
  using Texts = std::vector<std::string>;
  this->publish("s", "before");
  this->add("late", {.start = Start::first});
  this->add("now", {.start = Start::now});
  this->publish("s", "after");
  EXPECT_EQ(this->payloads("late"), (Texts{"before", "after"}));
  EXPECT_EQ(this->payloads("now"), Texts{"after"});
  this->harness_.reopen();
  EXPECT_EQ(this->payloads("now"), Texts{"after"});
  // Adding it again changes nothing.
  this->add("now", {.start = Start::first});
  EXPECT_EQ(this->payloads("now"), Texts{"after"});
  EXPECT_EQ(this->queue().add_consumer("now", {.filter = "other"}).error().reason, "queue.consumer_differs");
  EXPECT_TRUE(this->queue().remove_consumer("now"));
  EXPECT_TRUE(this->queue().remove_consumer("now"));
  EXPECT_EQ(this->queue().fetch("now", 1).error().reason, "queue.no_consumer");
}

TYPED_TEST_P(QueuePromises, RepeatingADedupIdPublishesOnce) {
  using Texts = std::vector<std::string>;
  this->add("c");
  EXPECT_EQ(this->publish("s", "a", 10), 1u);
  EXPECT_EQ(this->publish("s", "a", 10), 0u);
  EXPECT_EQ(this->publish("s", "old", 9), 0u);
  EXPECT_EQ(this->publish("s", "no id"), 2u);
  this->harness_.reopen();  // remembered durably
  EXPECT_EQ(this->publish("s", "a", 10), 0u);
  EXPECT_EQ(this->queue().stats().dedup_id, 10u);
  // A relay that repeats part of a batch.
  const std::vector<Event> events = {{"s", "a", 10}, {"s", "b", 11}, {"s", "b", 11}, {"s", "c", 12}};
  EXPECT_EQ(this->queue().publish_batch(events).value(), (std::vector<std::uint64_t>{0, 3, 0, 4}));
  EXPECT_EQ(this->payloads("c"), (Texts{"a", "no id", "b", "c"}));
}

TYPED_TEST_P(QueuePromises, EverythingSurvivesAReopen) {
  this->add("c");
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 20; ++i) this->publish("s", std::to_string(round * 20 + i));
    this->harness_.reopen();
    EXPECT_EQ(this->queue().stats().last_seq, (round + 1) * 20u);
  }
  const auto messages = this->fetch("c");
  ASSERT_EQ(messages.size(), 100u);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(messages[i].payload, std::to_string(i));
}

TYPED_TEST_P(QueuePromises, SubscribersAreToldToLookAgain) {
  std::atomic<int> told = 0;
  {
    auto subscription = this->queue().subscribe([&] { ++told; });
    this->publish("s", "a");
    EXPECT_EQ(told, 1);
    auto moved = std::move(subscription);
    this->publish("s", "b");
    EXPECT_EQ(told, 2);
  }
  this->publish("s", "c");
  EXPECT_EQ(told, 2);
}

TYPED_TEST_P(QueuePromises, AToldSubscriberFindsTheEvent) {
  this->add("c");
  std::atomic<std::size_t> found = 0;
  auto subscription = this->queue().subscribe([&] { found = this->queue().fetch("c", 10).value().size(); });
  this->publish("s", "a");
  EXPECT_EQ(found, 1u);
}

TYPED_TEST_P(QueuePromises, BadInputIsRefused) {
  for (const std::string& subject :
       {std::string(), std::string("a..b"), std::string(".a"), std::string("a."), std::string("a b"),
        std::string("a.>"), std::string("*"), std::string("\xc3\xa4"), std::string(257, 'a')}) {
    auto refused = this->queue().publish(subject, "x");
    ASSERT_FALSE(refused) << subject;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_EQ(refused.error().reason, "queue.bad_subject");
  }
  EXPECT_EQ(this->queue().publish("s", std::string((1u << 20) + 1, 'x')).error().reason, "queue.too_large");
  EXPECT_TRUE(this->queue().publish("s", std::string(1u << 20, 'x')));
  // One bad event refuses its batch.
  const std::vector<Event> events = {{"good", "x"}, {"not good", "x"}};
  EXPECT_FALSE(this->queue().publish_batch(events));
  EXPECT_EQ(this->queue().stats().last_seq, 1u);
  EXPECT_TRUE(this->queue().publish_batch({}).value().empty());

  for (const std::string name : {"", "a b", "a.b", "../x"}) {
    EXPECT_EQ(this->queue().add_consumer(name).error().reason, "queue.bad_name") << name;
  }
  for (const std::string filter : {"", ".>", "a.>.b", "a>", "*", "a.*"}) {
    EXPECT_EQ(this->queue().add_consumer("c", {.filter = filter}).error().reason, "queue.bad_filter") << filter;
  }
  this->add("c");
  EXPECT_EQ(this->queue().ack("c", 2).error().reason, "queue.bad_seq");
  EXPECT_EQ(this->queue().ack("d", 1).error().reason, "queue.no_consumer");
  EXPECT_TRUE(this->fetch("c", 0).empty());
}

TYPED_TEST_P(QueuePromises, ManyPublishersAndConsumersAgree) {
  constexpr int publishers = 4, each = 250;
  for (const char* name : {"c0", "c1", "c2"}) this->add(name);
  std::atomic<int> failed = 0;
  std::vector<std::vector<std::string>> seen(3);
  {
    std::vector<std::jthread> threads;
    for (int p = 0; p < publishers; ++p) {
      threads.emplace_back([&, p] {
        for (int i = 0; i < each; ++i) {
          if (!this->queue().publish("p" + std::to_string(p), std::to_string(i))) ++failed;
        }
      });
    }
    for (std::size_t c = 0; c < 3; ++c) {
      threads.emplace_back([&, c] {
        const std::string name = "c" + std::to_string(c);
        while (seen[c].size() < publishers * each) {
          auto messages = this->queue().fetch(name, 7 + c);
          if (!messages) {
            ++failed;
            return;
          }
          for (const Message& m : *messages) seen[c].push_back(m.subject + ":" + m.payload);
          if (messages->empty()) {
            std::this_thread::yield();
          } else if (!this->queue().ack(name, messages->back().seq)) {
            ++failed;
          }
        }
      });
    }
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(seen[0], seen[1]);  // one order for all
  EXPECT_EQ(seen[0], seen[2]);
  std::map<std::string, int> next;  // and each subject's is the publisher's
  for (const std::string& text : seen[0]) {
    const auto colon = text.find(':');
    EXPECT_EQ(text.substr(colon + 1), std::to_string(next[text.substr(0, colon)]++));
  }
  EXPECT_EQ(seen[0].size(), static_cast<std::size_t>(publishers * each));
}

REGISTER_TYPED_TEST_SUITE_P(QueuePromises, EventsComeInOrderWithEverythingThatWasPublished,
                            WhatIsNotAcknowledgedComesAgain, EachConsumerHasItsOwnPosition,
                            FiltersAreASubjectAPrefixOrEverything, LateJoinersStartWithTheFirstKeptOrWithNow,
                            RepeatingADedupIdPublishesOnce, EverythingSurvivesAReopen, SubscribersAreToldToLookAgain,
                            AToldSubscriberFindsTheEvent, BadInputIsRefused, ManyPublishersAndConsumersAgree);

}  // namespace millrace::queue
