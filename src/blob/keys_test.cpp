// The keys file: its bytes, what is torn or damaged, several who write it, and what is destroyed.
#include "blob/keys.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <set>
#include <vector>

#include "base/testing/env.hpp"
#include "base/testing/reason.hpp"
#include "blob/key_table_internal.hpp"

namespace millrace::blob {
namespace {

MasterKey master_of(char digit) { return parse_master_key(std::string(64, digit), "master.key").value(); }

Keys keys_of(TestEnv& t, char digit = 'a') { return Keys(t.env, {t.path("keys"), master_of(digit)}); }

KeyTable table_of_three() {
  KeyTable table{.stamp = 77};
  const MasterKey master = master_of('a');
  AeadKey key;
  key.bytes.fill(9);
  for (std::uint8_t n = 1; n <= 2; ++n)
    table.records.emplace(Id{{n}}, wrap_key(key, Id{{n}}, master, {n}, TimePoint(Duration(1000 + n))));
  table.records.emplace(Id{{3}}, DestroyedKey{TimePoint(Duration(5)), "asked for"});
  return table;
}

TEST(KeyTable, ComesBackAndNoticesEveryFlippedBit) {
  const KeyTable table = table_of_three();
  const std::string bytes = encode_keys(table);
  ASSERT_EQ(bytes.size(), 4 * key_slot_bytes);
  auto read = decode_keys(bytes).value();
  EXPECT_EQ(read.table.records, table.records);
  EXPECT_EQ(read.table.stamp, 77u);
  EXPECT_TRUE(read.header && read.damaged == 0 && !read.torn);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto some = decode_keys(flipped);
    ASSERT_TRUE(some) << bit;
    const auto slot = bit / 8 / key_slot_bytes;
    EXPECT_EQ(some->header, slot != 0) << bit;
    EXPECT_EQ(some->damaged, slot == 1 || slot == 2 ? 1u : 0u) << bit;
    EXPECT_EQ(some->torn, slot == 3) << bit;
    EXPECT_EQ(some->table.records.size(), slot == 0 ? 3u : 2u) << "the others stay" << bit;
  }
}

TEST(KeyTable, WhatEndsEarlyIsTornAndTheRestStays) {
  const std::string bytes = encode_keys(table_of_three());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto read = decode_keys(std::string_view(bytes).substr(0, size)).value();
    EXPECT_EQ(read.header, size >= key_slot_bytes);
    EXPECT_EQ(read.table.records.size(), size < key_slot_bytes ? 0 : size / key_slot_bytes - 1) << size;
    EXPECT_EQ(read.torn, size > key_slot_bytes && size % key_slot_bytes != 0) << size;
  }
  // The room was made and never filled.
  const auto zeros = decode_keys(bytes + std::string(key_slot_bytes, '\0')).value();
  EXPECT_TRUE(zeros.torn);
  EXPECT_EQ(zeros.damaged, 0u);
}

TEST(KeyTable, ANewerFormatIsRefused) {
  auto bytes = encode_keys_header(1);
  bytes[8] = 2;
  EXPECT_FALSE(decode_keys(bytes)->header) << "its checksum is another";
  const auto sum = static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), 124));
  for (std::size_t i = 0; i < 4; ++i) bytes[124 + i] = static_cast<char>(sum >> (8 * i));
  EXPECT_EQ(reason_of(decode_keys(bytes)), "blob.keys_format");
}

TEST(KeyTable, MergingBringsNothingBackAndLosesNothing) {
  const MasterKey master = master_of('a');
  const auto wrapped = [&](std::uint8_t n) {
    return wrap_key(AeadKey{}, Id{{1}}, master, {n}, TimePoint(Duration(1)));
  };
  const KeyRecord first = wrapped(1), second = wrapped(2);
  const KeyRecord gone = DestroyedKey{TimePoint(Duration(2)), "first"},
                  gone_later = DestroyedKey{TimePoint(Duration(3)), "later"};
  struct Row {
    const char* what;
    std::optional<KeyRecord> ours, theirs, result;
    bool changed;
  };
  const std::vector<Row> rows = {
      {"unknown here", std::nullopt, first, first, true}, {"unknown there", first, std::nullopt, first, false},
      {"the same", first, first, first, false},           {"wrapped again", first, second, second, true},
      {"destroyed there", first, gone, gone, true},       {"destroyed here", gone, first, gone, false},
      {"destroyed twice", gone, gone_later, gone, false}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    KeyTable ours, theirs;
    if (row.ours) ours.records.emplace(Id{{1}}, *row.ours);
    if (row.theirs) theirs.records.emplace(Id{{1}}, *row.theirs);
    EXPECT_EQ(merge_keys(ours, theirs), row.changed);
    EXPECT_EQ(ours.records.at(Id{{1}}), *row.result);
  }
}

