#include "loop/fleet.hpp"

#include <gtest/gtest.h>

#include "loop/fleet_records.hpp"
#include "loop/service.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::loop {
namespace {

using namespace std::chrono_literals;

serve::WantedModel wanted_version(std::int64_t number) {
  serve::WantedModel model{.name = "m"};
  model.current = serve::VersionRef{number, sha256(std::to_string(number))};
  return model;
}

struct Wishes final : serve::WantedSource {
  std::vector<serve::WantedModel> models{wanted_version(1)};
  Result<std::vector<serve::WantedModel>> wanted() override { return models; }
};

class FleetTest : public testing::Test {
 protected:
  FleetTest() { open(); }
  void open() { fleet = *Fleet::open(*env, *store, wishes); }
  FleetReport report(std::int64_t serving, std::int64_t asked = 0, const std::string& process = "p1") {
    FleetReport out{.name = "one", .address = "http://x", .process = process};
    if (const auto wish = fleet->newest()) out.wish = wish->number, out.wish_digest = wish->digest;
    out.models = {{.name = "m", .serving = serving}};
    out.models[0].versions = {{.version = serving, .loaded = true, .asked = asked}};
    return out;
  }

  meta::TempStore store{all_migrations()};
  std::optional<Env> env{store.env()};
  Wishes wishes;
  std::unique_ptr<Fleet> fleet;
};

TEST_F(FleetTest, AWishHasANumberUntilItChanges) {
  EXPECT_EQ(fleet->newest(), nullptr);
  EXPECT_EQ((*fleet->look())->number, 1);
  EXPECT_EQ((*fleet->look())->number, 1);
  wishes.models[0].log_share = 0.5;
  EXPECT_EQ((*fleet->look())->number, 2);
  open();
  EXPECT_EQ((*fleet->look())->number, 2);  // a restart is no change
  wishes.models[0].log_share = 1;
  EXPECT_EQ((*fleet->look())->number, 3);  // back to what it was, but not to the number
}

TEST_F(FleetTest, EachPartOfAWishIsPartOfItsDigest) {
  const auto digest = [](auto change) {
    auto models = std::vector{wanted_version(3)};
    models[0].release = serve::WantedRelease{"r", {4, sha256("4")}, 0.5, false};
    models[0].watched = serve::Watched{"m", "r", 4, 3, TimePoint{1s}, TimePoint{2s}, 10};
    change(models[0]);
    return wish_digest(models);
  };
  const std::vector<std::function<void(serve::WantedModel&)>> changes = {
      [](auto&) {},
      [](auto& m) { m.name = "n"; },
      [](auto& m) { m.current->number = 9; },
      [](auto& m) { m.current->artifact = sha256("9"); },
      [](auto& m) { m.previous = m.current; },
      [](auto& m) { m.refuse_unlogged = true; },
      [](auto& m) { m.log_share = 0.1; },
      [](auto& m) { m.probation = true; },
      [](auto& m) { m.release->weight = 0.6; },
      [](auto& m) { m.release->shadow = true; },
      [](auto& m) { m.release.reset(); },
      [](auto& m) { m.watched->requests = 11; },
      [](auto& m) { m.watched->watched_until = TimePoint{3s}; },
  };
  std::set<std::string> all;
  for (const auto& change : changes) all.insert(digest(change));
  EXPECT_EQ(all.size(), changes.size());
}

TEST_F(FleetTest, SaysWhoIsBehind) {
  ASSERT_TRUE(fleet->look());
  EXPECT_TRUE(fleet->behind().empty());
  ASSERT_TRUE(fleet->hear("a", report(1)));
  EXPECT_TRUE(fleet->list().at(0).reached);
  wishes.models = {wanted_version(2)};
  ASSERT_TRUE(fleet->look());
  EXPECT_EQ(fleet->behind(), std::vector<std::string>{"one"});
  ASSERT_TRUE(fleet->hear("a", report(1)));  // it has the wish, and the old version answers still
  EXPECT_EQ(fleet->behind(), std::vector<std::string>{"one"});
  ASSERT_TRUE(fleet->hear("a", report(2)));
  EXPECT_TRUE(fleet->behind().empty());
  EXPECT_TRUE(fleet->wants(sha256("2")));
  EXPECT_FALSE(fleet->wants(sha256("1")));
}

TEST_F(FleetTest, OneThatIsNotHeardOfIsNotWaitedFor) {
  ASSERT_TRUE(fleet->look());
  ASSERT_TRUE(fleet->hear("a", report(0)));
  EXPECT_EQ(fleet->behind().size(), 1u);
  store.clock.advance(Fleet::kConnected);
  EXPECT_TRUE(fleet->behind().empty());
  fleet->waits("a");
  EXPECT_EQ(fleet->behind().size(), 1u);
  open();  // known after a restart, but as one that was not heard of since
  ASSERT_EQ(fleet->list().size(), 1u);
  EXPECT_FALSE(fleet->list()[0].connected);
  EXPECT_EQ(fleet->list()[0].report.name, "one");
}

TEST_F(FleetTest, RequestsAreCountedOnceWhateverRestarts) {
  const auto asked = [&] { return fleet->seen("m", 1).counts.asked; };
  ASSERT_TRUE(fleet->look());
  ASSERT_TRUE(fleet->hear("a", report(1, 100)));
  EXPECT_EQ(asked(), 0);  // from before this process
  ASSERT_TRUE(fleet->hear("a", report(1, 130)));
  EXPECT_EQ(asked(), 30);
  ASSERT_TRUE(fleet->hear("a", report(1, 5, "p2")));
  EXPECT_EQ(asked(), 35);
  ASSERT_TRUE(fleet->hear("a", report(1, 2, "p2")));  // loaded anew
  EXPECT_EQ(asked(), 37);
}

TEST_F(FleetTest, HowFarALogIsTakenIsRemembered) {
  const auto take = [&](const std::string& segment, std::int64_t to) {
    EXPECT_TRUE(store->write([&](meta::Tx& tx) { return put_log_accepted(tx, "a", segment, to, store.clock.now()); }));
    store.clock.advance(1s);
  };
  const auto taken = [&](const std::string& segment) {
    return store->read([&](meta::Reader& reader) { return log_accepted(reader, "a", segment); }).value();
  };
  take("1-5", 64);
  take("1-5", 128);
  EXPECT_EQ(taken("1-5"), 128);
  EXPECT_EQ(taken("1-6"), 0);
  for (int i = 0; i < 63; ++i) take(std::to_string(i), 1);
  EXPECT_EQ(taken("1-5"), 128);
  take("last", 1);
  EXPECT_EQ(taken("1-5"), 0);
}

}  // namespace
}  // namespace millrace::loop
