#include "net/origins.hpp"

#include <gtest/gtest.h>

#include <map>

#include "base/testing/real_env.hpp"
#include "net/server.hpp"

namespace millrace::net {
namespace {

const std::vector<std::string> two{"https://app.example.com", "http://localhost:3000"};
const std::vector<std::string> all{"*"};

TEST(Origins, SchemeHostAndPortAreTheSame) {
  struct Case {
    std::string origin;
    const std::vector<std::string>& allowed;
    bool want;
  };
  const std::vector<std::string> none, null{"null"};
  for (const auto& [origin, allowed, want] : std::vector<Case>{
           {"https://app.example.com", two, true},
           {"http://localhost:3000", two, true},
           {"HTTPS://APP.example.com", two, true},
           {"http://app.example.com", two, false},
           {"https://app.example.com:8443", two, false},
           {"https://app.example.com.evil.org", two, false},
           {"https://evil-app.example.com", two, false},
           {"https://example.com", two, false},
           {"http://localhost", two, false},
           {"http://localhost:30000", two, false},
           {"null", two, false},
           {"", two, false},
           {"*", two, false},
           {"https://anything.org", all, true},
           {"null", all, true},
           {"", all, false},
           {"https://app.example.com", none, false},
           {"null", null, false},
       })
    EXPECT_EQ(origin_allowed(origin, allowed), want) << origin;
}

// What a server with these routes answers: fast and cross_origin, and one of the API beside it.
struct OriginsTest : testing::Test {
  RealEnv real;

  std::unique_ptr<Server> server(std::vector<std::string> origins, bool everywhere = false) {
    Config config{.temp_dir = real.dir.path("tmp")};
    config.origins = std::move(origins);
    config.auth.token = Secret("a-token-of-sixteen");
    if (everywhere) config.host = "0.0.0.0";
    auto made = Server::open(std::move(config), real.env);
    EXPECT_TRUE(made) << made.error().message;
    const auto say = [](const Request& request) {
      return request.body == "bad" ? error_response({Code::invalid_argument, "test.bad", "bad"})
                                   : text_response("fine");
    };
    (*made)->fast("POST", "/predict/{model}", say, {.cross_origin = true});
    (*made)->fast("GET", "/v2/models/{model}", say, {.cross_origin = true});
    (*made)->fast("POST", "/api/v1/gc", say);
    return *std::move(made);
  }

