#include "access/tokens.hpp"

#include <gtest/gtest.h>

#include "meta/testing/temp_store.hpp"

namespace millrace::access {
namespace {

class Tokens : public ::testing::Test {
 protected:
  const std::vector<meta::Migration> tables = migrations();
  meta::TempStore store{tables};

  Result<std::int64_t> add(const std::string& name, std::vector<std::string> rights = {"predict"}) {
    Token token{.name = name, .digest = sha256("token " + std::to_string(made_++)), .rights = std::move(rights)};
    token.made = store.clock.now();
    token.made_by = "ada";
    return store->write([&](meta::Tx& tx) { return add_token(tx, token); });
  }
  Result<Token> revoke(const std::string& name) {
    return store->write([&](meta::Tx& tx) { return revoke_token(tx, name, store.clock.now(), "eve"); });
  }
  std::vector<Token> list(bool only_live) {
    auto out = store->read([&](meta::Reader& reader) { return list_tokens(reader, only_live); });
    EXPECT_TRUE(out) << out.error().message;
    return out.value_or({});
  }

 private:
  int made_ = 0;
};

TEST_F(Tokens, AreKeptWithTheirRightsAndWhoMadeThem) {
  ASSERT_TRUE(add("web", {"predict", "metrics"}));
  store.reopen();
  const auto all = list(false);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].name, "web");
  EXPECT_EQ(all[0].digest, sha256("token 0"));
  EXPECT_EQ(all[0].rights, (std::vector<std::string>{"predict", "metrics"}));
  EXPECT_EQ(all[0].made_by, "ada");
  EXPECT_EQ(all[0].made, store.clock.now());
  EXPECT_TRUE(all[0].live());
}

TEST_F(Tokens, AreRevokedOnceAndRemembered) {
  ASSERT_TRUE(add("web"));
  ASSERT_TRUE(add("grafana", {"metrics"}));
  ASSERT_TRUE(revoke("web"));
  EXPECT_EQ(revoke("web").error().reason, "access.no_token");
  EXPECT_EQ(revoke("grafan").error().reason, "access.no_token");
  EXPECT_NE(revoke("grafan").error().message.find("grafana"), std::string::npos);
  const auto live = list(true), all = list(false);
  ASSERT_EQ(live.size(), 1u);
  EXPECT_EQ(live[0].name, "grafana");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].name, "web");
  EXPECT_EQ(all[1].revoked_by, "eve");
  EXPECT_FALSE(all[1].live());
}

TEST_F(Tokens, HaveANameOfTheirOwnWhileTheyLive) {
  ASSERT_TRUE(add("web"));
  EXPECT_EQ(add("web").error().reason, "access.name_taken");
  ASSERT_TRUE(revoke("web"));
  EXPECT_TRUE(add("web"));
  EXPECT_EQ(list(false).size(), 2u);
  EXPECT_EQ(list(true).size(), 1u);
}

TEST_F(Tokens, HaveNamesThatPathsAndTerminalsCanCarry) {
  for (const auto* name : {"a", "web-shop", "Web_2.b"}) EXPECT_TRUE(add(name)) << name;
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a/b"), std::string("\x1b[2J"),
                                  std::string("ä"), std::string(65, 'a')})
    EXPECT_EQ(add(name).error().reason, "access.bad_name") << name;
}

}  // namespace
}  // namespace millrace::access
