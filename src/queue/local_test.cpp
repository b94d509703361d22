// What only the local log promises: its bytes, damage, retention and bounds.
#include "queue/local.hpp"

#include <gtest/gtest.h>

#include "base/testing/env.hpp"
#include "queue/local_internal.hpp"

namespace millrace::queue {
namespace {

LocalConfig config(TestEnv& t) { return {.dir = t.path("queue")}; }
std::unique_ptr<Queue> open(TestEnv& t) { return open_local(t.env, config(t)).value(); }
std::string segment(TestEnv& t, std::uint64_t first_seq) {
  std::string digits = std::to_string(first_seq);
  return t.path("queue/" + std::string(20 - digits.size(), '0') + digits + ".log");
}
std::vector<std::string> payloads(Queue& queue, std::string_view consumer) {
  std::vector<std::string> out;
  auto messages = queue.fetch(consumer, 1000);
  EXPECT_TRUE(messages) << messages.error().message;
  if (messages) {
    for (const Message& m : *messages) out.push_back(m.payload);
  }
  return out;
}
std::vector<std::string> numbers(int from, int to) {
  std::vector<std::string> out;
  for (int i = from; i <= to; ++i) out.push_back("event " + std::to_string(i));
  return out;
}
void publish(Queue& queue, int from, int to) {
  for (const std::string& text : numbers(from, to)) ASSERT_TRUE(queue.publish("s", text));
}

TEST(QueueRules, Matching) {
  struct Case {
    const char *filter, *subject;
    bool yes;
  };
  for (const Case& c : {Case{">", "a", true}, Case{">", "a.b", true}, Case{"a", "a", true}, Case{"a", "a.b", false},
                        Case{"a", "ab", false}, Case{"a.>", "a.b", true}, Case{"a.>", "a.b.c", true},
                        Case{"a.>", "a", false}, Case{"a.>", "ab.c", false}, Case{"a.b.>", "a.c.b", false}}) {
    EXPECT_EQ(matches(c.filter, c.subject), c.yes) << c.filter << " " << c.subject;
  }
}

TEST(QueueRules, Retention) {
  const TimePoint now = SimClock().now();
  auto hours = [](int n) { return std::chrono::hours(n); };
  const std::vector<SegmentAge> segments = {
      {100, now - hours(30)}, {100, now - hours(20)}, {50, now - hours(1)}, {10, now}};
  struct Case {
    std::uint64_t bytes;
    int age_hours;
    std::size_t dropped;
  };
  for (const Case& c : {Case{1000, 48, 0}, Case{260, 48, 0}, Case{259, 48, 1}, Case{160, 48, 1}, Case{159, 48, 2},
                        Case{60, 48, 2}, Case{59, 48, 3}, Case{0, 48, 3}, Case{1000, 30, 0}, Case{1000, 29, 1},
                        Case{1000, 10, 2}, Case{1000, 0, 3}, Case{160, 10, 2}}) {
    EXPECT_EQ(segments_to_drop(segments, c.bytes, hours(c.age_hours), now), c.dropped) << c.bytes << " " << c.age_hours;
  }
  EXPECT_EQ(segments_to_drop(std::span(segments).first(1), 0, hours(0), now), 0u);  // the last one stays
}

TEST(QueueFormat, HeadersComeBackAndNoticeEveryFlippedBit) {
  const SegmentHeader header{
      .salt = 77, .first_seq = 5, .previous_end = 1000, .dedup_id = 9, .created = SimClock().now()};
  const auto bytes = encode(header);
  EXPECT_EQ(decode_segment_header(bytes), header);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_FALSE(decode_segment_header(flipped)) << bit;
  }
  EXPECT_FALSE(decode_segment_header(std::span(bytes).first(63)));
}

// docs/formats/queue.md shows these bytes.
TEST(QueueFormat, AFrameIsTheDocumentedOne) {
  Chunk chunk{.first_seq = 0x0102};
  append_record(chunk, {"ab", "xyz", 7}, TimePoint(Duration(0x0304)));
  const std::string frame = encode_frame(chunk, 64, 0);
  const std::string expected("\xf7MRF\x1d\0\0\0\2\1\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\1\0\0\0", 28);
  EXPECT_EQ(frame.substr(0, 28), expected);
  EXPECT_EQ(frame.substr(40), std::string("\2\0\0\0\3\0\0\0\4\3\0\0\0\0\0\0\7\0\0\0\0\0\0\0abxyz", 29));
}

// A crash while the end was being written, cut or overwritten with zeros at any byte.
TEST(LocalQueueDamage, ATornEndIsCutAndNothingElse) {
  for (const bool zeros : {false, true}) {
    std::uint64_t whole = 0;
    for (std::uint64_t cut = segment_header_bytes;; ++cut) {
      SCOPED_TRACE(cut);
      TestEnv t(TestEnv::Disk::sim);
      std::vector<std::uint64_t> ends = {segment_header_bytes};  // of each event
      std::string bytes;
      {
        auto queue = open(t);
        for (int i = 1; i <= 3; ++i) {
          publish(*queue, i, i);
          ends.push_back(t.env.fs.info(segment(t, 1))->size);
        }
        ASSERT_TRUE(queue->add_consumer("c"));
      }
      bytes = read_file(t.env.fs, segment(t, 1)).value();
      whole = bytes.size();
      // What was acknowledged can't be torn: the last write is the one from ends[2] on.
      if (cut < ends[2]) cut = ends[2];
      if (cut > whole) break;
      ASSERT_TRUE(
          write_file(t.env.fs, segment(t, 1), bytes.substr(0, cut) + std::string(zeros ? whole - cut : 0, '\0')));
      auto queue = open(t);
      const int left = cut == whole ? 3 : 2;
      EXPECT_EQ(queue->stats().last_seq, static_cast<std::uint64_t>(left));
      EXPECT_EQ(payloads(*queue, "c"), numbers(1, left));
      publish(*queue, left + 1, 5);
      EXPECT_EQ(payloads(*queue, "c"), numbers(1, 5));
      queue.reset();
      queue = open(t);
      EXPECT_EQ(payloads(*queue, "c"), numbers(1, 5));
      EXPECT_EQ(queue->stats().last_seq, 5u);
    }
    EXPECT_GT(whole, 0u);
  }
}

TEST(LocalQueueDamage, AFlippedBitAmongAcknowledgedEventsIsReportedAndNothingIsCut) {
  TestEnv probe(TestEnv::Disk::sim);
  auto first = open(probe);
  publish(*first, 1, 1);
  const auto frame = probe.env.fs.info(segment(probe, 1))->size - segment_header_bytes;
  for (std::uint64_t at = 0; at < frame; ++at) {
    SCOPED_TRACE(at);
    TestEnv t(TestEnv::Disk::sim);
    {
      auto queue = open(t);
      ASSERT_TRUE(queue->add_consumer("c"));
      publish(*queue, 1, 5);
    }
    std::string bytes = read_file(t.env.fs, segment(t, 1)).value();
    const auto offset = segment_header_bytes + frame + at;  // in the second event
    bytes[offset] = static_cast<char>(bytes[offset] ^ 4);
    ASSERT_TRUE(write_file(t.env.fs, segment(t, 1), bytes));

    auto queue = open(t);
    EXPECT_EQ(queue->stats().last_seq, 5u);
    EXPECT_EQ(payloads(*queue, "c"), numbers(1, 1));  // what comes before the damage
    ASSERT_TRUE(queue->ack("c", 1));
    for (int repeat = 0; repeat < 2; ++repeat) {
      auto refused = queue->fetch("c", 10);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, Code::data_loss);
      EXPECT_EQ(refused.error().reason, "queue.corrupt");
      EXPECT_NE(refused.error().message.find(segment(t, 1)), std::string::npos);
      EXPECT_NE(refused.error().message.find("offset " + std::to_string(segment_header_bytes + frame)),
                std::string::npos);
    }
    publish(*queue, 6, 6);  // publishing goes on
    queue.reset();
    queue = open(t);
    EXPECT_EQ(queue->fetch("c", 10).error().reason, "queue.corrupt");
    ASSERT_TRUE(queue->ack("c", 2));  // go on without it, as the message says
    EXPECT_EQ(payloads(*queue, "c"), numbers(3, 6));
    queue.reset();
    queue = open(t);
    EXPECT_EQ(payloads(*queue, "c"), numbers(3, 6));
  }
}

