#include "data/records.hpp"

#include <gtest/gtest.h>

#include "meta/testing/temp_store.hpp"

namespace millrace::data {
namespace {

constexpr TimePoint noon{std::chrono::hours(12)};

// An ingest's result; `source` stands for the bytes of the source, `bad` for rows that broke a check.
IngestOutput output(const std::vector<std::string>& parts, const std::string& source, std::int64_t bad = 0) {
  IngestOutput out;
  for (const std::string& part : parts) out.parts.push_back({std::string(64, part[0]), 100, 1000});
  out.new_parts = 1;
  out.new_rows = 100;
  out.schema = {{"id", "int64"}, {"y", "text"}};
  out.analysis.rows = static_cast<std::int64_t>(parts.size()) * 100;
  ColumnProfile id;
  id.name = "id";
  id.mean = 4.5;
  out.analysis.columns = {id};
  out.analysis.inference.task = "binary";
  if (bad > 0) {
    CheckResult check;
    check.column = "age";
    check.rule = "min";
    check.level = "error";
    check.bad = bad;
    check.message = "2 of 100 values below 16";
    out.analysis.checks.results = {check};
  }
  out.provenance = {"file:a.csv", 10, "2026-01-01", source};
  out.notes = {"a note"};
  return out;
}

class RecordsTest : public testing::Test {
 protected:
  meta::TempStore store{migrations()};

  Result<AddedVersion> add(const IngestOutput& what, std::optional<std::int64_t> parent,
                           const std::string& mode = "append", TimePoint at = noon) {
    return store->write(
        [&](meta::Tx& tx) { return add_version(tx, {"customers", parent, mode, what, "ana", "job-1"}, at); });
  }
  template <class F>
  auto read(F f) {
    return store->read(f);
  }
  std::vector<std::string> events() {
    std::vector<std::string> out;
    const auto all = store->outbox_after(0, 100).value();
    for (const auto& event : all)
      out.push_back(event.event.subject + " " + event.event.key + " " + event.event.payload);
    return out;
  }
};

TEST_F(RecordsTest, NumbersWithoutGapsAndReadsBack) {
  EXPECT_EQ(add(output({"a"}, "s1"), {})->number, 1);
  EXPECT_EQ(add(output({"a", "b"}, "s2"), 1)->number, 2);
  const auto record = read([](meta::Reader& r) { return get_version(r, "customers"); });
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->number, 2);
  EXPECT_EQ(record->parent, 1);
  EXPECT_EQ(record->state, VersionState::ok);
  EXPECT_EQ(record->rows, 200);
  EXPECT_EQ(record->bytes, 2000);
  EXPECT_EQ(record->created, noon);
  EXPECT_EQ(record->part_list, output({"a", "b"}, "").parts);
  EXPECT_EQ(record->schema, output({}, "").schema);
  EXPECT_EQ(record->analysis, output({"a", "b"}, "").analysis);
  EXPECT_EQ(record->notes, std::vector<std::string>{"a note"});
  EXPECT_EQ(record->provenance.uri, "file:a.csv");
  EXPECT_EQ(read([](meta::Reader& r) { return get_version(r, "customers", 1); })->part_list.size(), 1u);
  EXPECT_EQ(read([](meta::Reader& r) { return list_versions(r, "customers"); })->at(1).number, 1);
  EXPECT_EQ(read([](meta::Reader& r) { return list_datasets(r); })->size(), 1u);
  ASSERT_EQ(events().size(), 2u);
  EXPECT_EQ(
      events()[1],
      R"(dataset.version customers@2 {"dataset":"customers","number":2,"state":"ok","rows":200,"new_rows":100,"by":"ana"})");
  store.reopen();
  EXPECT_EQ(read([](meta::Reader& r) { return latest(r, "customers"); })->value().number, 2);
}

TEST_F(RecordsTest, RepeatingAnIngestCreatesNothing) {
  ASSERT_TRUE(add(output({"a"}, "s1"), {}));
  const auto again = add(output({"a"}, "s1"), {});
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->created);
  EXPECT_EQ(again->number, 1);
  IngestOutput unchanged;
  unchanged.unchanged = true;
  EXPECT_FALSE(add(unchanged, 1)->created);
  EXPECT_EQ(events().size(), 1u);
}

TEST_F(RecordsTest, OnlyOnTopOfTheNewest) {
  ASSERT_TRUE(add(output({"a"}, "s1"), {}));
  ASSERT_TRUE(add(output({"a", "b"}, "s2"), 1));
  EXPECT_EQ(add(output({"a", "c"}, "s3"), 1).error().reason, "data.parent_moved");
  EXPECT_EQ(add(output({"c"}, "s3"), {}).error().reason, "data.parent_moved");
  EXPECT_EQ(read([](meta::Reader& r) { return list_versions(r, "customers"); })->size(), 2u);
}

