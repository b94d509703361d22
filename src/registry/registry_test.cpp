#include "registry/registry.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <format>
#include <mutex>
#include <set>
#include <thread>

#include "meta/testing/temp_store.hpp"

namespace millrace::registry {
namespace {

constexpr TimePoint noon{std::chrono::hours(12)};

class RegistryTest : public testing::Test {
 protected:
  meta::TempStore store{migrations()};

  Result<ModelVersion> add(VerdictState verdict, bool baseline = false) {
    return store->write([&](meta::Tx& tx) {
      ModelVersion version;
      version.model = "churn";
      version.artifact = std::string(64, 'a');
      version.bytes = 10;
      version.verdict = verdict;
      version.created = noon;
      return add_version(tx, version, baseline);
    });
  }
  Result<Promotion> promote_to(std::int64_t number, const Actor& by) {
    return store->write([&](meta::Tx& tx) { return promote(tx, "churn", number, by, noon); });
  }
  std::optional<std::int64_t> points_at(std::string_view name) {
    auto move = store->read([&](meta::Reader& reader) { return alias(reader, "churn", name); });
    return *move ? std::optional((*move)->version) : std::nullopt;
  }
};

TEST_F(RegistryTest, NumbersHaveNoGapsAndNoDoublesUnderConcurrency) {
  std::mutex mutex;
  std::multiset<std::int64_t> numbers;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 25; ++i) {
          auto version = add(VerdictState::passed);
          ASSERT_TRUE(version) << version.error().message;
          std::lock_guard lock(mutex);
          numbers.insert(version->number);
        }
      });
    }
  }
  ASSERT_EQ(numbers.size(), 200u);
  std::int64_t expected = 1;
  for (auto number : numbers) EXPECT_EQ(number, expected++);
}

TEST_F(RegistryTest, AFailedVersionNeedsAReasonAndKeepsIt) {
  ASSERT_TRUE(add(VerdictState::failed));
  auto refused = promote_to(1, {"ana", ""});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "registry.gate_not_passed");
  EXPECT_EQ(points_at(current_alias), std::nullopt);

  ASSERT_TRUE(promote_to(1, {"ana", "the gate is wrong, see the mail of Monday"}));
  EXPECT_EQ(points_at(current_alias), 1);
  auto version = store->read([&](meta::Reader& reader) { return get_version(reader, "churn", 1); });
  EXPECT_EQ(version->verdict, VerdictState::overridden);
  EXPECT_EQ(version->override_by, "ana");
}

TEST_F(RegistryTest, PromoteAndRollBackMoveBothAliases) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(add(VerdictState::passed));
  auto no_previous = store->write([&](meta::Tx& tx) { return rollback(tx, "churn", {"ana", ""}, noon); });
  EXPECT_EQ(no_previous.error().reason, "registry.no_previous");
  ASSERT_TRUE(promote_to(1, {"rule", ""}));
  EXPECT_EQ(points_at(previous_alias), std::nullopt);
  ASSERT_TRUE(promote_to(2, {"rule", ""}));
  EXPECT_EQ(points_at(current_alias), 2);
  EXPECT_EQ(points_at(previous_alias), 1);
  auto again = promote_to(2, {"rule", ""});
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(points_at(previous_alias), 1) << "repeating changes nothing";
  auto back = store->write([&](meta::Tx& tx) { return rollback(tx, "churn", {"ana", "worse"}, noon); });
  ASSERT_TRUE(back);
  EXPECT_EQ(points_at(current_alias), 1);
  EXPECT_EQ(points_at(previous_alias), 2);
  auto history = store->read([&](meta::Reader& reader) { return alias_history(reader, "churn"); });
  EXPECT_EQ(history->size(), 5u);
  EXPECT_EQ(history->front().by, "ana");
}

TEST_F(RegistryTest, EveryChangeIsAnnouncedOnce) {
  ASSERT_TRUE(add(VerdictState::passed));
  ASSERT_TRUE(promote_to(1, {"rule", ""}));
  ASSERT_TRUE(promote_to(1, {"rule", ""}));
  auto events = store->outbox_after(0, 100);
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].event.subject, "model.version");
  EXPECT_EQ((*events)[1].event.subject, "model.alias");
}

TEST_F(RegistryTest, TheFirstBaselineStays) {
  auto first = add(VerdictState::passed, true);
  auto second = add(VerdictState::failed, true);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(second->number, 0);
  EXPECT_EQ(second->verdict, VerdictState::passed);
  EXPECT_EQ(add(VerdictState::passed)->number, 1);
}

TEST_F(RegistryTest, MissingThingsSayWhatIsThere) {
  auto none = store->read([&](meta::Reader& reader) { return get_version(reader, "churn", 1); });
  EXPECT_EQ(none.error().reason, "registry.no_model");
  ASSERT_TRUE(add(VerdictState::passed));
  auto no_version = store->read([&](meta::Reader& reader) { return get_version(reader, "churn", 7); });
  EXPECT_EQ(no_version.error().reason, "registry.no_version");
}

