// What every blob store promises, as tests. A backend's test file writes a harness and instantiates the suite:
//   class S3Harness {
//    public:
//     Store& store();                          // the same store each time, until reopen()
//     void reopen();                           // as after a restart of the process
//     void pass(Duration time);                // the store's clock goes on
//     void damage(const Digest& digest);       // changes a stored byte behind the store's back
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(S3, StorePromises, S3Harness);
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "blob/blob.hpp"

namespace millrace::blob {

template <class Harness>
class StorePromises : public ::testing::Test {
 protected:
  Store& store() { return harness_.store(); }

  BlobInfo put(std::string_view content) {
    auto info = store().put(content);
    EXPECT_TRUE(info) << info.error().message;
    return info ? *info : BlobInfo{};
  }
  std::string get(const Digest& digest) {
    auto content = store().read(digest, 1u << 30);
    EXPECT_TRUE(content) << content.error().message;
    return content ? *content : std::string("(error)");
  }
  std::string reason(const Digest& digest) {
    auto content = store().read(digest, 1u << 30);
    return content ? "" : content.error().reason;
  }
  GcReport collect(const std::set<Digest>& reachable, Duration grace, bool dry_run = false) {
    auto report = store().collect_garbage([&](const Digest& d) { return reachable.contains(d); }, grace, dry_run);
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : GcReport{};
  }
  // Different bytes everywhere, so that swapped or shifted pieces are noticed.
  static std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    std::uint32_t x = 12345;
    for (char& c : out) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    return out;
  }

  static constexpr Duration day = std::chrono::hours(24);
  Harness harness_;
};

TYPED_TEST_SUITE_P(StorePromises);

TYPED_TEST_P(StorePromises, TheAddressIsTheDigestOfTheContent) {
  const BlobInfo info = this->put("abc");
  EXPECT_EQ(info.digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(info.size, 3u);
  EXPECT_EQ(this->get(info.digest), "abc");
}

TYPED_TEST_P(StorePromises, AnySizeComesBackWhole) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65},
                                 piece_bytes_max - 1, piece_bytes_max, piece_bytes_max + 1, 3 * piece_bytes_max + 7}) {
    const std::string content = this->pattern(size);
    const BlobInfo info = this->put(content);
    EXPECT_EQ(info.size, size);
    EXPECT_TRUE(this->get(info.digest) == content) << size;
    EXPECT_EQ(this->store().stat(info.digest).value(), info);
    EXPECT_EQ(this->store().verify(info.digest).value(), info);
  }
}

TYPED_TEST_P(StorePromises, PiecesOfAnySizeMakeTheSameBlob) {
  const std::string content = this->pattern(2 * piece_bytes_max + 1000);
  const BlobInfo whole = this->put(content);
  for (const std::size_t step : {std::size_t{999}, piece_bytes_max - 1, 2 * piece_bytes_max}) {
    auto writer = this->store().create().value();
    for (std::size_t at = 0; at < content.size(); at += step) {
      ASSERT_TRUE(writer->append(std::string_view(content).substr(at, step)));
    }
    EXPECT_EQ(writer->commit().value(), whole);
  }
  EXPECT_EQ(this->store().list().value().size(), 1u);
}

TYPED_TEST_P(StorePromises, RandomAccessReadsThePlainBytes) {
  const std::string content = this->pattern(piece_bytes_max + 500);
  auto file = this->store().open(this->put(content).digest).value();
  EXPECT_EQ(file->size(), content.size());
  std::string out(100, '\0');
  auto bytes = std::as_writable_bytes(std::span(out));
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, piece_bytes_max - 50, piece_bytes_max + 400}) {
    EXPECT_EQ(file->read(at, bytes).value(), 100u);
    EXPECT_EQ(out, content.substr(at, 100)) << at;
  }
  EXPECT_EQ(file->read(content.size() - 10, bytes).value(), 10u);  // fewer only at the end
  EXPECT_EQ(file->read(content.size(), bytes).value(), 0u);
  EXPECT_EQ(file->read(content.size() + 1000, bytes).value(), 0u);
}

TYPED_TEST_P(StorePromises, AnOpenBlobOutlivesItsRemoval) {
  const BlobInfo info = this->put("still here");
  auto file = this->store().open(info.digest).value();
  ASSERT_TRUE(this->store().remove(info.digest));
  std::string out(10, '\0');
  EXPECT_EQ(file->read(0, std::as_writable_bytes(std::span(out))).value(), 10u);
  EXPECT_EQ(out, "still here");
  EXPECT_EQ(this->reason(info.digest), "blob.not_found");
}

TYPED_TEST_P(StorePromises, WhatIsNotThereIsSaidClearly) {
  const Digest digest = sha256("nobody wrote this");
  for (const Error& error : {this->store().open(digest).error(), this->store().read(digest, 10).error(),
                             this->store().verify(digest).error(), this->store().stat(digest).error(),
                             this->store().local_file(digest).error(), this->store().pin(digest).error()}) {
    EXPECT_EQ(error.code, Code::not_found);
    EXPECT_EQ(error.reason, "blob.not_found");
    EXPECT_NE(error.message.find(digest.hex()), std::string::npos);
  }
  EXPECT_TRUE(this->store().remove(digest));  // removing twice is removing once
}

