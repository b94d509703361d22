#include "data/records.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/testing/reason.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::data {
namespace {

constexpr TimePoint noon{std::chrono::hours(12)};

// An ingest's result, its last part new; `source` stands for the bytes of the source; bad: a check failed.
IngestOutput output(const std::vector<std::string>& parts, const std::string& source, bool bad = false) {
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
  if (bad) {
    CheckResult check;
    check.column = "age";
    check.rule = "min";
    check.level = "error";
    check.bad = 2;
    check.message = "2 of 100 values below 16";
    out.analysis.checks.results = {check, check};
  }
  out.provenance = {"file:a.csv", 10, "2026-01-01", source};
  out.notes = {"a note"};
  return out;
}

class RecordsTest : public testing::Test {
 protected:
  meta::TempStore store{migrations()};

  Result<DatasetVersion> add(IngestOutput what, const std::string& mode = "append", TimePoint at = noon) {
    what.mode = mode;
    return store->write([&](meta::Tx& tx) { return add_version(tx, "customers", what, "ana", at); });
  }
  Result<DatasetVersion> say(std::int64_t number, const std::string& reason) {
    return store->write(
        [&](meta::Tx& tx) { return accept(tx, "customers", number, "bo", reason, noon + std::chrono::hours(1)); });
  }
  std::int64_t usable() {
    auto found = store->read([](meta::Reader& r) { return newest_usable(r, "customers"); });
    return *found ? (*found)->number : 0;
  }
  std::vector<std::string> sources(std::int64_t number) {
    return store->read([&](meta::Reader& r) { return sources_of(r, "customers", number); }).value();
  }
  std::vector<std::string> events() {
    std::vector<std::string> out;
    const auto all = store->outbox_after(0, 100).value();
    for (const auto& event : all)
      out.push_back(event.event.subject + " " + event.event.key + " " + event.event.payload);
    return out;
  }
};

TEST_F(RecordsTest, PartsThatAreLetGoLeaveARecord) {
  ASSERT_TRUE(add(output({"a"}, "one")));
  ASSERT_TRUE(add(output({"a", "b"}, "two")));
  const std::string a(64, 'a'), b(64, 'b');
  const auto let_go = [&](const std::vector<std::string>& digests) {
    return store->write([&](meta::Tx& tx) { return let_parts_go(tx, "customers", digests, "too old", noon); });
  };
  ASSERT_TRUE(let_go({a, std::string(64, 'x')}));
  ASSERT_TRUE(let_go({a})) << "a second time changes nothing";
  const auto version = [&](std::int64_t number) {
    return store->read([&](meta::Reader& r) { return get_version(r, "customers", number); }).value();
  };
  const auto readable = [&](std::int64_t number) {
    return store->read([&](meta::Reader& r) { return check_readable(r, version(number)); });
  };
  EXPECT_EQ(version(3).rows, 100);
  EXPECT_EQ(version(3).content.parts.size(), 1u);
  EXPECT_EQ(version(3).by, "too old");
  EXPECT_EQ(store->read([&](meta::Reader& r) { return newest_version(r, "customers"); }).value()->number, 3);
  const auto referred = *store->read([&](meta::Reader& r) { return part_digests(r); });
  EXPECT_EQ(std::ranges::count(referred, a), 0) << "nothing refers to its blob";
  EXPECT_EQ(std::ranges::count(referred, b), 1);
  EXPECT_EQ(reason_of(readable(1)), "data.rows_gone");
  EXPECT_NE(readable(2).error().message.find("100 of the 200 rows of customers@2 were let go: 1970-01-01 too old"),
            std::string::npos)
      << readable(2).error().message;
  EXPECT_TRUE(readable(3));
  EXPECT_TRUE(add(output({"b", "c"}, "three"))) << "what is appended goes on top of what is left";
  ASSERT_TRUE(let_go({b, std::string(64, 'c')}));
  EXPECT_EQ(version(5).rows, 0);
  EXPECT_TRUE(version(5).content.parts.empty());
  EXPECT_EQ(version(5).content.schema.size(), 2u);
}

TEST_F(RecordsTest, NumbersWithoutGapsAndReadsBack) {
  EXPECT_EQ(add(output({"a"}, "s1"))->number, 1);
  EXPECT_EQ(add(output({"a", "b"}, "s2"))->number, 2);
  const auto record = store->read([](meta::Reader& r) { return get_version(r, "customers", 2); });
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->parent, 1);
  EXPECT_EQ(record->state, VersionState::ok);
  EXPECT_EQ(record->rows, 200);
  EXPECT_EQ(record->bytes, 2000);
  EXPECT_EQ(record->part_count, 2);
  EXPECT_EQ(record->created, noon);
  EXPECT_EQ(record->by, "ana");
  EXPECT_EQ(render(record->content), render(output({"a", "b"}, "s2")));
  const auto all = store->read([](meta::Reader& r) { return list_versions(r, "customers"); }).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].number, 1);
  EXPECT_EQ(all[1].content.provenance.digest, "s1");
  EXPECT_EQ(store->read([](meta::Reader& r) { return list_versions(r, ""); })->size(), 2u);
  EXPECT_EQ(events(), (std::vector<std::string>{R"(dataset.version customers {"version":1,"state":"ok"})",
                                                R"(dataset.version customers {"version":2,"state":"ok"})"}));
  store.reopen();
  EXPECT_EQ(store->read([](meta::Reader& r) { return newest_version(r, "customers"); })->value().number, 2);
}