TEST(LocalQueueDamage, AClosedSegmentThatWasCutIsReported) {
  TestEnv t(TestEnv::Disk::sim);
  auto small = config(t);
  small.segment_bytes = 300;  // three events each
  {
    auto queue = open_local(t.env, small).value();
    ASSERT_TRUE(queue->add_consumer("c"));
    publish(*queue, 1, 6);
  }
  const std::string bytes = read_file(t.env.fs, segment(t, 1)).value();
  ASSERT_TRUE(write_file(t.env.fs, segment(t, 1), bytes.substr(0, bytes.size() - 1)));
  auto queue = open_local(t.env, small).value();
  EXPECT_EQ(queue->stats().last_seq, 6u);
  const auto before = payloads(*queue, "c");
  ASSERT_FALSE(before.empty());
  const auto last = before.size();
  ASSERT_TRUE(queue->ack("c", last));
  EXPECT_EQ(queue->fetch("c", 10).error().reason, "queue.corrupt");
  ASSERT_TRUE(queue->ack("c", last + 1));
  EXPECT_EQ(payloads(*queue, "c"), numbers(static_cast<int>(last) + 2, 6));
}

TEST(LocalQueueDamage, AHeaderOrPositionsThatAreDamagedAreNamed) {
  TestEnv t(TestEnv::Disk::sim);
  {
    auto queue = open(t);
    ASSERT_TRUE(queue->add_consumer("c"));
    publish(*queue, 1, 2);
  }
  const std::string bytes = read_file(t.env.fs, segment(t, 1)).value();
  std::string flipped = bytes;
  flipped[20] ^= 1;
  for (const std::string& damaged : {flipped, bytes.substr(0, 30), std::string()}) {
    ASSERT_TRUE(write_file(t.env.fs, segment(t, 1), damaged));
    auto refused = open_local(t.env, config(t));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::data_loss);
    EXPECT_EQ(refused.error().reason, "queue.corrupt");
    EXPECT_NE(refused.error().message.find(segment(t, 1)), std::string::npos);
  }
  ASSERT_TRUE(write_file(t.env.fs, segment(t, 1), bytes));
  for (const char* text : {"", "{", "{\"format\":1,\"consumers\":[{\"nam\":\"c\"}]}"}) {
    ASSERT_TRUE(write_file(t.env.fs, t.path("queue/consumers.json"), text));
    EXPECT_EQ(open_local(t.env, config(t)).error().reason, "queue.corrupt") << text;
  }
  ASSERT_TRUE(write_file(t.env.fs, t.path("queue/consumers.json"), "{\"format\":2,\"consumers\":[]}"));
  EXPECT_EQ(open_local(t.env, config(t)).error().reason, "queue.format");
}