TYPED_TEST_P(StorePromises, ReadHasABound) {
  const BlobInfo info = this->put("0123456789");
  EXPECT_EQ(this->store().read(info.digest, 10).value(), "0123456789");
  auto refused = this->store().read(info.digest, 9);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::resource_exhausted);
  EXPECT_EQ(refused.error().reason, "blob.too_large");
}

TYPED_TEST_P(StorePromises, NothingOfAnAbandonedUploadIsVisible) {
  {
    auto writer = this->store().create().value();
    ASSERT_TRUE(writer->append(this->pattern(3 * piece_bytes_max)));
  }
  EXPECT_TRUE(this->store().list().value().empty());
  EXPECT_EQ(this->reason(sha256(this->pattern(3 * piece_bytes_max))), "blob.not_found");
}

TYPED_TEST_P(StorePromises, AWriterCommitsOnce) {
  auto writer = this->store().create().value();
  ASSERT_TRUE(writer->append("once"));
  ASSERT_TRUE(writer->commit());
  EXPECT_EQ(writer->append("more").error().reason, "blob.writer_closed");
  EXPECT_EQ(writer->commit().error().reason, "blob.writer_closed");
  EXPECT_EQ(this->store().list().value().size(), 1u);
}

TYPED_TEST_P(StorePromises, AnExpectedDigestIsDemanded) {
  for (const std::size_t size : {std::size_t{5}, 2 * piece_bytes_max}) {
    const std::string content = this->pattern(size);
    auto writer = this->store().create().value();
    ASSERT_TRUE(writer->append(content));
    EXPECT_EQ(writer->commit_as(sha256("something else")).error().reason, "blob.digest_differs");
    EXPECT_EQ(this->reason(sha256(content)), "blob.not_found");
    auto right = this->store().create().value();
    ASSERT_TRUE(right->append(content));
    EXPECT_TRUE(right->commit_as(sha256(content)));
  }
}

TYPED_TEST_P(StorePromises, BlobsSurviveAReopen) {
  const BlobInfo small = this->put("small"), large = this->put(this->pattern(2 * piece_bytes_max));
  this->harness_.reopen();
  EXPECT_EQ(this->get(small.digest), "small");
  EXPECT_EQ(this->store().verify(large.digest).value(), large);
}

TYPED_TEST_P(StorePromises, ListIsInOrderAndComplete) {
  std::vector<BlobInfo> expected;
  for (int i = 0; i < 60; ++i) expected.push_back(this->put("blob " + std::to_string(i)));
  std::ranges::sort(expected, {}, &BlobInfo::digest);
  EXPECT_EQ(this->store().list().value(), expected);
  int seen = 0;  // a visitor may stop
  auto stopped = this->store().each([&](const BlobInfo&) -> Result<void> {
    if (++seen == 5) return fail(Code::cancelled, "test.enough", "enough");
    return ok();
  });
  EXPECT_EQ(stopped.error().reason, "test.enough");
  EXPECT_EQ(seen, 5);
}

TYPED_TEST_P(StorePromises, DamageIsReportedByEveryWayOfReading) {
  using Read = std::function<Result<void>(Store&, const Digest&)>;
  auto drop = [](auto&& result) -> Result<void> {
    if (!result) return fail(result.error());
    return ok();
  };
  const std::vector<Read> ways = {[&](Store& s, const Digest& d) { return drop(s.read(d, 1u << 30)); },
                                  [&](Store& s, const Digest& d) { return drop(s.open(d)); },
                                  [&](Store& s, const Digest& d) { return drop(s.verify(d)); },
                                  [&](Store& s, const Digest& d) { return drop(s.local_file(d)); }};
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const std::string content = "precious " + std::to_string(i);
    const BlobInfo info = this->put(content);
    this->harness_.damage(info.digest);
    auto read = ways[i](this->store(), info.digest);
    ASSERT_FALSE(read) << i;
    EXPECT_EQ(read.error().code, Code::data_loss);
    EXPECT_EQ(read.error().reason, "blob.corrupt");
    EXPECT_NE(read.error().message.find(info.digest.hex()), std::string::npos);
    // It is out of the way: not served, not listed, and the same content can be written again.
    EXPECT_EQ(this->reason(info.digest), "blob.not_found");
    EXPECT_EQ(this->put(content), info);
    EXPECT_EQ(this->get(info.digest), content);
  }
}

TYPED_TEST_P(StorePromises, WritingTheContentAgainHealsADamagedBlob) {
  const BlobInfo info = this->put("precious");
  this->harness_.damage(info.digest);
  EXPECT_EQ(this->put("precious"), info);
  EXPECT_EQ(this->get(info.digest), "precious");
}

