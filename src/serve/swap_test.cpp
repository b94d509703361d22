#include "serve/swap.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace millrace::serve {
namespace {

using Kind = SwapAction::Kind;
constexpr SteadyPoint now{std::chrono::seconds(100)};
constexpr SteadyPoint later{std::chrono::seconds(101)};

struct Case {
  const char* name;
  std::vector<VersionState> versions;
  WantedVersions wanted;
  std::optional<SwapAction> expected;
};

TEST(NextSwap, Table) {
  std::vector<Case> cases = {
      {"nothing wanted, nothing there", {}, {}, std::nullopt},
      {"first version is loaded", {}, {1, {}}, SwapAction{Kind::load, 1}},
      {"a loaded wanted version takes over", {{1, true, false}}, {1, {}}, SwapAction{Kind::swap, 1}},
      {"serving what is wanted", {{1, true, true}}, {1, {}}, std::nullopt},
      {"the new one is loaded beside the old", {{1, true, true}}, {2, 1}, SwapAction{Kind::load, 2}},
      {"then swapped in", {{1, true, true}, {2, true, false}}, {2, 1}, SwapAction{Kind::swap, 2}},
      {"previous stays", {{1, true, false}, {2, true, true}}, {2, 1}, std::nullopt},
      {"previous is loaded after a restart", {{2, true, true}}, {2, 1}, SwapAction{Kind::load, 1}},
      {"what nobody wants goes",
       {{1, true, false}, {2, true, false}, {3, true, true}},
       {3, 2},
       SwapAction{Kind::unload, 1}},
      {"a failed load waits", {{1, true, true}, {2, false, false, 1, later}}, {2, 1}, std::nullopt},
      {"and is tried again", {{1, true, true}, {2, false, false, 1, now}}, {2, 1}, SwapAction{Kind::load, 2}},
      {"a failed current does not hold up previous", {{2, false, false, 1, later}}, {2, 1}, SwapAction{Kind::load, 1}},
      {"the serving one stays though unwanted", {{1, true, true}, {2, false, false, 3, later}}, {2, {}}, std::nullopt},
      {"a failed version nobody wants is forgotten",
       {{1, true, true}, {2, false, false, 3, later}},
       {1, {}},
       SwapAction{Kind::unload, 2}},
      {"others are loaded too", {{3, true, true}, {2, true}}, {3, 2, {1}}, SwapAction{Kind::load, 1}},
      {"and stay", {{3, true, true}, {2, true}, {1, true}}, {3, 2, {1}}, std::nullopt},
      {"a failed current lets nobody else answer", {{3, false, false, 1, later}, {2, true}}, {3, 2}, std::nullopt},
      {"but where that is wanted",
       {{3, false, false, 1, later}, {2, true}},
       {3, 2, {1}, true},
       SwapAction{Kind::swap, 2}},
      {"the next best where that failed too",
       {{3, false, false, 1, later}, {2, false, false, 1, later}, {1, true}},
       {3, 2, {1}, true},
       SwapAction{Kind::swap, 1}},
      {"who answers gives way to a better one",
       {{3, false, false, 1, later}, {2, true}, {1, true, true}},
       {3, 2, {1}, true},
       SwapAction{Kind::swap, 2}},
      {"but not to an older one",
       {{3, false, false, 1, later}, {2, true, true}, {1, true}},
       {3, 2, {1}, true},
       std::nullopt},
      {"nor while it is wanted no more: its number has other content now, which can't be loaded",
       {{9, true, true}, {3, false, false, 1, later}, {2, true}},
       {3, 2, {}, true},
       std::nullopt},
      {"the wanted one takes over when it is there",
       {{3, true}, {2, true, true}},
       {3, 2, {}, true},
       SwapAction{Kind::swap, 3}},
      {"rollback is one swap", {{1, true, false}, {2, true, true}}, {1, 2}, SwapAction{Kind::swap, 1}},
  };
  for (const auto& c : cases) EXPECT_EQ(next_swap(c.versions, c.wanted, now), c.expected) << c.name;
}

TEST(NextSwap, BackoffGrowsToAMinute) {
  EXPECT_EQ(load_backoff(1), std::chrono::seconds(1));
  EXPECT_EQ(load_backoff(3), std::chrono::seconds(4));
  EXPECT_EQ(load_backoff(40), std::chrono::seconds(60));
}

}  // namespace
}  // namespace millrace::serve