TEST(LocalQueueDamage, RemovedSegmentsDoNotMakeNewEventsLookOld) {
  TestEnv t(TestEnv::Disk::sim);
  {
    auto queue = open(t);
    ASSERT_TRUE(queue->add_consumer("c"));
    publish(*queue, 1, 5);
    ASSERT_TRUE(queue->ack("c", 5));
  }
  ASSERT_TRUE(t.env.fs.remove(segment(t, 1)));  // as the message about a damaged header allows
  auto queue = open(t);
  EXPECT_EQ(queue->publish("s", "event 6").value(), 6u);
  EXPECT_EQ(payloads(*queue, "c"), numbers(6, 6));
  queue.reset();
  queue = open(t);
  EXPECT_EQ(payloads(*queue, "c"), numbers(6, 6));
}

TEST(LocalQueueDamage, APayloadThatLooksLikeFramesIsJustAPayload) {
  TestEnv t(TestEnv::Disk::sim);
  std::string inner;
  {
    auto queue = open(t);
    ASSERT_TRUE(queue->add_consumer("c"));
    publish(*queue, 1, 3);
    inner = read_file(t.env.fs, segment(t, 1)).value();
    ASSERT_TRUE(queue->publish("s", inner));
    inner = read_file(t.env.fs, segment(t, 1)).value();
    ASSERT_TRUE(queue->publish("s", inner));
  }
  const std::string bytes = read_file(t.env.fs, segment(t, 1)).value();
  ASSERT_TRUE(write_file(t.env.fs, segment(t, 1), bytes.substr(0, bytes.size() - 1)));
  auto queue = open(t);
  EXPECT_EQ(queue->stats().last_seq, 4u);
  EXPECT_EQ(payloads(*queue, "c").size(), 4u);
}

