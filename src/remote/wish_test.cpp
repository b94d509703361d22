#include "remote/wish.hpp"

#include <gtest/gtest.h>

#include "base/fs.hpp"
#include "base/testing/env.hpp"

namespace millrace::remote {
namespace {

api::Wish a_wish(std::int64_t number) {
  api::WishModel model{.name = "m", .log_share = 0.25, .probation = true};
  model.current = api::WishVersion{3, sha256("3").hex()};
  model.previous = api::WishVersion{2, sha256("2").hex()};
  model.release = api::WishRelease{"r", {4, sha256("4").hex()}, 0.5, true};
  model.watched = api::WishWatched{"r", 4, 3, "2026-01-02T03:04:05.000006Z", "2026-01-02T03:05:05Z", 7};
  return {number, "d", true, {model}};
}

TEST(Wish, ComesAsItWasSent) {
  const auto held = from_wire(a_wish(5));
  ASSERT_TRUE(held);
  const auto& model = held->models.at(0);
  EXPECT_EQ(held->number, 5);
  EXPECT_EQ(model.current, (serve::VersionRef{3, sha256("3")}));
  EXPECT_EQ(model.previous, (serve::VersionRef{2, sha256("2")}));
  EXPECT_EQ(model.log_share, 0.25);
  EXPECT_TRUE(model.probation && model.release->shadow && model.fall_back);
  EXPECT_EQ(model.release->candidate.number, 4);
  EXPECT_EQ(format_time(model.watched->watched_from), "2026-01-02T03:04:05.000006Z");
  EXPECT_EQ(model.watched->requests, 7);
  EXPECT_EQ(artifacts_of(*held).size(), 3u);
  auto bad = a_wish(5);
  bad.models[0].current->artifact = "x";
  EXPECT_EQ(from_wire(bad).error().reason, "remote.bad_wish");
}

TEST(Wish, IsKept) {
  TestEnv t;
  {
    WishKeeper keeper(t.env, t.path("wish.json"));
    EXPECT_EQ(keeper.wanted().error().reason, "remote.no_wish");
    EXPECT_FALSE(keeper.due());
    ASSERT_TRUE(keeper.take(a_wish(5)));
    EXPECT_TRUE(keeper.due());
  }
  WishKeeper keeper(t.env, t.path("wish.json"));
  EXPECT_EQ(keeper.newest().number, 5);
  EXPECT_EQ(keeper.wanted()->at(0).current->number, 3);
  EXPECT_EQ(keeper.served().first, -1);
  ASSERT_TRUE(keeper.take(a_wish(6)));  // while the models of 5 are being loaded
  keeper.done();
  EXPECT_EQ(keeper.served().first, 5);
  EXPECT_TRUE(keeper.due());
  ASSERT_TRUE(keeper.wanted());
  keeper.done();
  EXPECT_EQ(keeper.served().first, 6);
  EXPECT_FALSE(keeper.due());
}

TEST(Wish, ADamagedFileIsNoWish) {
  TestEnv t;
  const auto path = t.path("wish.json");
  auto text = render_kept(a_wish(5));
  const auto at = text.find("0.25");
  ASSERT_NE(at, text.npos);
  text[at + 2] = '3';
  EXPECT_EQ(parse_kept(text).error().reason, "remote.wish_damaged");
  ASSERT_TRUE(write_file(t.env.fs, path, text));
  EXPECT_EQ(WishKeeper(t.env, path).newest().number, -1);
  EXPECT_EQ(parse_kept("").error().reason, "remote.wish_damaged");
  EXPECT_EQ(parse_kept(R"({"format":2,"sha256":"","wish":""})").error().reason, "remote.wish_format");
}

}  // namespace
}  // namespace millrace::remote
