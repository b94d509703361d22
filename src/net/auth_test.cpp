#include "net/auth.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"

namespace millrace::net {
namespace {

constexpr auto O = Access::open, R = Access::read, W = Access::write;
const std::string right = "Bearer a-token-of-sixteen", wrong = "Bearer a-token-of-sixteem";

TEST(Auth, DecidesAsTheTableSays) {
  struct Case {
    Access access;
    bool token_required;
    std::string authorization, host, origin, site, reason;
  };
  const std::string foreign_host = "net.foreign_host", foreign = "net.foreign_origin", bad = "net.bad_token",
                    needed = "net.token_needed";
  for (const auto& c : std::vector<Case>{
           // on loopback, without a token: curl and clients
           {R, false, "", "localhost:8080", "", "", ""},
           {W, false, "", "localhost:8080", "", "", ""},
           {W, false, "", "LOCALHOST", "", "", ""},
           {W, false, "", "127.0.0.1:8080", "", "", ""},
           {W, false, "", "127.8.0.2:8080", "", "", ""},
           {W, false, "", "[::1]:8080", "", "", ""},
           {W, false, "", "mill.lan:8080", "", "", ""},  // in hosts
           {W, false, "", "", "", "", foreign_host},
           // DNS rebinding: the attacker's name resolves to 127.0.0.1
           {R, false, "", "evil.example", "", "", foreign_host},
           {W, false, "", "evil.example:8080", "http://evil.example:8080", "same-origin", foreign_host},
           {W, false, "", "localhost.evil.example", "", "", foreign_host},
           {W, false, "", "127.0.0.1.evil.example:8080", "", "", foreign_host},
           {R, false, "", "127.evil.example", "", "", foreign_host},
           {R, false, "", "127.0.0.1x", "", "", foreign_host},
           {R, false, "", "127.0.1", "", "", foreign_host},
           {W, false, "", "[::1].evil.example", "", "", foreign_host},
           {O, false, "", "evil.example", "", "", ""},
           // CSRF: another site's page posts to localhost
           {W, false, "", "localhost:8080", "https://evil.example", "cross-site", foreign},
           {W, false, "", "localhost:8080", "null", "", foreign},
           {W, false, "", "localhost:8080", "http://localhost:3000", "same-site", foreign},
           {W, false, "", "localhost:8080", "", "cross-site", foreign},
           {W, false, "", "localhost:8080", "", "same-site", foreign},
           {W, false, "", "localhost:8080", "http://localhost:8080.evil.example", "", foreign},
           {R, false, "", "localhost:8080", "https://evil.example", "cross-site", ""},  // it cannot read the answer
           // our own console, and a page whose host is listed
           {W, false, "", "localhost:8080", "http://localhost:8080", "same-origin", ""},
           {W, false, "", "localhost:8080", "", "none", ""},
           {W, false, "", "localhost:8080", "https://mill.lan", "cross-site", ""},
           // a token speaks for itself, wherever it comes from
           {W, false, right, "evil.example", "https://evil.example", "cross-site", ""},
           {W, false, wrong, "localhost", "", "", bad},
           {R, false, "Basic YTpi", "localhost", "", "", bad},
           {R, false, "Bearer ", "localhost", "", "", bad},
           {W, true, "bearer a-token-of-sixteen", "10.0.0.7:8080", "", "", ""},
           // beyond loopback
           {R, true, "", "localhost", "", "", needed},
           {W, true, "", "10.0.0.7:8080", "", "", needed},
           {W, true, wrong, "10.0.0.7:8080", "", "", bad},
           {W, true, right, "10.0.0.7:8080", "", "", ""},
           {O, true, "", "10.0.0.7:8080", "", "", ""},
       }) {
    AuthPolicy policy{.token_required = c.token_required, .token = Secret("a-token-of-sixteen"), .hosts = {"mill.lan"}};
    auto verdict = authorize({c.access, c.authorization, c.host, c.origin, c.site}, policy);
    EXPECT_EQ(verdict ? "" : verdict.error().reason, c.reason)
        << int(c.access) << c.token_required << " auth=" << c.authorization << " host=" << c.host
        << " origin=" << c.origin << " site=" << c.site;
  }
}

TEST(Auth, AnAllowedOriginIsNoForeignOne) {
  AuthFacts facts{
      .access = W, .host = "localhost", .origin = "https://app.example.com", .sec_fetch_site = "cross-site"};
  EXPECT_EQ(authorize(facts, {}).error().reason, "net.foreign_origin");
  facts.origin_allowed = true;
  EXPECT_TRUE(authorize(facts, {}));
  facts.host = "evil.org";  // its name points here: it is not the page that we were told of
  EXPECT_EQ(authorize(facts, {}).error().reason, "net.foreign_host");
}

TEST(Auth, ANamedTokenOpensWhatItsRightsSay) {
  constexpr auto admin = Right::admin, predict = Right::predict, metrics = Right::metrics, predictor = Right::predictor;
  const TokenTable tokens({{sha256("token-of-web"), "web", {predict}},
                           {sha256("token-of-grafana"), "grafana", {metrics}},
                           {sha256("token-of-ops"), "ops", {admin}},
                           {sha256("token-of-edge"), "edge", {predictor, predict}},
                           {sha256("token-of-nobody"), "nobody", {}}});
  const std::string needed = "net.right_needed", bad = "net.bad_token";
  struct Case {
    std::string token;
    Access access;
    Right right;
    std::string reason;
  };
  for (const auto& c : std::vector<Case>{
           {"token-of-web", W, predict, ""},         {"token-of-web", R, predict, ""},
           {"token-of-web", R, metrics, needed},     {"token-of-web", R, admin, needed},
           {"token-of-web", W, predictor, needed},   {"token-of-web", O, admin, ""},
           {"token-of-grafana", R, metrics, ""},     {"token-of-grafana", W, predict, needed},
           {"token-of-grafana", R, admin, needed},   {"token-of-ops", W, admin, ""},
           {"token-of-ops", R, metrics, ""},  // who may do everything else may see how it goes
           {"token-of-ops", W, predict, needed},     {"token-of-ops", W, predictor, needed},
           {"token-of-edge", W, predictor, ""},      {"token-of-edge", W, predict, ""},
           {"token-of-edge", W, admin, needed},      {"token-of-nobody", R, metrics, needed},
           {"token-of-nobody", O, metrics, ""},      {"token-of-we", W, predict, bad},
           {"token-of-webb", W, predict, bad},       {"", W, predict, bad},
           {"a-token-of-sixteen", W, admin, ""},  // the one that has all rights
           {"a-token-of-sixteen", W, predict, ""},   {"a-token-of-sixteen", R, metrics, ""},
           {"a-token-of-sixteen", W, predictor, ""},
       }) {
    for (const bool required : {true, false}) {  // a token that is sent is held to, also where none is needed
      const AuthPolicy policy{.token_required = required, .token = Secret("a-token-of-sixteen")};
      const auto verdict = authorize({.access = c.access,
                                      .authorization = "Bearer " + c.token,
                                      .host = "evil.example",
                                      .origin = "https://evil.example",
                                      .right = c.right,
                                      .what = "/x"},
                                     policy, tokens);
      EXPECT_EQ(verdict ? "" : verdict.error().reason, c.reason) << c.token << " for " << name_of(c.right);
      if (c.reason != needed) continue;
      EXPECT_EQ(verdict.error().code, Code::permission_denied);
      EXPECT_NE(verdict.error().message.find("'" + std::string(name_of(c.right)) + "'"), std::string::npos);
      EXPECT_NE(verdict.error().message.find(c.token.substr(9)), std::string::npos) << verdict.error().message;
      EXPECT_EQ(verdict.error().message.find(c.token), std::string::npos) << "the token itself is nobody's business";
    }
  }
  EXPECT_EQ(authorize({.authorization = "Basic token-of-ops"}, {}, tokens).error().reason, bad);
  EXPECT_EQ(authorize({.authorization = "Bearer " + sha256("token-of-ops").hex()}, {}, tokens).error().reason, bad);
}

TEST(Auth, TheTokensOfTheMomentCount) {
  const auto live = std::make_shared<LiveTokens>();
  const AuthPolicy policy{.token_required = true, .tokens = live};
  const AuthFacts facts{.authorization = "Bearer token-of-ops", .what = "/x"};
  EXPECT_EQ(authorize_now(facts, policy).error().reason, "net.bad_token");
  ASSERT_TRUE(live->replace([] { return std::vector<NamedToken>{{sha256("token-of-ops"), "ops", {Right::admin}}}; }));
  EXPECT_TRUE(authorize_now(facts, policy));
  ASSERT_FALSE(live->replace([] { return fail(Code::unavailable, "x", "the records can't be read"); }));
  EXPECT_TRUE(authorize_now(facts, policy)) << "what can't be read changes nothing";
  ASSERT_TRUE(live->replace([] { return std::vector<NamedToken>{}; }));
  EXPECT_EQ(authorize_now(facts, policy).error().reason, "net.bad_token");
}

TEST(Auth, RightsHaveNames) {
  for (const auto each : kRights) EXPECT_EQ(parse_right(name_of(each)), each);
  EXPECT_EQ(parse_right("root"), std::nullopt);
  EXPECT_EQ(parse_right(""), std::nullopt);
  const auto two = parse_rights({"metrics", "predict", "metrics"});
  ASSERT_TRUE(two);
  EXPECT_EQ(two->names(), (std::vector<std::string>{"predict", "metrics"}));
  EXPECT_EQ(parse_rights({}).error().reason, "net.bad_right");
  EXPECT_EQ(parse_rights({"predict", "metric"}).error().reason, "net.bad_right");
  EXPECT_NE(parse_rights({"metric"}).error().message.find("'metrics'"), std::string::npos);
}

TEST(Auth, TokensAreLongAndNeverTheSame) {
  SystemRng rng;
  const auto one = make_token(rng), other = make_token(rng);
  EXPECT_EQ(one.reveal().size(), 67u);
  EXPECT_NE(one.reveal(), other.reveal());
}

TEST(Auth, NoTokenConfiguredMeansNoTokenIsRight) {
  for (std::string text : {"Bearer ", "Bearer", "Bearer x", ""}) {
    AuthPolicy policy{.token_required = true};
    EXPECT_FALSE(authorize({.access = R, .authorization = text, .host = "localhost"}, policy)) << text;
  }
}

TEST(Auth, KnowsLoopback) {
  for (auto host : {"localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"}) EXPECT_TRUE(is_loopback(host)) << host;
  for (auto host : {"0.0.0.0", "::", "10.0.0.1", "example.com", ""}) EXPECT_FALSE(is_loopback(host)) << host;
}

class TokenFile : public ::testing::Test {
 protected:
  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SeededRng rng{7};
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env{fs, clock, rng, faults, *log};
};

TEST_F(TokenFile, IsMadeOnceForItsOwnerOnly) {
  auto path = dir.path("keys/token");
  auto made = load_or_make_token(path, env);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_GE(made->reveal().size(), 32u);
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto again = load_or_make_token(path, env);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->reveal(), made->reveal());
  EXPECT_NE(load_or_make_token(dir.path("other"), env)->reveal(), made->reveal());
}

TEST_F(TokenFile, IsWholeOrNotThereWhenItsMakerDies) {
  auto path = dir.path("token");
  for (const auto* point : {"net.token.before_write", "net.token.before_rename"}) {
    ASSERT_TRUE(faults.arm(std::string(point) + "=error"));
    EXPECT_EQ(load_or_make_token(path, env).error().reason, "fault.injected");
    ASSERT_TRUE(faults.arm(""));
  }
  auto made = load_or_make_token(path, env);
  ASSERT_TRUE(made) << made.error().message;
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(load_or_make_token(path, env)->reveal(), made->reveal());
}

TEST_F(TokenFile, IsRefusedWhenOthersCanReadItOrItIsShort) {
  auto path = dir.path("token");
  ASSERT_TRUE(write_file(fs, path, "a-token-of-sixteen\n"));
  ::chmod(path.c_str(), 0640);
  EXPECT_EQ(load_or_make_token(path, env).error().reason, "net.token_exposed");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(load_or_make_token(path, env)->reveal(), "a-token-of-sixteen");
  ASSERT_TRUE(write_file(fs, path, "short\n"));
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(load_or_make_token(path, env).error().reason, "net.token_short");
}

}  // namespace
}  // namespace millrace::net