// Bytes changed anywhere: what is delivered was published like this, and nothing crashes.
TEST(LocalQueueDamage, NoWrongEventIsEverDelivered) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    TestEnv t(TestEnv::Disk::sim, seed);
    auto small = config(t);
    small.segment_bytes = 500;
    {
      auto queue = open_local(t.env, small).value();
      ASSERT_TRUE(queue->add_consumer("c"));
      publish(*queue, 1, 30);
    }
    const auto files = t.env.fs.list(t.path("queue")).value();
    for (std::uint64_t n = 1 + t.rng.below(4); n > 0; --n) {
      const FileInfo& file = files[t.rng.below(files.size())];
      if (!file.name.ends_with(".log") || file.size == 0) continue;
      std::string bytes = read_file(t.env.fs, t.path("queue/" + file.name)).value();
      // A header is damaged seldom: it ends the story early.
      const auto at = t.rng.below(20) == 0 ? t.rng.below(bytes.size())
                                           : std::min<std::uint64_t>(segment_header_bytes, bytes.size() - 1) +
                                                 t.rng.below(bytes.size() - segment_header_bytes);
      for (auto i = at; i < std::min<std::uint64_t>(bytes.size(), at + 1 + t.rng.below(8)); ++i) {
        bytes[i] = static_cast<char>(t.rng.next());
      }
      ASSERT_TRUE(write_file(t.env.fs, t.path("queue/" + file.name), bytes));
    }
    auto queue = open_local(t.env, small);
    if (!queue) {
      EXPECT_EQ(queue.error().reason, "queue.corrupt");
      continue;
    }
    std::uint64_t position = 0;
    while (position < (*queue)->stats().last_seq) {
      auto messages = (*queue)->fetch("c", 5);
      if (!messages) {
        EXPECT_EQ(messages.error().reason, "queue.corrupt");
        ++position;
      } else {
        ASSERT_FALSE(messages->empty());
        for (const Message& m : *messages) {
          ASSERT_GT(m.seq, position);
          ASSERT_EQ(m.payload, "event " + std::to_string(m.seq));
          position = m.seq;
        }
      }
      ASSERT_TRUE((*queue)->ack("c", position));
    }
  }
}

TEST(LocalQueueBounds, RetentionBySizeAndAge) {
  TestEnv t(TestEnv::Disk::sim);
  auto small = config(t);
  small.segment_bytes = 1000;
  small.retain_bytes = 5000;
  small.retain_age = std::chrono::hours(24);
  auto queue = open_local(t.env, small).value();
  ASSERT_TRUE(queue->add_consumer("slow"));
  ASSERT_TRUE(queue->add_consumer("other", {.filter = "nothing"}));
  for (int i = 1; i <= 500; ++i) {
    publish(*queue, i, i);
    EXPECT_LE(queue->stats().bytes, small.retain_bytes + small.segment_bytes);
  }
  Stats stats = queue->stats();
  EXPECT_GT(stats.first_seq, 300u);
  EXPECT_EQ(stats.last_seq, 500u);
  // The one who was overtaken goes on with the oldest event kept, and it is counted.
  EXPECT_EQ(queue->fetch("slow", 1).value().front().seq, stats.first_seq);
  EXPECT_EQ(queue->consumers()[1].missed, stats.first_seq - 1);
  ASSERT_TRUE(queue->add_consumer("late"));
  EXPECT_EQ(queue->fetch("late", 1).value().front().seq, stats.first_seq);
  EXPECT_EQ(queue->consumers()[0].missed, 0u);

  t.clock.advance(std::chrono::hours(25));
  EXPECT_GT(queue->trim().value(), 0u);
  EXPECT_GT(queue->stats().first_seq, 480u);
  publish(*queue, 501, 520);
  queue.reset();
  queue = open_local(t.env, small).value();
  EXPECT_EQ(queue->stats().last_seq, 520u);
  EXPECT_EQ(queue->fetch("late", 1000).value().back().payload, "event 520");
}

TEST(LocalQueueBounds, APowerCutWhileTrimmingLeavesNoHole) {
  int trimmed_in_part = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    TestEnv t(TestEnv::Disk::sim, seed);
    auto small = config(t);
    small.segment_bytes = 300;
    auto queue = open_local(t.env, small).value();
    ASSERT_TRUE(queue->add_consumer("slow"));
    publish(*queue, 1, 60);
    queue.reset();
    small.retain_bytes = 600;
    queue = open_local(t.env, small).value();
    t.sim_fs().die_at(seed % 20);
    (void)queue->trim();
    t.sim_fs().die_at(0);
    queue.reset();
    t.sim_fs().crash(t.rng);

    small.retain_bytes = config(t).retain_bytes;
    queue = open_local(t.env, small).value();
    const auto first = queue->stats().first_seq;
    trimmed_in_part += first > 1;
    EXPECT_EQ(payloads(*queue, "slow"), numbers(static_cast<int>(first), 60)) << "seed " << seed;
  }
  EXPECT_GT(trimmed_in_part, 10);
}