TEST_F(RecordsTest, SourcesAreKnownUntilReplaced) {
  IngestInput input;
  EXPECT_EQ(read([&](meta::Reader& r) { return prepare_ingest(r, "customers", input); }).value(), std::nullopt);
  ASSERT_TRUE(add(output({"a"}, "s1"), {}));
  ASSERT_TRUE(add(output({"a", "b"}, "s2"), 1));
  EXPECT_EQ(read([&](meta::Reader& r) { return prepare_ingest(r, "customers", input); }).value(), 2);
  EXPECT_EQ(input.parent_sources, (std::vector<std::string>{"s2", "s1"}));
  EXPECT_EQ(input.parent_parts.size(), 2u);
  EXPECT_EQ(input.parent_schema.size(), 2u);
  ASSERT_TRUE(add(output({"c"}, "s3"), 2, "replace"));
  ASSERT_TRUE(read([&](meta::Reader& r) { return prepare_ingest(r, "customers", input); }));
  EXPECT_EQ(input.parent_sources, std::vector<std::string>{"s3"});
  EXPECT_TRUE(add(output({"c", "a"}, "s1"), 3)->created) << "its rows are not there any more";
}

TEST_F(RecordsTest, AFailedVersionIsNotUsedUnlessAccepted) {
  ASSERT_TRUE(add(output({"a"}, "s1"), {}));
  const auto bad = add(output({"a", "b"}, "s2", 2), 1);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->state, VersionState::failed);
  const auto usable = [&] {
    return read([](meta::Reader& r) { return latest_usable(r, "customers"); })->value().number;
  };
  EXPECT_EQ(usable(), 1);
  EXPECT_EQ(read([](meta::Reader& r) { return latest(r, "customers"); })->value().state_reason,
            "age: min: 2 of 100 values below 16");
  const auto say = [&](std::int64_t number, const std::string& reason) {
    return store->write(
        [&](meta::Tx& tx) { return accept(tx, "customers", number, "bo", reason, noon + std::chrono::hours(1)); });
  };
  EXPECT_EQ(say(2, "  ").error().reason, "data.no_reason");
  EXPECT_EQ(say(3, "why not").error().reason, "data.no_version");
  EXPECT_EQ(usable(), 1);
  const auto accepted = say(2, "children are customers too");
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_EQ(accepted->state, VersionState::accepted);
  EXPECT_EQ(accepted->accepted->by, "bo");
  EXPECT_EQ(usable(), 2);
  // Saying it again changes nothing; a good version needs no word.
  EXPECT_EQ(say(2, "other reason")->accepted->reason, "children are customers too");
  EXPECT_EQ(say(1, "")->state, VersionState::ok);
  ASSERT_EQ(events().size(), 3u);
  EXPECT_TRUE(events()[2].starts_with("dataset.accepted customers@2 "));
}

TEST_F(RecordsTest, AsOfAMomentAndReferences) {
  ASSERT_TRUE(add(output({"a"}, "s1"), {}, "append", noon));
  ASSERT_TRUE(add(output({"b"}, "s2"), 1, "replace", noon + std::chrono::hours(5)));
  const auto at = [&](TimePoint time) {
    return read([&](meta::Reader& r) { return latest_at(r, "customers", time); }).value();
  };
  EXPECT_FALSE(at(noon - std::chrono::hours(1)));
  EXPECT_EQ(at(noon + std::chrono::hours(1))->number, 1);
  EXPECT_EQ(at(noon + std::chrono::hours(9))->number, 2);
  const auto referenced = [&](char c) {
    return read([&](meta::Reader& r) { return references(r, std::string(64, c)); }).value();
  };
  EXPECT_TRUE(referenced('a')) << "older versions keep their parts";
  EXPECT_TRUE(referenced('b'));
  EXPECT_FALSE(referenced('c'));
}

TEST_F(RecordsTest, NamesOfWhatIsNotThere) {
  EXPECT_EQ(read([](meta::Reader& r) { return get_version(r, "nobody"); }).error().reason, "data.no_dataset");
  ASSERT_TRUE(add(output({"a"}, "s1"), {}));
  EXPECT_EQ(read([](meta::Reader& r) { return get_version(r, "customers", 7); }).error().reason, "data.no_version");
  EXPECT_EQ(parse_dataset_name("customers@3")->number, 3);
  EXPECT_EQ(parse_dataset_name("customers")->number, std::nullopt);
  for (const char* bad : {"", "@3", "customers@", "customers@x", "customers@0", "customers@-1"}) {
    EXPECT_EQ(parse_dataset_name(bad).error().reason, "data.bad_name") << bad;
  }
}

}  // namespace
}  // namespace millrace::data