TEST(KeyTable, AKeyIsOpenedByItsMasterAndForItsIdOnly) {
  AeadKey key, out;
  key.bytes.fill(42);
  const auto wrapped = wrap_key(key, Id{{1}}, master_of('a'), {7}, TimePoint(Duration(1)));
  ASSERT_TRUE(unwrap_key(wrapped, Id{{1}}, master_of('a'), out));
  EXPECT_EQ(out.bytes, key.bytes);
  EXPECT_FALSE(unwrap_key(wrapped, Id{{2}}, master_of('a'), out)) << "moved to another blob's id";
  EXPECT_FALSE(unwrap_key(wrapped, Id{{1}}, master_of('b'), out));
}

TEST(MasterKeyFile, IsReadOrSaysWhatToDo) {
  TestEnv t;
  const auto path = t.path("master.key");
  const auto missing = read_master_key(t.env.fs, path);
  EXPECT_EQ(reason_of(missing), "blob.no_master_key");
  EXPECT_TRUE(missing.error().message.contains("openssl rand -hex 32 > " + path + " && chmod 600 " + path));
  ASSERT_TRUE(write_file(t.env.fs, path, std::string(64, 'a') + "\n"));
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const auto exposed = read_master_key(t.env.fs, path);
  EXPECT_EQ(reason_of(exposed), "blob.master_key_exposed");
  EXPECT_TRUE(exposed.error().message.contains("chmod 600 " + path));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(read_master_key(t.env.fs, path)->key.bytes, master_of('a').key.bytes);
  for (const std::string text :
       {"", "\n", "abc", std::string(63, 'a').c_str(), std::string(65, 'a').c_str(), std::string(64, 'g').c_str()}) {
    ASSERT_TRUE(write_file(t.env.fs, path, text));
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
    const auto wrong = read_master_key(t.env.fs, path);
    EXPECT_EQ(reason_of(wrong), "blob.bad_master_key") << text;
    if (text.size() > 8) {
      EXPECT_FALSE(wrong.error().message.contains(text)) << "what may be most of a secret is not repeated";
    }
  }
}

TEST(KeysFileTest, WhatIsKeptIsThereForOthers) {
  TestEnv t(TestEnv::Disk::sim);
  auto ours = keys_of(t), theirs = keys_of(t);
  const auto key = ours.fresh().value();
  EXPECT_EQ(ours.state(key.id).value(), KeyState::absent);
  ASSERT_TRUE(ours.keep(key));
  EXPECT_EQ(theirs.state(key.id).value(), KeyState::held);
  EXPECT_EQ(theirs.key(key.id)->bytes, key.key.bytes);
  const auto later = theirs.fresh().value();
  ASSERT_TRUE(theirs.keep(later));
  EXPECT_EQ(ours.key(later.id)->bytes, later.key.bytes);
  Keys nobody(t.env, {t.path("keys"), std::nullopt});
  EXPECT_EQ(nobody.state(key.id).value(), KeyState::locked);
  EXPECT_FALSE(nobody.fresh());
  EXPECT_EQ(reason_of(nobody.key(key.id)), "blob.sealed");
}

TEST(KeysFileTest, AnotherMasterKeyIsToldAtOnce) {
  TestEnv t(TestEnv::Disk::sim);
  auto right = keys_of(t);
  EXPECT_TRUE(right.check_master()) << "nothing is sealed yet";
  const auto key = right.fresh().value();
  ASSERT_TRUE(right.keep(key));
  EXPECT_TRUE(right.check_master());
  auto wrong = keys_of(t, 'b');
  EXPECT_EQ(wrong.state(key.id).value(), KeyState::foreign);
  EXPECT_EQ(reason_of(wrong.key(key.id)), "blob.sealed");
  EXPECT_EQ(reason_of(wrong.check_master()), "blob.other_master_key");
}

