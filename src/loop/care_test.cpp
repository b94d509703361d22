#include "loop/care.hpp"

#include <gtest/gtest.h>

#include "data/records.hpp"
#include "loop/service.hpp"
#include "meta/testing/temp_store.hpp"
#include "registry/registry.hpp"

namespace millrace::loop {
namespace {

using Made = serve::PredictionLog::Made;

struct Records {
  meta::TempStore store{all_migrations()};
  void note(std::uint64_t first, std::uint64_t last) {
    ASSERT_TRUE(store->write([&](meta::Tx& tx) { return note_segments(tx, {first, last}, store.clock.now()); }));
  }
  void forget(std::uint64_t number) {
    ASSERT_TRUE(store->write([&](meta::Tx& tx) { return forget_segment(tx, number, store.clock.now()); }));
  }
  void rolled(std::uint64_t through) {
    ASSERT_TRUE(store->write([&](meta::Tx& tx) {
      return tx.exec(
          "INSERT INTO loop_rolls (through, after_segment, segments, line_count, damaged, cause, at_us) "
          "VALUES ($1, 0, 1, 1, 0, '', 0)",
          {static_cast<std::int64_t>(through)});
    }));
  }
  std::vector<Made> noted() {
    return *store->read([](meta::Reader& reader) { return noted_segments(reader); });
  }
  std::uint64_t used() {
    return *store->read([](meta::Reader& reader) { return segment_numbers_used(reader); });
  }
};

TEST(NotedSegments, WhatWasMadeAndIsNotRolledIsMissed) {
  Records records;
  EXPECT_TRUE(records.noted().empty());
  EXPECT_EQ(records.used(), 0u);
  records.note(1, 1);
  records.note(1, 3);
  records.note(5, 5);  // another process; the one before died while it made 4
  EXPECT_EQ(records.noted(), (std::vector<Made>{{1, 3}, {5, 5}}));
  records.rolled(2);
  EXPECT_EQ(records.noted(), (std::vector<Made>{{3, 3}, {5, 5}}));
  records.note(5, 8);
  records.forget(7);
  EXPECT_EQ(records.noted(), (std::vector<Made>{{3, 3}, {5, 6}, {8, 8}}));
  records.forget(8);
  records.forget(3);
  EXPECT_EQ(records.noted(), (std::vector<Made>{{5, 6}}));
  EXPECT_EQ(records.used(), 8u) << "the number of a lost segment is not given out again";
  records.rolled(9);
  EXPECT_TRUE(records.noted().empty());
  EXPECT_EQ(records.used(), 9u);
}

TEST(Losses, ArePartOfTheRecords) {
  Records records;
  const auto artifact = sha256("model").hex();
  ASSERT_TRUE(records.store->write([&](meta::Tx& tx) -> Result<void> {
    registry::ModelVersion version;
    version.model = "small";
    version.run = "r";
    version.artifact = artifact;
    version.verdict = registry::VerdictState::passed;
    version.verdict_lines = version.report = version.lineage = "{}";
    TRY_VOID(registry::add_version(tx, version));
    return {};
  }));
  auto references =
      *records.store->read([&](meta::Reader& reader) { return blob_references(reader, records.store.clock.now()); });
  ASSERT_EQ(references.size(), 1u);
  EXPECT_EQ(references[0].of, "small:1");
  for (int times = 0; times < 2; ++times) {
    ASSERT_TRUE(
        records.store->write([&](meta::Tx& tx) { return give_up(tx, references[0], records.store.clock.now()); }));
  }
  const auto lost = *records.store->read([](meta::Reader& reader) { return losses(reader); });
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].digest, artifact);
  EXPECT_EQ(lost[0].what, "small:1");
  references =
      *records.store->read([&](meta::Reader& reader) { return blob_references(reader, records.store.clock.now()); });
  EXPECT_TRUE(references.empty()) << "the version's bytes are recorded as gone";
}

TEST(Contradictions, NoneInRecordsThatAreWhole) {
  Records records;
  auto found = [&] {
    return *records.store->read(
        [&](meta::Reader& reader) { return contradictions(reader, records.store.clock.now()); });
  };
  EXPECT_TRUE(found().empty());
  ASSERT_TRUE(records.store->write([&](meta::Tx& tx) -> Result<void> {
    for (int n = 0; n < 3; ++n) {
      registry::ModelVersion version;
      version.model = "small";
      version.run = std::to_string(n);
      version.artifact = sha256(version.run).hex();
      version.verdict = registry::VerdictState::passed;
      version.verdict_lines = version.report = version.lineage = "{}";
      TRY_VOID(registry::add_version(tx, version));
    }
    TRY_VOID(registry::promote(tx, "small", 3, {"test", ""}, records.store.clock.now()));
    return {};
  }));
  EXPECT_TRUE(found().empty());
  ASSERT_TRUE(
      records.store->write([](meta::Tx& tx) { return tx.exec("DELETE FROM registry_versions WHERE number = 1", {}); }));
  EXPECT_EQ(found(), std::vector<std::string>{"the versions of model small are not numbered 1 to 2"});
}

}  // namespace
}  // namespace millrace::loop
