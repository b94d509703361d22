// What only the local folder promises: its header, quarantine, and what survives crashes and other processes.
#include "blob/local.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/testing/env.hpp"
#include "blob/header_internal.hpp"
#include "blob/seal_internal.hpp"

namespace millrace::blob {
namespace {

constexpr Duration day = std::chrono::hours(24);

std::string pattern(std::size_t size, std::uint32_t x = 7) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return out;
}

std::unique_ptr<Store> open(TestEnv& t, KeyRing* keys = nullptr) {
  return open_local(t.env, {.dir = t.path("blobs"), .keys = keys}).value();
}

std::string object_path(TestEnv& t, const Digest& digest) {
  return t.path("blobs/objects/" + digest.hex().substr(0, 2) + "/" + digest.hex());
}

void overwrite(TestEnv& t, const std::string& path, std::string_view bytes) {
  t.clock.advance(std::chrono::seconds(1));  // a later change has a later time
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
}

std::vector<std::string> names_in(TestEnv& t, std::string_view folder) {
  std::vector<std::string> out;
  const auto files = t.env.fs.list(t.path("blobs/" + std::string(folder))).value();
  for (const FileInfo& file : files) out.push_back(file.name);
  return out;
}

TEST(BlobHeader, ComesBackAndNoticesEveryFlippedBit) {
  Header header{.key = Id{{1, 2, 3}}, .plain_size = 0x0102030405060708};
  const HeaderBytes bytes = encode(header);
  EXPECT_EQ(decode(bytes).value(), header);
  for (std::size_t bit = 0; bit < 8 * header_bytes; ++bit) {
    HeaderBytes flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    auto read = decode(flipped);
    ASSERT_FALSE(read) << bit;
    EXPECT_EQ(read.error().reason, "blob.corrupt");
  }
  for (std::size_t size = 0; size < header_bytes; ++size) EXPECT_FALSE(decode(std::span(bytes).first(size)));
}

// docs/formats/blob.md promises these very bytes.
TEST(BlobHeader, IsTheDocumentedOne) {
  const HeaderBytes bytes = encode({.plain_size = 3});
  const std::string expected("\x89MRBLOB\n\1\0\0\0\0\0\0\0", 16);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes.data()), 16), expected);
  for (std::size_t i = 16; i < 60; ++i) {
    EXPECT_EQ(bytes[i], std::byte{static_cast<unsigned char>(i == 32 ? 3 : 0)}) << i;
  }
}

struct Damage {
  const char* name;
  std::function<std::string(std::string)> act;
};

TEST(LocalBlobs, EveryKindOfDamageIsQuarantinedWithANote) {
  auto flip = [](std::size_t at) {
    return [at](std::string bytes) {
      bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
      return bytes;
    };
  };
  std::vector<Damage> kinds = {
      {"first body byte", flip(header_bytes)},
      {"last byte", [](std::string b) { return b.back() = static_cast<char>(b.back() ^ 1), b; }},
      {"cut in half", [](std::string b) { return b.substr(0, b.size() / 2); }},
      {"cut by one", [](std::string b) { return b.substr(0, b.size() - 1); }},
      {"cut inside the header", [](std::string b) { return b.substr(0, 20); }},
      {"empty", [](std::string) { return std::string(); }},
      {"one byte more", [](std::string b) { return b + "x"; }},
      {"zeros", [](std::string b) { return std::string(b.size(), '\0'); }},
      {"another blob's bytes", [](std::string b) {
         const auto header = encode({.plain_size = 5});
         return std::string(reinterpret_cast<const char*>(header.data()), header.size()) + "other" + b.substr(0, 0);
       }}};
  for (std::size_t at = 0; at < header_bytes; ++at) kinds.push_back({"header byte", flip(at)});

  for (const std::size_t size : {std::size_t{100}, piece_bytes_max + 100}) {
    const std::string content = pattern(size);
    const Digest digest = sha256(content);
    for (const Damage& kind : kinds) {
      SCOPED_TRACE(kind.name);
      if (size > 1000 && std::string_view(kind.name) == "header byte") continue;
      TestEnv t(TestEnv::Disk::sim);
      auto store = open(t);
      ASSERT_TRUE(store->put(content));
      const std::string path = object_path(t, digest);
      const std::string damaged = kind.act(read_file(t.env.fs, path).value());
      overwrite(t, path, damaged);
      auto file = store->open(digest);
      ASSERT_FALSE(file);
      EXPECT_EQ(file.error().code, Code::data_loss);
      EXPECT_EQ(file.error().reason, "blob.corrupt");
      EXPECT_NE(file.error().message.find(path), std::string::npos);
      EXPECT_EQ(names_in(t, "quarantine"), (std::vector{digest.hex(), digest.hex() + ".txt"}));
      EXPECT_EQ(read_file(t.env.fs, t.path("blobs/quarantine/" + digest.hex())).value(), damaged);  // nothing is lost
      EXPECT_EQ(store->open(digest).error().reason, "blob.not_found");
      ASSERT_TRUE(store->put(content));
      EXPECT_TRUE(store->read(digest, size).value() == content);
    }
  }
}

