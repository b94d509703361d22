#include "base/http_client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/testing/env.hpp"
#include "base/testing/tiny_server.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;

struct HttpClientTest : testing::Test {
  TestEnv t;
  std::unique_ptr<HttpClient> client = make_http_client(t.env.fs);

  std::string reason(const HttpRequest& request) {
    const auto response = client->send(request);
    return response ? "status " + std::to_string(response->status) : response.error().reason;
  }
};

TEST_F(HttpClientTest, SendsWhatItIsGiven) {
  std::string seen;
  TinyServer server([&](const std::string& request) {
    seen = request;
    return TinyServer::answer(201, "made", "X-One: 1\r\nx-one: 2\r\nETag:  \"abc\" \r\n");
  });
  const auto response = client->send({.method = "POST",
                                      .url = server.url("/things?x=1"),
                                      .headers = {{"Content-Type", "application/json"}, {"X-Empty", ""}},
                                      .body = "{\"a\":1}"});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 201);
  EXPECT_TRUE(response->ok());
  EXPECT_EQ(response->body, "made");
  EXPECT_EQ(response->body_bytes, 4u);
  EXPECT_EQ(response->header("x-one"), "1");
  EXPECT_EQ(response->header("etag"), "\"abc\"");
  EXPECT_EQ(response->header("none"), "");
  EXPECT_TRUE(seen.starts_with("POST /things?x=1 HTTP/1.1\r\n")) << seen;
  EXPECT_TRUE(seen.contains("\r\nContent-Type: application/json\r\n")) << seen;
  EXPECT_TRUE(seen.contains("\r\nX-Empty:\r\n")) << seen;
  EXPECT_TRUE(seen.contains("\r\nUser-Agent: millrace\r\n")) << seen;
  EXPECT_TRUE(seen.contains("\r\nContent-Length: 7\r\n")) << seen;
  EXPECT_FALSE(seen.contains("Expect")) << seen;
  EXPECT_TRUE(seen.ends_with("\r\n\r\n{\"a\":1}")) << seen;
}

TEST_F(HttpClientTest, Methods) {
  std::string seen;
  TinyServer server([&](const std::string& request) {
    seen = request;
    return request.starts_with("HEAD") ? "HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n" : TinyServer::answer(200, "ok");
  });
  for (const std::string method : {"GET", "HEAD", "DELETE", "PUT", "POST", "PATCH", "OPTIONS"}) {
    const auto response = client->send({.method = method, .url = server.url("/")});
    ASSERT_TRUE(response) << method << response.error().message;
    EXPECT_TRUE(seen.starts_with(method + " / HTTP/1.1\r\n")) << seen;
    EXPECT_EQ(seen.contains("Content-Length: 0"), method.starts_with("P")) << seen;
    EXPECT_FALSE(seen.contains("Content-Type")) << seen;
  }
}

TEST_F(HttpClientTest, ErrorsOfTheServerAreAnswers) {
  TinyServer server([](const std::string&) { return TinyServer::answer(404, "no such thing"); });
  const auto response = client->send({.url = server.url("/"), .to_file = t.path("file")});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->body, "no such thing") << "not into the file";
  EXPECT_FALSE(exists(t.env.fs, t.path("file")));
}

TEST_F(HttpClientTest, RedirectsAreAnswers) {
  TinyServer server(
      [](const std::string&) { return TinyServer::answer(302, "", "Location: http://169.254.169.254/\r\n"); });
  EXPECT_EQ(reason({.url = server.url("/")}), "status 302");
}