TEST(KeysFileTest, DestroyedIsDestroyedForAllAndInTheBytes) {
  TestEnv t(TestEnv::Disk::sim);
  auto ours = keys_of(t), theirs = keys_of(t);
  const auto key = ours.fresh().value(), other = ours.fresh().value();
  ASSERT_TRUE(ours.keep(key));
  ASSERT_TRUE(ours.keep(other));
  EXPECT_EQ(theirs.state(key.id).value(), KeyState::held);
  const auto before = read_file(t.env.fs, t.path("keys")).value();
  const auto wrapped = before.substr(key_slot_bytes + 52, 48);
  ASSERT_TRUE(ours.destroy(std::vector{key.id}, "subject 7"));
  EXPECT_EQ(theirs.state(key.id).value(), KeyState::destroyed) << "though the file is as long as it was";
  EXPECT_EQ(theirs.state(other.id).value(), KeyState::held);
  const auto after = read_file(t.env.fs, t.path("keys")).value();
  EXPECT_FALSE(after.contains(wrapped));
  EXPECT_TRUE(after.contains("subject 7"));
  ASSERT_TRUE(ours.destroy(std::vector{key.id}, "again"));
  EXPECT_EQ(read_file(t.env.fs, t.path("keys")).value(), after) << "destroying twice is destroying once";
  // An older file does not bring it back.
  ASSERT_TRUE(write_file(t.env.fs, t.path("older"), before));
  EXPECT_FALSE(ours.take_from(t.path("older")).value());
  EXPECT_EQ(theirs.state(key.id).value(), KeyState::destroyed);
  EXPECT_FALSE(ours.take_from(t.path("nothing")).value());
}

TEST(KeysFileTest, ATornEndIsWrittenOver) {
  for (const std::size_t cut : {std::size_t{1}, std::size_t{64}, key_slot_bytes - 1, key_slot_bytes}) {
    SCOPED_TRACE(cut);
    TestEnv t(TestEnv::Disk::sim);
    auto keys = keys_of(t);
    const auto first = keys.fresh().value(), torn = keys.fresh().value(), next = keys.fresh().value();
    ASSERT_TRUE(keys.keep(first));
    ASSERT_TRUE(keys.keep(torn));
    auto bytes = read_file(t.env.fs, t.path("keys")).value();
    bytes.resize(bytes.size() - cut);
    if (cut == key_slot_bytes) bytes += std::string(key_slot_bytes, '\0');  // its room only
    ASSERT_TRUE(write_file(t.env.fs, t.path("keys"), bytes));
    auto restarted = keys_of(t);
    EXPECT_TRUE(restarted.look()->torn);
    EXPECT_EQ(restarted.look()->problem, "") << "a power cut is no damage";
    EXPECT_EQ(restarted.state(torn.id).value(), KeyState::absent);
    ASSERT_TRUE(restarted.keep(next));
    for (auto* one : {&restarted, &keys}) {
      EXPECT_FALSE(one->look()->torn);
      EXPECT_EQ(one->state(first.id).value(), KeyState::held);
      EXPECT_EQ(one->state(next.id).value(), KeyState::held);
    }
  }
}

TEST(KeysFileTest, WhatIsDamagedIsToldAndTheRestIsOfUse) {
  TestEnv t(TestEnv::Disk::sim);
  auto keys = keys_of(t);
  std::vector<SealingKey> made;
  for (int n = 0; n < 3; ++n) {
    made.push_back(keys.fresh().value());
    ASSERT_TRUE(keys.keep(made.back()));
  }
  const auto whole = read_file(t.env.fs, t.path("keys")).value();
  const auto with = [&](const std::string& bytes) {
    EXPECT_TRUE(write_file(t.env.fs, t.path("keys"), bytes));
    return keys_of(t).look().value();
  };
  EXPECT_EQ(with(whole).problem, "");
  auto flipped = whole;
  flipped[2 * key_slot_bytes + 60] ^= 1;
  EXPECT_EQ(with(flipped).problem, "1 damaged record");
  EXPECT_EQ(with(flipped).held, 2u);
  flipped = whole;
  flipped[3] ^= 1;
  EXPECT_EQ(with(flipped).problem, "its header is damaged");
  EXPECT_EQ(with(flipped).held, 3u);
  auto again = keys_of(t);
  EXPECT_EQ(again.state(made[1].id).value(), KeyState::held);
  ASSERT_TRUE(again.write_anew());
  EXPECT_EQ(again.look()->problem, "");
  EXPECT_EQ(with("").problem, "it is empty");
  ASSERT_TRUE(keys_of(t).keep(made[0])) << "and is begun anew";
  EXPECT_EQ(keys_of(t).state(made[0].id).value(), KeyState::held);
}