TEST(LocalBlobs, TheQuarantineIsEmptiedInTime) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  const Digest digest = sha256("damaged");
  ASSERT_TRUE(store->put("damaged"));
  t.clock.advance(std::chrono::days(100));  // an old blob, found to be damaged only now
  overwrite(t, object_path(t, digest), "no more");
  EXPECT_FALSE(store->open(digest));
  const auto collect = [&](bool dry_run) {
    return store->collect_garbage([](const Digest&) { return true; }, std::chrono::hours(24), dry_run)->quarantined;
  };
  EXPECT_EQ(collect(false), 0u);
  t.clock.advance(std::chrono::days(29));
  EXPECT_EQ(collect(false), 0u);
  t.clock.advance(std::chrono::days(2));
  EXPECT_EQ(collect(true), 1u);
  EXPECT_EQ(names_in(t, "quarantine").size(), 2u) << "a dry run changes nothing";
  EXPECT_EQ(collect(false), 1u);
  EXPECT_TRUE(names_in(t, "quarantine").empty());
}

TEST(LocalBlobs, TheQuarantineIsEmptiedAlsoAfterADeathHalfWay) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  ASSERT_TRUE(store->put("damaged"));
  overwrite(t, object_path(t, sha256("damaged")), "no more");
  EXPECT_FALSE(store->open(sha256("damaged")));
  t.clock.advance(std::chrono::days(31));
  const auto collect = [&] {
    return store->collect_garbage([](const Digest&) { return true; }, std::chrono::hours(24), false);
  };
  ASSERT_TRUE(t.faults.arm("blob.gc.after_quarantined=error"));
  EXPECT_FALSE(collect());
  ASSERT_TRUE(t.faults.arm(""));
  EXPECT_EQ(names_in(t, "quarantine").size(), 1u) << "the note, without what it is about";
  EXPECT_TRUE(collect());
  EXPECT_TRUE(names_in(t, "quarantine").empty());
}

TEST(LocalBlobs, APinThatWasSetAsideComesBackAfterADeath) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  const auto digest = store->put("old, and named anew")->digest;
  ASSERT_TRUE(store->pin(digest));
  t.clock.advance(std::chrono::hours(30));
  const auto collect = [&] {
    return store->collect_garbage([](const Digest&) { return false; }, std::chrono::hours(24), false);
  };
  // Renewed by another process after the collection looked at its age, which then dies with the pin aside.
  ASSERT_TRUE(store->pin(digest));
  ASSERT_TRUE(t.env.fs.rename(t.path("blobs/pins/") + digest.hex(), t.path("blobs/trash/") + digest.hex() + ".pin"));
  store = open(t);
  ASSERT_TRUE(collect());
  EXPECT_TRUE(store->stat(digest)) << "its grace began anew";
}

TEST(LocalBlobs, QuarantineKeepsEveryDamagedCopy) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  const Digest digest = sha256("again and again");
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(store->put("again and again"));
    overwrite(t, object_path(t, digest), "copy " + std::to_string(i));
    EXPECT_FALSE(store->open(digest));
  }
  EXPECT_EQ(names_in(t, "quarantine").size(), 6u);
}

class FakeKeys final : public KeyRing {
 public:
  Result<KeyState> state(const Id&) override { return answer; }
  Result<AeadKey> key(const Id&) override { return AeadKey{}; }
  std::optional<SealingKey> fresh() override { return std::nullopt; }
  Result<void> keep(const SealingKey&) override { return ok(); }
  Result<void> forget(const std::set<Id>&) override { return ok(); }
  KeyState answer = KeyState::absent;
};