TEST_F(RecordsTest, RepeatingAnIngestCreatesNothing) {
  ASSERT_TRUE(add(output({"a"}, "s1")));
  const auto again = add(output({"a"}, "s1"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->number, 1);
  IngestOutput unchanged;
  unchanged.unchanged = true;
  EXPECT_EQ(add(unchanged)->number, 1);
  EXPECT_EQ(events().size(), 1u);
  // The same rows seen with another question are another version.
  IngestOutput other = output({"a"}, "s1");
  other.analysis.inference.target = "y";
  EXPECT_EQ(add(other, "replace")->number, 2);
}

TEST_F(RecordsTest, AnAppendLosesNoRows) {
  ASSERT_TRUE(add(output({"a"}, "s1")));
  ASSERT_TRUE(add(output({"a", "b"}, "s2")));
  EXPECT_EQ(reason_of(add(output({"a", "c"}, "s3"))), "data.parent_moved");
  EXPECT_EQ(reason_of(add(output({"c"}, "s3"))), "data.parent_moved");
  EXPECT_EQ(add(output({"a", "b", "c"}, "s3"))->number, 3);
  EXPECT_EQ(add(output({"d"}, "s4"), "replace")->number, 4);
}

TEST_F(RecordsTest, SourcesAreKnownUntilReplaced) {
  ASSERT_TRUE(add(output({"a"}, "s1")));
  ASSERT_TRUE(add(output({"a", "b"}, "s2")));
  EXPECT_EQ(sources(2), (std::vector<std::string>{"s2", "s1"}));
  ASSERT_TRUE(add(output({"c"}, "s3"), "replace"));
  EXPECT_EQ(sources(3), std::vector<std::string>{"s3"});
  ASSERT_TRUE(add(output({"c", "d"}, "s4")));
  EXPECT_EQ(sources(4), (std::vector<std::string>{"s4", "s3"}));
  EXPECT_EQ(sources(2), (std::vector<std::string>{"s2", "s1"}));
}

TEST_F(RecordsTest, AFailedVersionIsNotUsedUnlessAccepted) {
  ASSERT_TRUE(add(output({"a"}, "s1")));
  const auto bad = add(output({"a", "b"}, "s2", true));
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->state, VersionState::failed);
  EXPECT_EQ(bad->state_reason, "age: min: 2 of 100 values below 16; and 1 more");
  EXPECT_EQ(usable(), 1);
  // The next rows go on top of what is usable; the failed version's rows are not among them.
  ASSERT_TRUE(add(output({"a", "c"}, "s3", true)));
  EXPECT_EQ(sources(3), (std::vector<std::string>{"s3", "s1"}));

  EXPECT_EQ(reason_of(say(3, "  ")), "data.no_reason");
  EXPECT_EQ(reason_of(say(7, "why not")), "data.no_version");
  EXPECT_EQ(reason_of(say(1, "because")), "data.not_failed");
  EXPECT_EQ(usable(), 1);
  const auto accepted = say(3, "children are customers too");
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_EQ(accepted->state, VersionState::accepted);
  EXPECT_EQ(usable(), 3);
  EXPECT_EQ(say(3, "another reason")->state_reason, "children are customers too") << "said once, it stays";
  const auto kept = store->read([](meta::Reader& r) { return get_version(r, "customers", 3); });
  EXPECT_EQ(kept->state_by, "bo");
  EXPECT_EQ(kept->state_at, noon + std::chrono::hours(1));
  ASSERT_EQ(events().size(), 4u);
  EXPECT_EQ(events()[3], R"(dataset.accepted customers {"version":3,"state":"accepted"})");
}