// Every operation of the disk in turn is the last one before the power goes: what keep() and destroy() returned for
// holds, and the file can be read and written.
TEST(KeysFileCrash, WhatWasSaidHolds) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", dies at operation " + std::to_string(last));
      TestEnv t(TestEnv::Disk::sim, seed);
      std::vector<SealingKey> made;
      std::set<Id> kept, destroyed, maybe;
      t.sim_fs().die_at(last);
      {
        auto keys = keys_of(t);
        for (int n = 0; n < 4; ++n) {
          made.push_back(keys.fresh().value());
          if (keys.keep(made.back())) kept.insert(made.back().id);
          if (n != 2) continue;
          maybe.insert(made.front().id);
          if (keys.destroy(std::vector{made.front().id}, "test")) destroyed.insert(made.front().id);
        }
      }
      const bool finished = t.sim_fs().operations() < last;
      seed % 3 == 0 ? t.sim_fs().kill() : t.sim_fs().crash(t.rng);
      auto keys = keys_of(t);
      EXPECT_EQ(keys.look()->problem, "");
      for (const auto& key : made) {
        const auto state = keys.state(key.id).value();
        if (destroyed.contains(key.id)) {
          EXPECT_EQ(state, KeyState::destroyed);
        } else if (kept.contains(key.id) && !maybe.contains(key.id)) {
          ASSERT_EQ(state, KeyState::held);
          EXPECT_EQ(keys.key(key.id)->bytes, key.key.bytes);
        }
      }
      const auto next = keys.fresh().value();
      ASSERT_TRUE(keys.keep(next));
      EXPECT_EQ(keys_of(t).state(next.id).value(), KeyState::held);
      EXPECT_FALSE(keys.look()->torn);
      for (const Id& id : kept) EXPECT_NE(keys.state(id).value(), KeyState::absent);
      if (finished) break;
    }
  }
}

TEST(KeysFileCrash, EveryFaultPointIsReachedAndSurvived) {
  for (const std::string point : {"before_sync", "before_rename", "after_rename", "after_folder_sync", "before_append",
                                  "after_append", "after_append_sync"}) {
    SCOPED_TRACE(point);
    TestEnv t(TestEnv::Disk::sim);
    auto keys = keys_of(t);
    const auto first = keys.fresh().value(), second = keys.fresh().value();
    const bool of_append = point.contains("append");
    if (of_append) {
      ASSERT_TRUE(keys.keep(first));
    }
    ASSERT_TRUE(t.faults.arm("blob.keys." + point + "=error"));
    EXPECT_FALSE(keys.keep(second));
    ASSERT_TRUE(t.faults.arm(""));
    ASSERT_TRUE(keys.keep(second));
    EXPECT_EQ(keys_of(t).state(second.id).value(), KeyState::held);
    if (of_append) {
      EXPECT_EQ(keys_of(t).state(first.id).value(), KeyState::held);
    }
  }
}

// Two processes that keep and destroy at the same time, on a real disk.
TEST(KeysFileTest, TwoProcessesLoseNothing) {
  TestEnv t;
  constexpr int each = 60;
  std::vector<pid_t> children;
  for (int who = 0; who < 2; ++who) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      SeededRng rng(static_cast<std::uint64_t>(who) + 10);
      RealFs fs;
      const Env env{fs, t.env.clock, rng, t.env.faults, t.env.log};
      Keys keys(env, {t.path("keys"), master_of('a')});
      bool good = true;
      for (int n = 0; n < each; ++n) {
        const auto key = keys.fresh().value();
        good = good && keys.keep(key) && keys.state(key.id).value() == KeyState::held;
        if (n % 10 == 9) good = good && keys.destroy(std::vector{key.id}, "child");
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  const auto seen = keys_of(t).look().value();
  EXPECT_EQ(seen.problem, "");
  EXPECT_EQ(seen.destroyed, 2u * each / 10);
  EXPECT_EQ(seen.held, 2u * (each - each / 10));
}

}  // namespace
}  // namespace millrace::blob