TEST(LocalBlobs, SealedAndNewerBlobsAreRefusedAndLeftAlone) {
  TestEnv t(TestEnv::Disk::sim);
  FakeKeys keys;
  auto store = open(t, &keys);
  auto plain = open(t);
  const Digest digest = store->put("secret")->digest;
  auto write = [&](const Header& header) {
    const auto bytes = encode(header);
    overwrite(t, object_path(t, digest),
              std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) + "secret");
  };
  const Header sealed{.codec = codec_sealed, .key = Id{{1}}, .plain_size = 6};
  {
    Sealer sealer{AeadKey{}};
    std::vector<std::byte> body;
    sealer.seal(as_bytes("secret"), true, body);
    sealer.end(digest, body);
    const auto bytes = encode(sealed);
    auto text = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    overwrite(t, object_path(t, digest), text.append(reinterpret_cast<const char*>(body.data()), body.size()));
  }
  for (const KeyState state : {KeyState::absent, KeyState::destroyed, KeyState::locked, KeyState::foreign}) {
    keys.answer = state;
    EXPECT_EQ(store->open(digest).error().code, Code::failed_precondition);
    EXPECT_EQ(store->read(digest, 100).error().reason, "blob.sealed");
  }
  EXPECT_EQ(plain->read(digest, 100).error().reason, "blob.sealed");
  keys.answer = KeyState::held;
  EXPECT_EQ(store->read(digest, 100).value(), "secret");
  write({.key = Id{{1}}, .plain_size = 6});
  EXPECT_EQ(store->read(digest, 100).error().reason, "blob.format") << "a key, and nothing that is sealed";
  write({.format = 2, .plain_size = 6});
  EXPECT_EQ(store->read(digest, 100).error().reason, "blob.format");
  write({.codec = 9, .plain_size = 6});
  EXPECT_EQ(store->read(digest, 100).error().reason, "blob.format");
  EXPECT_TRUE(names_in(t, "quarantine").empty());
  write({.plain_size = 6});
  EXPECT_EQ(store->read(digest, 100).value(), "secret");
}

TEST(LocalBlobs, OpenVerifiesOncePerFile) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  const std::string content = pattern(8 * piece_bytes_max);
  const Digest digest = store->put(content)->digest;
  auto operations = [&](auto&& act) {
    const auto before = t.sim_fs().operations();
    act();
    return t.sim_fs().operations() - before;
  };
  EXPECT_GE(operations([&] { EXPECT_TRUE(store->open(digest)); }), 8u);
  EXPECT_LE(operations([&] { EXPECT_TRUE(store->open(digest)); }), 4u);
  EXPECT_LE(operations([&] { EXPECT_TRUE(store->local_file(digest)); }), 4u);
  EXPECT_GE(operations([&] { EXPECT_TRUE(store->verify(digest)); }), 8u);
  EXPECT_LE(operations([&] { EXPECT_TRUE(store->stat(digest)); }), 4u);
  EXPECT_GE(operations([&] { EXPECT_TRUE(open(t)->open(digest)); }), 8u);  // another process
  // A changed file is not the one that was verified.
  std::string bytes = read_file(t.env.fs, object_path(t, digest)).value();
  bytes[bytes.size() / 2] ^= 1;
  overwrite(t, object_path(t, digest), bytes);
  EXPECT_EQ(store->open(digest).error().reason, "blob.corrupt");
}

TEST(LocalBlobs, ContentThatIsStoredIsNotWrittenAgain) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  for (const std::size_t size : {std::size_t{100}, 2 * piece_bytes_max}) {
    const std::string content = pattern(size);
    const Digest digest = store->put(content)->digest;
    const TimePoint first = t.env.fs.info(object_path(t, digest))->modified;
    t.clock.advance(day);
    ASSERT_TRUE(store->put(content));
    EXPECT_EQ(t.env.fs.info(object_path(t, digest))->modified, first);
    EXPECT_TRUE(names_in(t, "tmp").empty());
  }
}

TEST(LocalBlobs, ALocalFileCanBeSentFromItsOffset) {
  TestEnv t;
  auto store = open(t);
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, 2 * piece_bytes_max + 5}) {
    const std::string content = pattern(size);
    const auto file = store->local_file(store->put(content)->digest).value();
    ASSERT_TRUE(file);
    std::ifstream in(file->path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(file->size, size);
    EXPECT_EQ(bytes.size(), file->offset + file->size);
    EXPECT_TRUE(bytes.substr(file->offset) == content);
  }
}

