#include "registry/registry.hpp"

#include <gtest/gtest.h>

#include <atomic>
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
