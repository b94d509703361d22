#include "remote/death.hpp"

#include <gtest/gtest.h>

#include "base/fs.hpp"
#include "base/testing/env.hpp"
#include "remote/wish.hpp"

namespace millrace::remote {
namespace {

serve::Death a_death(TestEnv& t) {
  serve::Death death{.signal = 6, .at = t.clock.now(), .watched = {}, .requests = {}};
  death.watched.model = "m";
  death.watched.release = "r";
  death.watched.version = 4;
  death.requests.push_back({IdMaker(t.clock, t.rng).make(), t.clock.now(), 4, 2, false});
  return death;
}

serve::VersionRef ref(std::int64_t number) { return {number, sha256(std::to_string(number))}; }

// Current, previous, and the release's candidate: version 4.
std::vector<serve::WantedModel> beside() {
  serve::WantedModel model{.name = "m"};
  model.current = ref(3);
  model.previous = ref(2);
  model.release = serve::WantedRelease{"r", ref(4), 0.5, false};
  model.watched = serve::Watched{"m", "r", 4, 3, {}, {}, 7};
  return {{.name = "other", .current = ref(4)}, model};
}
std::vector<serve::WantedModel> on_probation() {
  auto wanted = beside();
  wanted[1].release.reset();
  wanted[1].previous = ref(3);
  wanted[1].current = ref(4);
  wanted[1].probation = true;
  return wanted;
}

TEST(Death, IsKeptAndToldAsItWas) {
  TestEnv t;
  const auto path = t.path("death.json");
  EXPECT_FALSE(kept_death(t.env, path));
  const auto death = a_death(t);
  ASSERT_TRUE(keep_death(t.env, path, to_wire(death)));
  const auto kept = kept_death(t.env, path);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->model + kept->release + kept->name, "mrSIGABRT");
  EXPECT_EQ(kept->version, 4);
  EXPECT_EQ(kept->at, format_time(death.at));
  ASSERT_EQ(kept->last_requests.size(), 1u);
  EXPECT_EQ(kept->last_requests[0].prediction, death.requests[0].id.text());
  EXPECT_EQ(kept->last_requests[0].rows, 2);
  EXPECT_FALSE(kept->last_requests[0].answered);
  ASSERT_TRUE(write_file(t.env.fs, path, "{\"format\":1,"));
  EXPECT_FALSE(kept_death(t.env, path));
}

TEST(Death, TheVersionIsLeftOutOfItsRelease) {
  TestEnv t;
  const auto death = to_wire(a_death(t));
  auto wanted = beside();
  leave_out(wanted, death);
  EXPECT_EQ(wanted[1].current, ref(3));
  EXPECT_EQ(wanted[1].previous, ref(2));
  EXPECT_FALSE(wanted[1].release || wanted[1].watched);
  EXPECT_EQ(wanted[0].current, ref(4)) << "of another model";
  wanted = on_probation();
  leave_out(wanted, death);
  EXPECT_EQ(wanted[1].current, ref(3));
  EXPECT_FALSE(wanted[1].previous || wanted[1].watched || wanted[1].probation);
}

TEST(Death, ALaterReleaseOfItIsSomebodysWish) {
  TestEnv t;
  const auto death = to_wire(a_death(t));
  auto wanted = on_probation();
  EXPECT_FALSE(is_over(wanted, death));
  wanted[1].watched->release = "later";
  leave_out(wanted, death);
  EXPECT_EQ(wanted[1].current, ref(4));
  EXPECT_TRUE(is_over(wanted, death));
  wanted[1].watched.reset();  // the server has gone back, and nothing new has come
  EXPECT_FALSE(is_over(wanted, death));
  wanted.pop_back();
  EXPECT_TRUE(is_over(wanted, death));
}

TEST(Death, TheKeeperWantsTheVersionBefore) {
  TestEnv t;
  WishKeeper keeper(t.env, t.path("wish.json"));
  api::WishModel model{.name = "m"};
  model.current = api::WishVersion{4, sha256("4").hex()};
  model.previous = api::WishVersion{3, sha256("3").hex()};
  model.watched = api::WishWatched{"r", 4, 3, "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z", 7};
  ASSERT_TRUE(keeper.take({1, "d", true, {model}}));
  keeper.avoid(to_wire(a_death(t)));
  EXPECT_EQ(keeper.wanted()->at(0).current, ref(3));
  EXPECT_EQ(keeper.newest().models[0].current, ref(4));
  keeper.avoid(std::nullopt);
  EXPECT_EQ(keeper.wanted()->at(0).current, ref(4));
}

}  // namespace
}  // namespace millrace::remote