TEST(LocalBlobs, StreamingKeepsMemoryFlat) {
  auto resident = [] {
    std::ifstream in("/proc/self/statm");
    std::size_t total = 0, pages = 0;
    in >> total >> pages;
    return pages * 4096;
  };
  TestEnv t;
  auto store = open(t);
  const std::string piece = pattern(piece_bytes_max);
  const std::size_t before = resident();
  std::size_t most = 0;
  auto writer = store->create().value();
  for (int i = 0; i < 64; ++i) {
    ASSERT_TRUE(writer->append(piece));
    most = std::max(most, resident());
  }
  const BlobInfo info = writer->commit().value();
  EXPECT_EQ(info.size, 64 * piece_bytes_max);
  most = std::max(most, resident());
  auto file = store->open(info.digest).value();
  most = std::max(most, resident());
  EXPECT_LT(most - before, 8u << 20);
}

TEST(LocalBlobs, AnUploadInProgressIsNoGarbage) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  auto slow = store->create().value();
  ASSERT_TRUE(slow->append(pattern(2 * piece_bytes_max)));
  {
    auto abandoned = store->create().value();
    ASSERT_TRUE(abandoned->append(pattern(2 * piece_bytes_max, 8)));
    t.clock.advance(2 * day);
    auto nothing = [](const Digest&) { return false; };
    EXPECT_EQ(store->collect_garbage(nothing, day, false)->uploads, 0u);
    // For another process they are just files, protected by their age.
    ASSERT_TRUE(slow->append(pattern(2 * piece_bytes_max)));
    EXPECT_EQ(open(t)->collect_garbage(nothing, day, true)->uploads, 1u);
  }
  EXPECT_EQ(names_in(t, "tmp").size(), 1u);
  EXPECT_TRUE(slow->commit());
  EXPECT_TRUE(names_in(t, "tmp").empty());
}

// The collection asks `reachable` twice: before a blob is set aside, and while it is. Both are places for another
// process to act.
class WhileCollecting : public ::testing::Test {
 protected:
  // What `act` answers is the result of the other process; the blob must be there afterwards if it says yes.
  void run(int when_asked, const std::function<bool(Store& other, const BlobInfo&)>& act) {
    auto ours = open(t_), other = open(t_);
    const BlobInfo blob = ours->put("old").value();
    t_.clock.advance(2 * day);
    int asked = 0;
    bool yes = false;
    auto report = ours->collect_garbage(
        [&](const Digest&) {
          if (++asked == when_asked) yes = act(*other, blob);
          return false;
        },
        day, false);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_GE(asked, when_asked);
    EXPECT_EQ(ours->read(blob.digest, 100).has_value(), yes);
    EXPECT_EQ(open(t_)->read(blob.digest, 100).has_value(), yes);
    EXPECT_TRUE(names_in(t_, "trash").empty());
    EXPECT_TRUE(names_in(t_, "quarantine").empty());
  }
  TestEnv t_{TestEnv::Disk::sim};
};

TEST_F(WhileCollecting, NothingHappens) {
  run(2, [](Store&, const BlobInfo&) { return false; });
}
TEST_F(WhileCollecting, AnotherProcessPinsBefore) {
  run(1, [](Store& other, const BlobInfo& blob) { return other.pin(blob.digest).has_value(); });
}
TEST_F(WhileCollecting, AnotherProcessPinsMeanwhile) {
  run(2, [](Store& other, const BlobInfo& blob) { return other.pin(blob.digest).has_value(); });
}
TEST_F(WhileCollecting, AnotherProcessWritesTheSameContentBefore) {
  run(1, [](Store& other, const BlobInfo&) { return other.put("old").has_value(); });
}
TEST_F(WhileCollecting, AnotherProcessWritesTheSameContentMeanwhile) {
  run(2, [](Store& other, const BlobInfo&) { return other.put("old").has_value(); });
}
TEST_F(WhileCollecting, AReaderStillFindsIt) {
  run(2, [](Store& other, const BlobInfo& blob) {
    EXPECT_EQ(other.read(blob.digest, 100).value_or(""), "old");
    return false;
  });
}
TEST_F(WhileCollecting, AnotherCollectionIsRefused) {
  run(2, [](Store& other, const BlobInfo&) {
    auto second = other.collect_garbage([](const Digest&) { return false; }, day, false);
    EXPECT_EQ(second.error().reason, "blob.gc_running");
    return false;
  });
}
TEST_F(WhileCollecting, AnotherProcessOpensTheStore) {
  run(2, [this](Store&, const BlobInfo&) {
    (void)open(t_);  // leaves the trash to the collection that runs
    return false;
  });
}

