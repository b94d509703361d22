// Sealed blobs in a local folder. What every store promises of them too is in suite_test.cpp; that something nobody
// here wrote opens them, in tests/scenario/test_sealed.py.
#include <gtest/gtest.h>

#include <set>

#include "base/testing/env.hpp"
#include "base/testing/reason.hpp"
#include "blob/header_internal.hpp"
#include "blob/key_table_internal.hpp"
#include "blob/local.hpp"
#include "blob/seal_internal.hpp"

namespace millrace::blob {
namespace {

std::string content_of(std::size_t size, std::uint32_t x = 7) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return out;
}

const std::vector<std::size_t> edges = {0,
                                        1,
                                        seal_piece_bytes - 1,
                                        seal_piece_bytes,
                                        seal_piece_bytes + 1,
                                        3 * seal_piece_bytes,
                                        piece_bytes_max,
                                        piece_bytes_max + 1,
                                        2 * piece_bytes_max + seal_piece_bytes};

class SealedBlobs : public testing::Test {
 protected:
  std::unique_ptr<Store> open(Keys* with) { return open_local(t.env, {.dir = t.path("blobs"), .keys = with}).value(); }
  Keys keys_with(std::optional<char> digit) {
    std::optional<MasterKey> master;
    if (digit) master = parse_master_key(std::string(64, *digit), "m").value();
    return Keys(t.env, {t.path("keys"), master});
  }
  std::string path_of(const Digest& digest) {
    return t.path("blobs/objects/" + digest.hex().substr(0, 2) + "/" + digest.hex());
  }
  std::string bytes_of(const Digest& digest) { return read_file(t.env.fs, path_of(digest), 1u << 30).value(); }
  void overwrite(const Digest& digest, const std::string& bytes) {
    t.clock.advance(std::chrono::seconds(1));
    ASSERT_TRUE(write_file(t.env.fs, path_of(digest), bytes));
  }
  Id key_of(const Digest& digest) { return store->stat_stored(digest)->key; }