TEST(LocalQueueBounds, DedupOutlivesTheSegmentThatHeldIt) {
  TestEnv t(TestEnv::Disk::sim);
  auto small = config(t);
  small.segment_bytes = 300;
  small.retain_bytes = 600;
  {
    auto queue = open_local(t.env, small).value();
    ASSERT_TRUE(queue->publish("s", "relayed", 7));
    publish(*queue, 1, 50);
    EXPECT_GT(queue->stats().first_seq, 10u);
  }
  auto queue = open_local(t.env, small).value();
  EXPECT_EQ(queue->publish("s", "relayed", 7).value(), 0u);
  EXPECT_NE(queue->publish("s", "relayed", 8).value(), 0u);
}

TEST(LocalQueueBounds, BatchesAndFetchesAreBounded) {
  TestEnv t(TestEnv::Disk::sim);
  auto small = config(t);
  small.pending_bytes_max = 10'000;
  small.payload_bytes_max = 6'000;
  small.fetch_bytes_max = 10'000;
  small.consumers_max = 2;
  auto queue = open_local(t.env, small).value();
  ASSERT_TRUE(queue->add_consumer("c"));
  const std::vector<Event> events(2, Event{"s", std::string(5'000, 'x')});
  EXPECT_EQ(queue->publish_batch(events).error().reason, "queue.too_large");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(queue->publish("s", events[0].payload));
  EXPECT_EQ(queue->fetch("c", 100)->size(), 1u);  // 5,001 bytes each
  EXPECT_EQ(queue->publish("s", std::string(6'001, 'x')).error().reason, "queue.too_large");
  EXPECT_TRUE(queue->add_consumer("d"));
  EXPECT_EQ(queue->add_consumer("e").error().reason, "queue.too_many_consumers");
  EXPECT_EQ(open_local(t.env, {.dir = t.path("x"), .payload_bytes_max = 1u << 30}).error().reason, "queue.bad_config");
}

TEST(LocalQueue, OneProcessAtATime) {
  TestEnv t;
  auto queue = open(t);
  auto second = open_local(t.env, config(t));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::failed_precondition);
  EXPECT_EQ(second.error().reason, "queue.locked");
  queue.reset();
  EXPECT_TRUE(open_local(t.env, config(t)));
}

TEST(LocalQueue, ABigBatchGoesThroughManyFramesAndSegments) {
  TestEnv t(TestEnv::Disk::sim);
  auto small = config(t);
  small.segment_bytes = 1u << 20;
  auto queue = open_local(t.env, small).value();
  ASSERT_TRUE(queue->add_consumer("c"));
  std::vector<Event> events;
  for (int i = 0; i < 20'000; ++i) events.push_back({"s", std::to_string(i) + std::string(150, 'x')});
  const auto seqs = queue->publish_batch(events).value();
  EXPECT_EQ(seqs.front(), 1u);
  EXPECT_EQ(seqs.back(), 20'000u);
  EXPECT_GT(t.env.fs.list(t.path("queue"))->size(), 4u);
  std::uint64_t seen = 0;
  for (;;) {
    auto messages = queue->fetch("c", 777).value();
    if (messages.empty()) break;
    for (const Message& m : messages) {
      ASSERT_EQ(m.seq, ++seen);
      ASSERT_EQ(m.payload, events[seen - 1].payload);
    }
    ASSERT_TRUE(queue->ack("c", seen));
  }
  EXPECT_EQ(seen, 20'000u);
}

TEST(LocalQueue, APositionMovesPastWhatAFilterDoesNotLetThrough) {
  TestEnv t(TestEnv::Disk::sim);
  {
    auto queue = open(t);
    ASSERT_TRUE(queue->add_consumer("c", {.filter = "rare"}));
    publish(*queue, 1, 100);
    EXPECT_TRUE(queue->fetch("c", 10)->empty());
  }
  auto queue = open(t);
  EXPECT_EQ(queue->consumers()[0].position, 100u);
  ASSERT_TRUE(queue->publish("rare", "now"));
  EXPECT_EQ(payloads(*queue, "c"), std::vector<std::string>{"now"});
}

}  // namespace
}  // namespace millrace::queue