// A power cut may bring back in trash/ what a collection removed, after the same content was stored again.
TEST(LocalBlobs, AnOldCopyFromTheTrashDoesNotMakeANewOneOld) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  const BlobInfo blob = store->put("again").value();
  const std::string name = blob.digest.hex();
  t.clock.advance(2 * day);
  ASSERT_TRUE(
      t.env.fs.rename(t.path("blobs/objects/" + name.substr(0, 2) + "/" + name), t.path("blobs/trash/" + name)));
  ASSERT_TRUE(store->put("again"));
  store = open(t);
  EXPECT_TRUE(names_in(t, "trash").empty());
  t.clock.advance(day / 2);
  ASSERT_TRUE(store->collect_garbage([](const Digest&) { return false; }, day, false));
  EXPECT_EQ(store->read(blob.digest, 100).value_or(""), "again") << "its grace is not over";
}

// Every operation of the disk in turn is the last one before the power goes.
TEST(LocalBlobCrash, WhatWasCommittedIsThereAndTheRestIsNot) {
  const std::vector<std::string> contents = {"", "small", pattern(5000), pattern(piece_bytes_max + 5000), "small"};
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", dies at operation " + std::to_string(last));
      TestEnv t(TestEnv::Disk::sim, seed);
      std::set<Digest> committed;
      t.sim_fs().die_at(last);
      if (auto store = open_local(t.env, {.dir = t.path("blobs")})) {
        for (const std::string& content : contents) {
          if (auto info = (*store)->put(content)) committed.insert(info->digest);
        }
      }
      const bool finished = t.sim_fs().operations() < last;
      t.sim_fs().crash(t.rng);

      auto store = open(t);
      for (const Digest& digest : committed) {
        auto content = store->read(digest, 1u << 30);
        ASSERT_TRUE(content) << content.error().message;
      }
      for (const BlobInfo& info : store->list().value()) {
        auto verified = store->verify(info.digest);
        ASSERT_TRUE(verified) << verified.error().message;  // whole, even if nobody was told so
      }
      for (const std::string& content : contents) ASSERT_TRUE(store->put(content));
      t.clock.advance(2 * day);
      auto report = store->collect_garbage([&](const Digest& d) { return committed.contains(d); }, day, false);
      ASSERT_TRUE(report) << report.error().message;
      EXPECT_EQ(store->list()->size(), committed.size());
      EXPECT_TRUE(names_in(t, "tmp").empty());
      EXPECT_TRUE(names_in(t, "pins").empty());
      EXPECT_TRUE(names_in(t, "quarantine").empty());
      if (finished) break;
    }
  }
}

// Its writer dies between the new name and the sync of the folder, so a power cut may take the name; whoever finds the
// blob there and pins it is going to name it.
TEST(LocalBlobCrash, WhatWasPinnedIsThereWhoeverWroteIt) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    TestEnv t(TestEnv::Disk::sim, seed);
    ASSERT_TRUE(t.faults.arm("blob.write.after_rename=error"));
    ASSERT_FALSE(open(t)->put("half-way"));
    const Digest digest = sha256("half-way");
    ASSERT_TRUE(open(t)->pin(digest));
    t.sim_fs().crash(t.rng);
    EXPECT_EQ(open(t)->read(digest, 100).value_or("gone"), "half-way");
  }
}

TEST(LocalBlobCrash, ACollectionLosesNothingThatIsReferenced) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", dies at operation " + std::to_string(last));
      TestEnv t(TestEnv::Disk::sim, seed);
      Digest kept, raced, pinned, gone;
      {
        auto store = open(t);
        kept = store->put("kept")->digest;
        raced = store->put("raced")->digest;
        pinned = store->put("pinned")->digest;
        gone = store->put("gone")->digest;
        t.clock.advance(2 * day);
        ASSERT_TRUE(store->pin(pinned));
        ASSERT_TRUE(store->put("pinned"));
        std::multiset<Digest> asked;
        t.sim_fs().die_at(last);
        (void)store->collect_garbage(
            [&](const Digest& d) {
              asked.insert(d);
              return d == kept || (d == raced && asked.count(d) == 2);
            },
            day, false);
      }
      const bool finished = t.sim_fs().operations() < last;
      if (seed % 2 == 0) {
        t.sim_fs().crash(t.rng);
      } else {
        t.sim_fs().kill();
      }
      auto store = open(t);
      for (const Digest& digest : {kept, raced, pinned}) {
        auto read = store->read(digest, 100);
        ASSERT_TRUE(read) << read.error().message;
      }
      auto again = store->collect_garbage([&](const Digest& d) { return d == kept || d == raced; }, day, false);
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(store->list()->size(), 3u);
      if (finished) break;
    }
  }
}