  TestEnv t{TestEnv::Disk::sim};
  Keys keys = keys_with('a');
  std::unique_ptr<Store> store = open(&keys);
};

TEST_F(SealedBlobs, NothingOfItIsOnTheDiskInPlain) {
  const std::string planted = "PLANTED-5a1e8c77";
  for (const std::size_t size : {std::size_t{0}, 2 * piece_bytes_max}) {
    const auto content = content_of(size) + planted + content_of(size / 2, 9);
    const auto info = store->put(content).value();
    EXPECT_EQ(store->read(info.digest, content.size()).value(), content);
    EXPECT_FALSE(bytes_of(info.digest).contains(planted));
    EXPECT_EQ(bytes_of(info.digest).size(), header_bytes + sealed_bytes(content.size()));
    EXPECT_FALSE(store->local_file(info.digest).value()) << "there is no plain file to send";
    EXPECT_EQ(keys.state(key_of(info.digest)).value(), KeyState::held);
  }
}

TEST_F(SealedBlobs, SizesAreThoseOfThePlainBytes) {
  std::vector<BlobInfo> expected;
  for (const auto size : edges) expected.push_back(store->put(content_of(size)).value());
  std::ranges::sort(expected, {}, &BlobInfo::digest);
  EXPECT_EQ(store->list().value(), expected);
  for (const auto& info : expected) {
    EXPECT_EQ(store->stat(info.digest).value(), info);
    EXPECT_EQ(store->verify(info.digest).value(), info);
  }
  t.clock.advance(std::chrono::days(2));
  for (const bool dry : {true, false}) {
    const auto report = store->collect_garbage([](const Digest&) { return false; }, std::chrono::days(1), dry).value();
    EXPECT_EQ(report.removed, expected);
  }
}

TEST_F(SealedBlobs, ACollectionLetsGoOfTheKeysOfWhatItRemoves) {
  const auto gone = store->put("nobody needs this")->digest, kept = store->put("somebody needs this")->digest;
  const auto erased = store->put("about a person")->digest;
  const auto gone_key = key_of(gone), erased_key = key_of(erased);
  ASSERT_TRUE(keys.destroy(std::vector{erased_key}, "test"));
  t.clock.advance(std::chrono::days(2));
  const auto collect = [&](Store& by) {
    EXPECT_EQ(
        by.collect_garbage([&](const Digest& d) { return d == kept; }, std::chrono::days(1), false)->removed.size(),
        2u);
  };
  const auto of_a_server = open_local(t.env, {.dir = t.path("blobs"), .keys = &keys, .forget_keys = true}).value();
  collect(*of_a_server);
  EXPECT_EQ(keys.state(gone_key).value(), KeyState::absent);
  EXPECT_EQ(keys.state(erased_key).value(), KeyState::destroyed) << "an erasure is not forgotten";
  EXPECT_EQ(store->read(kept, 100).value(), "somebody needs this");
  ASSERT_TRUE(store->put("nobody needs this"));
  ASSERT_TRUE(store->put("about a person"));
  t.clock.advance(std::chrono::days(2));
  const auto key = key_of(gone);
  collect(*store);
  EXPECT_EQ(keys.state(key).value(), KeyState::held) << "unless it was asked to";
}

TEST_F(SealedBlobs, AnyOffsetCanBeRead) {
  for (const auto size : edges) {
    SCOPED_TRACE(size);
    const auto content = content_of(size);
    const auto file = store->open(store->put(content)->digest).value();
    ASSERT_EQ(file->size(), size);
    for (const std::size_t at :
         {std::size_t{0}, std::size_t{1}, seal_piece_bytes - 1, seal_piece_bytes, seal_piece_bytes + 1,
          2 * seal_piece_bytes - 10, size - std::min<std::size_t>(size, 1), size, size + 1}) {
      for (const std::size_t wanted :
           {std::size_t{0}, std::size_t{1}, std::size_t{100}, seal_piece_bytes, 3 * seal_piece_bytes + 5}) {
        std::string out(wanted, '?');
        const auto got = file->read(at, std::as_writable_bytes(std::span(out))).value();
        const auto there = at >= size ? 0 : std::min(wanted, size - at);
        ASSERT_EQ(got, there) << at << " " << wanted;
        ASSERT_TRUE(out.substr(0, got) == content.substr(std::min(at, size), got)) << at << " " << wanted;
      }
    }
  }
}

TEST_F(SealedBlobs, EveryFlippedByteIsQuarantinedWithAndWithoutTheKey) {
  auto nobody = keys_with(std::nullopt);
  const auto copying = open(&nobody);
  const auto content = content_of(300);
  const auto size = header_bytes + sealed_bytes(content.size());
  for (std::size_t at = 0; at < size; ++at) {
    SCOPED_TRACE(at);
    const auto digest = store->put(content)->digest;
    auto bytes = bytes_of(digest);
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    overwrite(digest, bytes);
    const auto reason = at % 2 == 0 ? reason_of(store->read(digest, 1000)) : reason_of(copying->verify_stored(digest));
    ASSERT_EQ(reason, "blob.corrupt");
    ASSERT_EQ(reason_of(store->open(digest)), "blob.not_found");
  }
}

TEST_F(SealedBlobs, PiecesCanBeNeitherCutNorMovedNorTakenFromElsewhere) {
  const auto content = content_of(3 * seal_piece_bytes + 10), other = content_of(3 * seal_piece_bytes + 10, 3);
  auto with_hash = [&](std::string head, const std::string& body) {
    const auto name = sha256(content);
    const auto digest = sha256(body + std::string(reinterpret_cast<const char*>(name.bytes.data()), name.bytes.size()));
    return head.append(body).append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  };
  for (const std::string what : {"cut", "swapped", "taken"}) {
    SCOPED_TRACE(what);
    const auto digest = store->put(content)->digest, theirs = store->put(other)->digest;
    const auto bytes = bytes_of(digest);
    auto head = bytes.substr(0, header_bytes);
    auto body = bytes.substr(header_bytes, bytes.size() - header_bytes - seal_end_bytes);
    if (what == "cut") {  // a whole piece less, and a header that says so
      body.resize(3 * sealed_piece_bytes);
      const auto shorter = encode({.codec = codec_sealed, .key = key_of(digest), .plain_size = 3 * seal_piece_bytes});
      head.assign(reinterpret_cast<const char*>(shorter.data()), shorter.size());
    } else if (what == "swapped") {
      std::swap_ranges(body.begin(), body.begin() + sealed_piece_bytes, body.begin() + sealed_piece_bytes);
    } else {
      body.replace(0, sealed_piece_bytes, bytes_of(theirs), header_bytes, sealed_piece_bytes);
    }
    overwrite(digest, with_hash(head, body));
    const auto read = store->read(digest, 1u << 30);
    EXPECT_EQ(reason_of(read), "blob.corrupt");
    EXPECT_TRUE(read.error().message.contains("can't be opened")) << read.error().message;
  }
}

TEST_F(SealedBlobs, ABlobUnderAnothersNameIsToldWithoutAKey) {
  const auto digest = store->put("some content")->digest, other = store->put("same length!")->digest;
  overwrite(digest, bytes_of(other));
  auto nobody = keys_with(std::nullopt);
  EXPECT_EQ(reason_of(open(&nobody)->verify_stored(digest)), "blob.corrupt");
}

TEST_F(SealedBlobs, WithoutTheRightMasterKeyItIsSaidAndLeftAlone) {
  const auto digest = store->put("some content")->digest;
  for (const std::optional<char> digit : {std::optional<char>(), std::optional('b')}) {
    auto others = keys_with(digit);
    const auto theirs = open(&others);
    EXPECT_EQ(reason_of(theirs->read(digest, 100)), "blob.sealed");
    EXPECT_EQ(reason_of(theirs->open(digest)), "blob.sealed");
    EXPECT_EQ(reason_of(theirs->verify(digest)), "blob.sealed");
    EXPECT_EQ(theirs->verify_stored(digest)->info.size, 12u);
    EXPECT_EQ(theirs->list()->front().size, 12u);
  }
  EXPECT_EQ(store->read(digest, 100).value(), "some content");
}

TEST_F(SealedBlobs, WhatIsStoredAlreadyStaysAsItIs) {
  const auto plain = open(nullptr)->put("stored in plain")->digest;
  ASSERT_TRUE(store->put("stored in plain"));
  EXPECT_EQ(key_of(plain), Id{});
  EXPECT_EQ(store->read(plain, 100).value(), "stored in plain");
  const auto sealed = store->put("stored sealed")->digest;
  const auto key = key_of(sealed);
  ASSERT_TRUE(store->put("stored sealed"));
  EXPECT_EQ(key_of(sealed), key);
  auto nobody = keys_with(std::nullopt);
  ASSERT_TRUE(open(&nobody)->put("stored sealed")) << "whoever has the key reads it";
  EXPECT_EQ(key_of(sealed), key);
  EXPECT_EQ(keys.look()->held, 1u) << "no key was made for what was not written";
}

TEST_F(SealedBlobs, AfterItsKeyWasDestroyedItIsGoneUntilItIsWrittenAgain) {
  const auto digest = store->put("about a person")->digest;
  const auto key = key_of(digest);
  ASSERT_TRUE(keys_with('a').destroy(std::vector{key}, "subject 7"));  // in another process
  const auto gone = store->read(digest, 100);
  EXPECT_EQ(reason_of(gone), "blob.sealed");
  EXPECT_TRUE(gone.error().message.contains("destroyed")) << gone.error().message;
  EXPECT_TRUE(store->verify_stored(digest)) << "that is no damage";
  ASSERT_TRUE(store->put("about a person"));
  EXPECT_EQ(store->read(digest, 100).value(), "about a person");
  EXPECT_NE(key_of(digest), key);
  EXPECT_EQ(keys.state(key).value(), KeyState::destroyed);
}

TEST_F(SealedBlobs, ALostKeyIsHealedByWritingTheContentAgain) {
  const auto digest = store->put("content")->digest;
  ASSERT_TRUE(t.env.fs.remove(t.path("keys")));
  const auto lost = store->read(digest, 100);
  EXPECT_EQ(reason_of(lost), "blob.sealed");
  EXPECT_TRUE(lost.error().message.contains("not among this folder's keys")) << lost.error().message;
  ASSERT_TRUE(store->put("content"));
  EXPECT_EQ(store->read(digest, 100).value(), "content");
}

TEST_F(SealedBlobs, TwoProcessesReadWhatTheOtherWrote) {
  auto job_keys = keys_with('a');
  const auto job = open(&job_keys);
  for (int n = 0; n < 10; ++n) {
    const auto content = "blob " + std::to_string(n);
    const auto digest = (n % 2 == 0 ? store : job)->put(content)->digest;
    EXPECT_EQ((n % 2 == 0 ? job : store)->read(digest, 100).value(), content);
  }
}

TEST_F(SealedBlobs, ACopyIsTheSameBytesAndVerified) {
  auto nobody = keys_with(std::nullopt);
  const auto from = open(&nobody);
  const auto to = open_local(t.env, {.dir = t.path("copy"), .keys = &nobody}).value();
  const auto told = [](std::uint64_t) { return Result<void>(); };
  const auto plain = open(nullptr)->put("in plain")->digest;
  for (const auto size : edges) {
    const auto digest = store->put(content_of(size))->digest;
    ASSERT_TRUE(to->put_stored(digest, **from->open_stored(digest), told));
    EXPECT_EQ(to->stat_stored(digest).value(), store->stat_stored(digest).value());
    const auto copied =
        read_file(t.env.fs, t.path("copy/objects/" + digest.hex().substr(0, 2) + "/" + digest.hex()), 1u << 30);
    EXPECT_TRUE(copied.value() == bytes_of(digest));
  }
  ASSERT_TRUE(to->put_stored(plain, **from->open_stored(plain), told));
  EXPECT_EQ(to->read(plain, 100).value(), "in plain");
  EXPECT_EQ(reason_of(to->put_stored(sha256("other"), **from->open_stored(plain), told)), "blob.digest_differs");
  const auto digest = store->put(content_of(300))->digest;
  auto bytes = bytes_of(digest);
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  ASSERT_TRUE(write_file(t.env.fs, t.path("damaged"), bytes));
  EXPECT_EQ(reason_of(to->put_stored(digest, **t.env.fs.open_read(t.path("damaged")), told)), "blob.digest_differs");
  EXPECT_EQ(reason_of(to->stat_stored(digest)), "blob.not_found");
}

// Every operation of the disk in turn is the last one before the power goes.
TEST(SealedBlobCrash, WhatWasCommittedCanBeOpened) {
  const std::vector<std::string> contents = {"", "small", content_of(seal_piece_bytes + 1),
                                             content_of(piece_bytes_max + 5000), "small"};
  const auto master = parse_master_key(std::string(64, 'a'), "m").value();
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", dies at operation " + std::to_string(last));
      TestEnv t(TestEnv::Disk::sim, seed);
      std::set<Digest> committed;
      t.sim_fs().die_at(last);
      {
        Keys keys(t.env, {t.path("keys"), master});
        if (auto store = open_local(t.env, {.dir = t.path("blobs"), .keys = &keys})) {
          for (const std::string& content : contents) {
            if (auto info = (*store)->put(content)) committed.insert(info->digest);
          }
        }
      }
      const bool finished = t.sim_fs().operations() < last;
      t.sim_fs().crash(t.rng);
      Keys keys(t.env, {t.path("keys"), master});
      auto store = open_local(t.env, {.dir = t.path("blobs"), .keys = &keys}).value();
      for (const Digest& digest : committed) ASSERT_TRUE(store->read(digest, 1u << 30));
      for (const BlobInfo& info : store->list().value()) {
        auto verified = store->verify(info.digest);
        ASSERT_TRUE(verified) << verified.error().message;  // whole and with its key, even if nobody was told so
      }
      for (const std::string& content : contents) {
        const auto info = store->put(content);
        ASSERT_TRUE(info && store->read(info->digest, 1u << 30).value() == content);
      }
      if (finished) break;
    }
  }
}

}  // namespace
}  // namespace millrace::blob