TEST_F(RegistryTest, AsOfAMomentNothingOfWhatCameLater) {
  using std::chrono::hours;
  const auto at_hour = [](int hour) { return TimePoint(hours(hour)); };
  const auto made = [&](int hour, VerdictState verdict, bool baseline = false) {
    ASSERT_TRUE(store->write([&](meta::Tx& tx) {
      ModelVersion version;
      version.model = "churn";
      version.verdict = verdict;
      version.created = at_hour(hour);
      return add_version(tx, version, baseline);
    }));
  };
  const auto moved = [&](int hour, std::int64_t number, const std::string& reason) {
    ASSERT_TRUE(
        store->write([&](meta::Tx& tx) { return promote(tx, "churn", number, {"ana", reason}, at_hour(hour)); }));
  };
  made(1, VerdictState::failed, true);
  made(2, VerdictState::passed);
  moved(3, 1, "");
  made(4, VerdictState::failed);
  moved(6, 2, "the gate is wrong");
  ASSERT_TRUE(store->write([&](meta::Tx& tx) { return rollback(tx, "churn", {"bo", ""}, at_hour(8)); }));
  moved(10, 2, "");

  struct Case {
    int hour;
    std::string versions;  // number and verdict, newest first
    std::string aliases;   // current previous moves
  };
  const Case cases[] = {
      {0, "", "- - 0"},
      {1, "0 failed ", "- - 0"},
      {2, "1 passed 0 failed ", "- - 0"},
      {3, "1 passed 0 failed ", "1 - 1"},
      {5, "2 failed 1 passed 0 failed ", "1 - 1"},
      {6, "2 overridden 1 passed 0 failed ", "2 1 3"},
      {8, "2 overridden 1 passed 0 failed ", "1 2 5"},
      {10, "2 overridden 1 passed 0 failed ", "2 1 7"},
  };
  for (const auto& c : cases) {
    const auto at = at_hour(c.hour);
    ASSERT_TRUE(store->read([&](meta::Reader& reader) -> Result<void> {
      std::string versions, aliases;
      TRY(const auto listed, list_versions(reader, "churn", at));
      EXPECT_EQ(*count_versions(reader, "churn", at), static_cast<std::int64_t>(listed.size()));
      TRY(const auto second, list_versions(reader, "churn", at, {.limit = 1, .offset = 1}));
      EXPECT_EQ(second.size(), listed.size() > 1 ? 1u : 0u);
      if (!second.empty()) EXPECT_EQ(second[0].number, listed[1].number);
      TRY(const auto newest, alias_history(reader, "churn", at, {.limit = 1}));
      EXPECT_LE(newest.size(), 1u);
      for (const auto& version : listed) {
        versions += std::format("{} {} ", version.number, verdict_name(version.verdict));
        TRY(const auto one, get_version(reader, "churn", version.number, at));
        EXPECT_EQ(one.verdict, version.verdict);
        EXPECT_EQ(one.override_by, one.verdict == VerdictState::overridden ? "ana" : "");
        EXPECT_EQ(one.override_reason, one.verdict == VerdictState::overridden ? "the gate is wrong" : "");
      }
      for (auto name : {current_alias, previous_alias}) {
        TRY(const auto move, alias(reader, "churn", name, at));
        aliases += move ? std::format("{} ", move->version) : "- ";
      }
      TRY(const auto moves, alias_history(reader, "churn", at));
      EXPECT_EQ(versions, c.versions) << c.hour;
      EXPECT_EQ(aliases + std::to_string(moves.size()), c.aliases) << c.hour;
      return {};
    }));
  }
  const auto then = [&](std::int64_t number, int hour) {
    return store->read([&](meta::Reader& reader) { return get_version(reader, "churn", number, at_hour(hour)); });
  };
  EXPECT_EQ(then(1, 0).error().reason, "registry.no_model");
  EXPECT_EQ(then(2, 3).error().reason, "registry.no_version");
  EXPECT_EQ(then(2, 3).error().message.find("(the newest was 2)"), std::string::npos) << "it was not there yet";
}

TEST(ToLetGo, KeepsTheNewestAndWhatIsInUse) {
  std::vector<ModelVersion> versions;
  for (int i = 5; i >= 0; --i) {
    versions.emplace_back();
    versions.back().number = i;
  }
  using Numbers = std::vector<std::int64_t>;
  EXPECT_EQ(to_let_go(versions, 5, 4, std::nullopt), Numbers{});
  EXPECT_EQ(to_let_go(versions, 5, 4, 2), (Numbers{3, 2, 1}));
  EXPECT_EQ(to_let_go(versions, 2, 1, 1), (Numbers{4, 3}));
  EXPECT_EQ(to_let_go(versions, 5, 4, 0), (Numbers{3, 2, 1})) << "the newest always stays";
  versions[3].bytes_kept = false;
  EXPECT_EQ(to_let_go(versions, 5, 4, 2), (Numbers{3, 1}));
}

TEST(VersionNames, Table) {
  EXPECT_EQ(parse_version_name("churn")->number, std::nullopt);
  EXPECT_EQ(parse_version_name("churn:3")->number, 3);
  EXPECT_EQ(parse_version_name("churn:baseline")->number, 0);
  for (auto bad : {"", ":3", "churn:", "churn:x", "churn:-1", "churn:3x"}) {
    EXPECT_FALSE(parse_version_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace millrace::registry