// Every operation in turn fails once, as a bad cable does: an error is an error, never damage, and repeating helps.
TEST(LocalBlobCrash, AnInputOutputErrorIsNotDamage) {
  const std::vector<std::string> contents = {"small", pattern(piece_bytes_max + 5000), "small"};
  for (std::uint64_t bad = 0;; ++bad) {
    SCOPED_TRACE("operation " + std::to_string(bad));
    TestEnv t(TestEnv::Disk::sim);
    auto store = open(t);
    const auto before = t.sim_fs().operations();
    t.sim_fs().fail_at(bad);
    for (const std::string& content : contents) {
      auto info = store->put(content);
      if (!info) {
        EXPECT_EQ(info.error().code, Code::unavailable) << info.error().message;
        info = store->put(content);
      }
      ASSERT_TRUE(info) << info.error().message;
      auto read = store->read(info->digest, 1u << 30);
      if (!read) read = store->read(info->digest, 1u << 30);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_TRUE(*read == content);
    }
    const bool finished = t.sim_fs().operations() - before < bad;
    t.sim_fs().clear_faults();
    EXPECT_TRUE(names_in(t, "quarantine").empty());
    if (finished) break;
  }
}

// A second sync of a folder says yes, whatever the first one lost.
TEST(LocalBlobCrash, WhatAFailedFolderSyncLeftIsNotTakenForStored) {
  const std::string content = pattern(1000);
  for (std::uint64_t bad = 0;; ++bad) {
    ASSERT_LT(bad, 100u) << "no operation of put() fails after the rename";
    TestEnv t(TestEnv::Disk::sim);
    auto store = open(t);
    const auto path = object_path(t, sha256(content));
    t.sim_fs().fail_at(bad);
    const auto failed = store->put(content);
    t.sim_fs().clear_faults();
    if (failed || !exists(t.env.fs, path)) continue;  // another operation; here the name is there, perhaps not for long
    t.clock.advance(std::chrono::hours(1));
    ASSERT_TRUE(store->put(content));
    EXPECT_EQ(t.env.fs.info(path)->modified, t.clock.now()) << "written again";
    t.clock.advance(std::chrono::hours(1));
    ASSERT_TRUE(store->put(content));
    EXPECT_LT(t.env.fs.info(path)->modified, t.clock.now()) << "and then it is stored";
    return;
  }
}

TEST(LocalBlobCrash, AFullDiskIsSaidAndPasses) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  ASSERT_TRUE(store->put("before"));
  t.sim_fs().set_capacity(100'000);
  const std::string small = pattern(200'000), large = pattern(3 * piece_bytes_max);
  for (const std::string& content : {small, large}) {
    auto refused = store->put(content);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::resource_exhausted);
    EXPECT_EQ(refused.error().reason, "fs.disk_full");
  }
  EXPECT_EQ(store->list()->size(), 1u);
  EXPECT_TRUE(names_in(t, "tmp").empty());  // what failed takes no room
  t.sim_fs().clear_faults();
  EXPECT_TRUE(store->put(small));
  EXPECT_TRUE(store->put(large));
}

TEST(LocalBlobCrash, EveryFaultPointIsReached) {
  TestEnv t(TestEnv::Disk::sim);
  auto store = open(t);
  for (const std::string point : {"write.before_sync", "write.before_rename", "write.after_rename",
                                  "write.after_folder_sync", "gc.before_move", "gc.after_move", "gc.before_remove"}) {
    SCOPED_TRACE(point);
    ASSERT_TRUE(t.faults.arm("blob." + point + "=error"));
    auto put = store->put("content for " + point);
    t.clock.advance(2 * day);
    auto collected = store->collect_garbage([](const Digest&) { return false; }, day, false);
    EXPECT_NE(put.has_value(), point.starts_with("write"));
    EXPECT_NE(collected.has_value(), point.starts_with("gc"));
    ASSERT_TRUE(t.faults.arm(""));
    EXPECT_TRUE(open(t)->put("content for " + point));
  }
}

}  // namespace
}  // namespace millrace::blob