  static Response ask(const Server& server, std::string_view method, std::string_view path,
                      std::vector<std::pair<std::string_view, std::string_view>> headers, std::string_view body = "") {
    headers.emplace_back("Host", "localhost:7070");
    return server.dispatch({.method = method, .path = path, .headers = std::move(headers), .body = body});
  }
  static std::map<std::string, std::string> headers_of(const Response& response) {
    std::map<std::string, std::string> out;
    for (const auto& [name, value] : response.headers) {
      EXPECT_FALSE(out.contains(name)) << name << ": sent once, or the HTTP library keeps only one of them";
      out[name] = value;
    }
    return out;
  }
};

TEST_F(OriginsTest, Preflight) {
  const auto s = server(two);
  auto answer = ask(*s, "OPTIONS", "/predict/churn",
                    {{"Origin", "https://app.example.com"},
                     {"Access-Control-Request-Method", "POST"},
                     {"Access-Control-Request-Headers", "authorization,content-type"}});
  EXPECT_EQ(answer.status, 204);
  const std::map<std::string, std::string> want{
      {"Access-Control-Allow-Origin", "https://app.example.com"},
      {"Access-Control-Allow-Methods", "POST"},
      {"Access-Control-Allow-Headers", "authorization,content-type"},
      {"Access-Control-Expose-Headers", "Inference-Header-Content-Length, Retry-After, X-Request-Id"},
      {"Access-Control-Max-Age", "600"},
      {"Vary", "Access-Control-Request-Method, Access-Control-Request-Headers, Origin"}};
  EXPECT_EQ(headers_of(answer), want);

  answer = ask(*s, "OPTIONS", "/v2/models/churn",
               {{"Origin", "http://localhost:3000"}, {"Access-Control-Request-Method", "GET"}});
  EXPECT_EQ(headers_of(answer)["Access-Control-Allow-Methods"], "GET, HEAD");
  EXPECT_FALSE(headers_of(answer).contains("Access-Control-Allow-Headers"));

  // A line end in the names would begin a header of somebody else's.
  answer = ask(*s, "OPTIONS", "/predict/churn",
               {{"Origin", "http://localhost:3000"},
                {"Access-Control-Request-Method", "POST"},
                {"Access-Control-Request-Headers", "a\r\nSet-Cookie: b"}});
  EXPECT_FALSE(headers_of(answer).contains("Access-Control-Allow-Headers"));
}

TEST_F(OriginsTest, PreflightOfOthersIsRefused) {
  const auto s = server(two), closed = server({});
  const std::vector<std::pair<std::string_view, std::string_view>> evil{{"Origin", "https://evil.org"},
                                                                        {"Access-Control-Request-Method", "POST"}};
  auto answer = ask(*s, "OPTIONS", "/predict/churn", evil);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.error->reason, "net.foreign_origin");
  EXPECT_EQ(headers_of(answer), (std::map<std::string, std::string>{{"Vary", "Origin"}}));
  answer = ask(*closed, "OPTIONS", "/predict/churn", evil);
  EXPECT_EQ(answer.status, 403);
  EXPECT_TRUE(headers_of(answer).empty());
  // What pages may not call has no preflight: OPTIONS says what there is, and no origin.
  answer = ask(*s, "OPTIONS", "/api/v1/gc",
               {{"Origin", "https://app.example.com"}, {"Access-Control-Request-Method", "POST"}});
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(headers_of(answer), (std::map<std::string, std::string>{{"Allow", "POST"}}));
  // A method that the path does not take.
  answer = ask(*s, "OPTIONS", "/predict/churn",
               {{"Origin", "https://app.example.com"}, {"Access-Control-Request-Method", "DELETE"}});
  EXPECT_FALSE(headers_of(answer).contains("Access-Control-Allow-Origin"));
}

TEST_F(OriginsTest, CallsOfPages) {
  const auto s = server(two), open = server(all), closed = server({});
  const auto call = [](const Server& server, std::string_view origin, std::string_view path = "/predict/churn",
                       std::string_view body = "") {
    return ask(server, "POST", path, {{"Origin", origin}, {"Sec-Fetch-Site", "cross-site"}}, body);
  };
  auto answer = call(*s, "https://app.example.com");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(headers_of(answer)["Access-Control-Allow-Origin"], "https://app.example.com");
  EXPECT_EQ(headers_of(answer)["Vary"], "Origin");
  // An error is for the page too.
  answer = call(*s, "https://app.example.com", "/predict/churn", "bad");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(headers_of(answer)["Access-Control-Allow-Origin"], "https://app.example.com");
  // Others are refused as before, and the API is for nobody's page.
  answer = call(*s, "https://evil.org");
  EXPECT_EQ(answer.status, 403);
  EXPECT_FALSE(headers_of(answer).contains("Access-Control-Allow-Origin"));
  EXPECT_EQ(headers_of(answer)["Vary"], "Origin");
  answer = call(*s, "https://app.example.com", "/api/v1/gc");
  EXPECT_EQ(answer.status, 403);
  EXPECT_TRUE(headers_of(answer).empty());
  EXPECT_EQ(call(*open, "https://app.example.com", "/api/v1/gc").status, 403);
  answer = call(*open, "https://evil.org");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(headers_of(answer)["Access-Control-Allow-Origin"], "*");
  EXPECT_FALSE(headers_of(answer).contains("Vary"));
  answer = call(*closed, "https://app.example.com");
  EXPECT_EQ(answer.status, 403);
  EXPECT_TRUE(headers_of(answer).empty());
  // Who calls from no page sees nothing of it, but that caches must not mix the two.
  answer = ask(*s, "POST", "/predict/churn", {});
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(headers_of(answer), (std::map<std::string, std::string>{{"Vary", "Origin"}}));
}

TEST_F(OriginsTest, ATokenThatIsDemandedIsDemandedOfPagesToo) {
  const auto s = server(two, true);
  // The preflight never carries one.
  EXPECT_EQ(ask(*s, "OPTIONS", "/predict/churn",
                {{"Origin", "https://app.example.com"}, {"Access-Control-Request-Method", "POST"}})
                .status,
            204);
  auto answer = ask(*s, "POST", "/predict/churn", {{"Origin", "https://app.example.com"}});
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(headers_of(answer)["Access-Control-Allow-Origin"], "https://app.example.com");
  answer = ask(*s, "POST", "/predict/churn",
               {{"Origin", "https://app.example.com"}, {"Authorization", "Bearer a-token-of-sixteen"}});
  EXPECT_EQ(answer.status, 200);
}

}  // namespace
}  // namespace millrace::net