TEST_F(RecordsTest, AsOfAMomentAndReferences) {
  ASSERT_TRUE(add(output({"a"}, "s1"), "append", noon));
  ASSERT_TRUE(add(output({"b"}, "s2"), "replace", noon + std::chrono::hours(5)));
  const auto at = [&](TimePoint time) {
    return store->read([&](meta::Reader& r) { return version_at(r, "customers", time); }).value();
  };
  EXPECT_FALSE(at(noon - std::chrono::hours(1)));
  EXPECT_EQ(at(noon + std::chrono::hours(1))->number, 1);
  EXPECT_EQ(at(noon + std::chrono::hours(9))->number, 2);
  auto parts = *store->read([&](meta::Reader& r) { return part_digests(r); });
  std::ranges::sort(parts);
  EXPECT_EQ(parts, (std::vector{std::string(64, 'a'), std::string(64, 'b')})) << "older versions keep their parts";
  const auto heads = [&](auto find) { return *store->read([&](meta::Reader& r) { return find(r, "customers"); }); };
  EXPECT_EQ(heads(newest_head)->number, heads(newest_version)->number);
  EXPECT_EQ(heads(newest_usable_head)->rows, heads(newest_usable)->rows);
  EXPECT_EQ(heads(newest_head)->content.provenance, heads(newest_version)->content.provenance);
  EXPECT_TRUE(heads(newest_head)->content.parts.empty()) << "a head has no content";
}

TEST_F(RecordsTest, AsOfAMomentItWasNotAcceptedYet) {
  using std::chrono::hours;
  ASSERT_TRUE(add(output({"a"}, "s1"), "append", noon));
  auto broken = output({"b"}, "s2");
  broken.analysis.checks.results.push_back({.column = "age", .rule = "min", .level = "error", .message = "3 below 16"});
  ASSERT_TRUE(add(std::move(broken), "replace", noon + hours(2)));
  ASSERT_TRUE(store->write([&](meta::Tx& tx) { return accept(tx, "customers", 2, "bo", "fine", noon + hours(4)); }));
  const auto then = [&](std::int64_t number, int hour) {
    return store->read([&](meta::Reader& r) { return get_version(r, "customers", number, noon + hours(hour)); });
  };
  EXPECT_EQ(then(2, 1).error().reason, "data.no_version");
  EXPECT_EQ(then(1, -1).error().reason, "data.no_version");
  EXPECT_EQ(then(1, 0)->state, VersionState::ok);
  EXPECT_EQ(then(2, 3)->state, VersionState::failed);
  EXPECT_EQ(then(2, 3)->state_reason, "age: min: 3 below 16");
  EXPECT_EQ(then(2, 3)->state_by, "");
  EXPECT_EQ(then(2, 4)->state, VersionState::accepted);
  EXPECT_EQ(then(2, 4)->state_reason, "fine");
  const auto states = [&](int hour) {
    std::string out;
    for (const auto& v : *store->read([&](meta::Reader& r) { return list_versions(r, "", noon + hours(hour)); }))
      out += std::format("{}{} ", v.number, state_name(v.state));
    const auto head = *store->read([&](meta::Reader& r) { return head_at(r, "customers", noon + hours(hour)); });
    const auto whole = *store->read([&](meta::Reader& r) { return version_at(r, "customers", noon + hours(hour)); });
    EXPECT_EQ(head ? head->state : VersionState::ok, whole ? whole->state : VersionState::ok);
    return out + (head ? std::to_string(head->number) : "-");
  };
  EXPECT_EQ(states(-1), "-");
  EXPECT_EQ(states(1), "1ok 1");
  EXPECT_EQ(states(3), "2failed 1ok 2");
  EXPECT_EQ(states(5), "2accepted 1ok 2");
}

TEST_F(RecordsTest, NamesOfVersions) {
  EXPECT_EQ(reason_of(store->read([](meta::Reader& r) { return get_version(r, "nobody", 1); })), "data.no_version");
  EXPECT_EQ(parse_dataset_name("customers@3")->number, 3);
  EXPECT_EQ(parse_dataset_name("customers")->number, std::nullopt);
  for (const char* bad : {"", "@3", "customers@", "customers@x", "customers@0", "customers@-1"}) {
    EXPECT_EQ(reason_of(parse_dataset_name(bad)), "data.bad_name") << bad;
  }
}

}  // namespace
}  // namespace millrace::data