TYPED_TEST_P(StorePromises, GarbageIsWhatIsOldAndUnreachable) {
  const BlobInfo kept = this->put("referenced"), gone = this->put("not referenced");
  this->harness_.pass(2 * this->day);
  const BlobInfo young = this->put("just written");

  GcReport dry = this->collect({kept.digest}, this->day, true);
  EXPECT_EQ(dry.removed, std::vector{gone});
  EXPECT_EQ(dry.bytes, gone.size);
  EXPECT_EQ(this->get(gone.digest), "not referenced");  // a dry run removes nothing

  GcReport report = this->collect({kept.digest}, this->day);
  EXPECT_EQ(report.removed, std::vector{gone});
  EXPECT_EQ(report.bytes, gone.size);
  EXPECT_EQ(report.kept_reachable, 1u);
  EXPECT_EQ(report.kept_young, 1u);
  EXPECT_EQ(this->reason(gone.digest), "blob.not_found");
  EXPECT_EQ(this->get(kept.digest), "referenced");
  EXPECT_EQ(this->get(young.digest), "just written");
  EXPECT_TRUE(this->collect({kept.digest}, this->day).removed.empty());
}

TYPED_TEST_P(StorePromises, PinningAndCommittingAgainRestartTheGrace) {
  const BlobInfo pinned = this->put("pinned"), again = this->put("again"), gone = this->put("gone");
  this->harness_.pass(2 * this->day);
  ASSERT_TRUE(this->store().pin(pinned.digest));
  EXPECT_EQ(this->put("again"), again);
  this->harness_.reopen();  // a pin is durable
  GcReport report = this->collect({}, this->day);
  EXPECT_EQ(report.removed, std::vector{gone});
  EXPECT_EQ(report.kept_pinned, 2u);
  this->harness_.pass(2 * this->day);
  EXPECT_EQ(this->collect({}, this->day).removed.size(), 2u);  // and it ends
}

TYPED_TEST_P(StorePromises, AReferenceMadeDuringACollectionIsSeen) {
  const BlobInfo raced = this->put("raced"), pinned = this->put("pinned in the race"), gone = this->put("gone");
  this->harness_.pass(2 * this->day);
  std::multiset<Digest> asked;
  auto report = this->store().collect_garbage(
      [&](const Digest& digest) {
        asked.insert(digest);
        // Given a reference that a set collected before does not know: pinned before it is named.
        if (digest == pinned.digest && asked.count(digest) == 1) {
          EXPECT_TRUE(this->store().pin(digest));
        }
        // Referenced between the first look and the second.
        return digest == raced.digest && asked.count(digest) == 2;
      },
      this->day, false);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->kept_by_race, 2u);
  EXPECT_EQ(this->get(raced.digest), "raced");
  EXPECT_EQ(this->get(pinned.digest), "pinned in the race");
  EXPECT_EQ(this->reason(gone.digest), "blob.not_found");
}

TYPED_TEST_P(StorePromises, OneCollectionAtATime) {
  this->put("x");
  this->harness_.pass(2 * this->day);
  std::string inner;
  auto report = this->store().collect_garbage(
      [&](const Digest&) {
        auto second = this->store().collect_garbage([](const Digest&) { return true; }, this->day, false);
        if (!second) inner = second.error().reason;
        return true;
      },
      this->day, false);
  EXPECT_TRUE(report);
  EXPECT_EQ(inner, "blob.gc_running");
}

TYPED_TEST_P(StorePromises, ManyThreadsWriteAndReadTheSame) {
  std::vector<std::string> contents;
  for (int i = 0; i < 8; ++i) contents.push_back("content " + std::to_string(i));
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 15; ++i) {
          const std::string& content = contents[static_cast<std::size_t>(i * (t + 1)) % contents.size()];
          auto info = this->store().put(content);
          if (!info || this->store().read(info->digest, 100).value_or("") != content) ++wrong;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(this->store().list().value().size(), contents.size());
}

REGISTER_TYPED_TEST_SUITE_P(StorePromises, TheAddressIsTheDigestOfTheContent, AnySizeComesBackWhole,
                            PiecesOfAnySizeMakeTheSameBlob, RandomAccessReadsThePlainBytes,
                            AnOpenBlobOutlivesItsRemoval, WhatIsNotThereIsSaidClearly, ReadHasABound,
                            NothingOfAnAbandonedUploadIsVisible, AWriterCommitsOnce, AnExpectedDigestIsDemanded,
                            BlobsSurviveAReopen, ListIsInOrderAndComplete, DamageIsReportedByEveryWayOfReading,
                            WritingTheContentAgainHealsADamagedBlob, GarbageIsWhatIsOldAndUnreachable,
                            PinningAndCommittingAgainRestartTheGrace, AReferenceMadeDuringACollectionIsSeen,
                            OneCollectionAtATime, ManyThreadsWriteAndReadTheSame);

}  // namespace millrace::blob