TEST_F(HttpClientTest, KeepsConnections) {
  TinyServer server([](const std::string&) { return TinyServer::answer(200, "ok"); });
  for (int i = 0; i < 20; ++i) ASSERT_EQ(reason({.url = server.url("/")}), "status 200");
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(HttpClientTest, SurvivesAKeptConnectionThatDied) {
  std::atomic<int> count = 0;
  TinyServer server([&](const std::string& request) {
    const auto body = request.substr(request.find("\r\n\r\n") + 4);
    return (count++ % 2 == 0 ? "!" : "") + TinyServer::answer(200, std::to_string(body.size()));
  });
  const std::string content(300'000, 'x');
  ASSERT_TRUE(write_file(t.env.fs, t.path("up"), content));
  for (int i = 0; i < 6; ++i) {
    const auto response = client->send({.method = "PUT", .url = server.url("/"), .body_file = t.path("up")});
    ASSERT_TRUE(response) << i << response.error().message;
    EXPECT_EQ(response->body, "300000");
  }
}

TEST_F(HttpClientTest, StreamsFilesBothWays) {
  std::string content;
  while (content.size() < 3'000'000) content += std::to_string(content.size()) + ' ';
  ASSERT_TRUE(write_file(t.env.fs, t.path("up"), content));
  TinyServer server(
      [](const std::string& request) { return TinyServer::answer(200, request.substr(request.find("\r\n\r\n") + 4)); });
  const auto response =
      client->send({.method = "PUT", .url = server.url("/"), .body_file = t.path("up"), .to_file = t.path("down")});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "");
  EXPECT_EQ(response->body_bytes, content.size());
  EXPECT_EQ(*read_file(t.env.fs, t.path("down")), content);
  EXPECT_EQ(reason({.method = "PUT", .url = server.url("/"), .body_file = t.path("none")}), "fs.not_found");
  EXPECT_EQ(reason({.method = "POST", .url = server.url("/"), .body = "x", .to_file = t.path("no/such/folder")}),
            "fs.not_found");
}

TEST_F(HttpClientTest, AnEmptyAnswerMakesAnEmptyFile) {
  TinyServer server([](const std::string&) { return TinyServer::answer(200, ""); });
  ASSERT_EQ(reason({.url = server.url("/"), .to_file = t.path("down")}), "status 200");
  EXPECT_EQ(*read_file(t.env.fs, t.path("down")), "");
}

TEST_F(HttpClientTest, PiecesGoToAFunction) {
  TinyServer server([](const std::string&) { return TinyServer::answer(200, std::string(1'000'000, 'x')); });
  std::size_t sum = 0;
  HttpRequest request{.url = server.url("/"), .to_function = [&](std::span<const std::byte> piece) -> Result<void> {
                        sum += piece.size();
                        return {};
                      }};
  ASSERT_EQ(reason(request), "status 200");
  EXPECT_EQ(sum, 1'000'000u);
  request.to_function = [](std::span<const std::byte>) -> Result<void> {
    return fail(Code::aborted, "test.enough", "");
  };
  EXPECT_EQ(reason(request), "test.enough");
}

TEST_F(HttpClientTest, BoundsWhatComesBack) {
  std::string headers;
  TinyServer server([&](const std::string& request) {
    if (request.starts_with("GET /endless")) return "!HTTP/1.1 200 X\r\n\r\n" + std::string(5'000'000, 'x');
    return TinyServer::answer(200, std::string(1'000, 'x'));
  });
  EXPECT_EQ(reason({.url = server.url("/"), .response_bytes_max = 1'000}), "status 200");
  EXPECT_EQ(reason({.url = server.url("/"), .response_bytes_max = 999}), "http.too_large");
  EXPECT_EQ(reason({.url = server.url("/endless"), .response_bytes_max = 100'000, .to_file = t.path("down")}),
            "http.too_large");
  EXPECT_FALSE(exists(t.env.fs, t.path("down"))) << "no half of a file";
}

TEST_F(HttpClientTest, ADeadlineForAllOfIt) {
  TinyServer server([](const std::string& request) {
    return request.starts_with("GET /silent") ? "" : "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf";
  });
  const auto silent = client->send({.url = server.url("/silent?token=hunter2"), .deadline = 50ms});
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, Code::deadline_exceeded);
  EXPECT_EQ(silent.error().reason, "http.deadline");
  EXPECT_FALSE(silent.error().message.contains("hunter2"));
  EXPECT_EQ(reason({.url = server.url("/half"), .deadline = 50ms, .to_file = t.path("down")}), "http.deadline");
  EXPECT_FALSE(exists(t.env.fs, t.path("down")));
}

TEST_F(HttpClientTest, Unreachable) {
  int port = 0;
  {
    port = TinyServer([](const std::string&) { return ""; }).port();
  }
  const auto refused = client->send({.url = "http://user:hunter2@127.0.0.1:" + std::to_string(port) + "/x"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_EQ(refused.error().reason, "http.unreachable");
  EXPECT_FALSE(refused.error().message.contains("hunter2")) << refused.error().message;
  EXPECT_EQ(reason({.url = "http://no-such-host.invalid/"}), "http.unreachable");

  TinyServer broken([](const std::string&) { return "!HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf"; });
  EXPECT_EQ(reason({.url = broken.url("/")}), "http.unreachable");
  TinyServer nonsense([](const std::string&) { return "!what?\r\n\r\n"; });
  EXPECT_EQ(reason({.url = nonsense.url("/")}), "http.unreachable");
}

TEST_F(HttpClientTest, BadRequestsAreNotSent) {
  for (const auto* url : {"", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http://a b/"}) {
    EXPECT_EQ(reason({.url = url}), "http.bad_url") << url;
  }
  EXPECT_EQ(reason({.url = "http://127.0.0.1/", .headers = {{"A", "b\r\nC: d"}}}), "http.bad_header");
  EXPECT_EQ(reason({.url = "http://127.0.0.1/", .headers = {{"A: b", "c"}}}), "http.bad_header");
  EXPECT_EQ(reason({.method = "GET /x HTTP/1.1\r\n", .url = "http://127.0.0.1/"}), "http.bad_header");
}

TEST_F(HttpClientTest, CanBeCancelled) {
  TinyServer server([](const std::string&) { return ""; });
  EXPECT_EQ(reason({.url = server.url("/"), .deadline = 1min, .cancelled = [] { return true; }}), "http.cancelled");
}

TEST_F(HttpClientTest, AddressPolicy) {
  TinyServer server([](const std::string&) { return TinyServer::answer(200, "ok"); });
  std::string asked;
  client = make_http_client(t.env.fs, {.may_contact = [&](std::string_view ip, int port) {
                              asked = std::string(ip) + " " + std::to_string(port);
                              return address_kind(ip) != AddressKind::loopback;
                            }});
  EXPECT_EQ(reason({.url = "http://localhost:" + std::to_string(server.port()) + "/"}), "http.address_refused");
  EXPECT_EQ(reason({.url = server.url("/")}), "http.address_refused");
  EXPECT_EQ(asked, "127.0.0.1 " + std::to_string(server.port()));
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(HttpClientTest, ManyThreads) {
  TinyServer server([](const std::string& request) { return TinyServer::answer(200, request.substr(5, 1)); });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 25; ++j) {
        const auto response = client->send({.url = server.url("/" + std::to_string(i))});
        ASSERT_TRUE(response);
        ASSERT_EQ(response->body, std::to_string(i));
      }
    });
  }
  threads.clear();
  EXPECT_LE(server.connections(), 8);
}

TEST(AddressKind, Table) {
  const std::pair<const char*, AddressKind> rows[] = {
      {"127.0.0.1", AddressKind::loopback},
      {"127.255.0.1", AddressKind::loopback},
      {"::1", AddressKind::loopback},
      {"::ffff:127.0.0.1", AddressKind::loopback},
      {"10.1.2.3", AddressKind::private_net},
      {"172.16.0.1", AddressKind::private_net},
      {"172.31.255.255", AddressKind::private_net},
      {"172.32.0.1", AddressKind::global},
      {"192.168.1.1", AddressKind::private_net},
      {"100.64.0.1", AddressKind::private_net},
      {"fd00::1", AddressKind::private_net},
      {"169.254.169.254", AddressKind::link_local},
      {"::ffff:169.254.169.254", AddressKind::link_local},
      {"fe80::1%eth0", AddressKind::link_local},
      {"64:ff9b::7f00:1", AddressKind::loopback},
      {"2002:7f00:1::", AddressKind::loopback},
      {"0.0.0.0", AddressKind::other},
      {"::", AddressKind::other},
      {"224.0.0.1", AddressKind::other},
      {"255.255.255.255", AddressKind::other},
      {"ff02::1", AddressKind::other},
      {"8.8.8.8", AddressKind::global},
      {"2606:4700::1111", AddressKind::global},
      {"", AddressKind::other},
      {"localhost", AddressKind::other},
      {"1.2.3", AddressKind::other},
  };
  for (const auto& [ip, kind] : rows) EXPECT_EQ(address_kind(ip), kind) << ip;
}

}  // namespace
}  // namespace millrace
