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
