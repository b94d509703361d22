// Requests and answers over a real connection; bodies of any size are in stream_test.cpp, starting and stopping in
// lifecycle_test.cpp.
#include "net/server.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include "net/testing/raw_client.hpp"
#include "net/testing/serving.hpp"

namespace millrace::net {
namespace {

int port() { return Serving::instance().port; }

TEST(Served, AnswersFastAndPooledOnOneConnection) {
  RawClient client(port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send(get("/fast/a%20b")));
    auto fast = client.receive();
    EXPECT_EQ(fast.status, 200);
    EXPECT_EQ(fast.body, "GET a b ");
    EXPECT_EQ(fast.headers["content-type"], "text/plain; charset=utf-8");
    EXPECT_EQ(fast.headers["x-request-id"].size(), 32u);
    ASSERT_TRUE(client.send(post("/pooled/x", "some body")));
    EXPECT_EQ(client.receive().body, "POST x some body");
  }
}

TEST(Served, AFastHandlerThatWouldWaitIsCalledAgainOnThePool) {
  RawClient client(port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send(post("/waits/x", "some body")));
    EXPECT_EQ(client.receive().body, "waited with some body");
    ASSERT_TRUE(client.send(post("/waits/no", "some body")));
    EXPECT_EQ(client.receive().body, "did not wait");
  }
}

TEST(Served, ErrorsHaveTheShapeOfTheirPath) {
  struct Case {
    std::string request;
    int status;
    std::string body;
  };
  const Case cases[] = {
      {post("/shaped/x", "b"), 200, "POST x b"},
      {get("/shaped/x"), 405, "<net.wrong_method>"},
      {get("/shaped"), 404, "<net.no_such_path>"},
      {get("/shaped/x/y"), 404, "<net.no_such_path>"},
      {post("/shaped/x", std::string(1001, 'a')), 413, "<net.body_too_large>"},
      {post("/shaped/x", "b", "Authorization: Bearer none\r\n"), 401, "<net.bad_token>"},
  };
  for (const auto& c : cases) {
    RawClient client(port());
    ASSERT_TRUE(client.send(c.request));
    const auto answer = client.receive();
    EXPECT_EQ(c.status, answer.status) << c.request.substr(0, 60);
    EXPECT_EQ(c.body, answer.body);
  }
  RawClient client(port());
  ASSERT_TRUE(client.send(get("/shapedx")));
  EXPECT_EQ(0u, client.receive().body.find("{\"error\":{\"code\""));
  Request request{.method = "GET", .path = "/shaped"};
  EXPECT_EQ("<net.no_such_path>", Serving::instance().server->dispatch(request).body);
}

TEST(Served, InflatesWhereTheRouteAsksForIt) {
  const auto sent = [](const std::string& path, const std::string& coding, const std::string& body) {
    RawClient client(port());
    EXPECT_TRUE(client.send(post(path, body, "Content-Encoding: " + coding + "\r\n")));
    return client.receive().body;
  };
  // "hi" as gzip
  const std::string hi("\x1f\x8b\x08\0\0\0\0\0\x02\x03\xcb\xc8\x04\0\xac\x2a\x93\xd8\x02\0\0\0", 22);
  EXPECT_EQ("POST x hi", sent("/shaped/x", "gzip", hi));
  EXPECT_EQ("waited with hi", sent("/waits/x", "gzip", hi)) << "inflated once more on the pool";
  EXPECT_EQ("POST x hi", sent("/shaped/x", "GZIP", hi));
  EXPECT_EQ("<net.bad_compression>", sent("/shaped/x", "deflate", hi));
  EXPECT_EQ("<net.bad_compression>", sent("/shaped/x", "gzip", "hi"));
  EXPECT_EQ("<net.compressed_body>", sent("/shaped/x", "br", hi));
  EXPECT_NE(std::string::npos, sent("/fast/x", "gzip", hi).find("net.compressed_body"));
  std::string zeros(2000, '\0');
  std::string packed(compressBound(zeros.size()), '\0');
  uLongf size = packed.size();
  ASSERT_EQ(Z_OK, compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<Bytef*>(zeros.data()),
                           zeros.size()));
  packed.resize(size);
  EXPECT_EQ("<net.body_too_large>", sent("/shaped/x", "deflate", packed));
}

TEST(Served, PipelinedAnswersComeInOrder) {
  RawClient client(port());
  std::string requests;
  for (int i = 0; i < 20; ++i)
    requests +=
        i % 3 == 0 ? get("/pooled/" + std::to_string(i)) : post("/fast/" + std::to_string(i), "b" + std::to_string(i));
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 20; ++i) {
    auto answer = client.receive();
    EXPECT_EQ(answer.body,
              i % 3 == 0 ? "GET " + std::to_string(i) + " " : "POST " + std::to_string(i) + " b" + std::to_string(i));
  }
}

TEST(Served, ReadsChunkedAndSlowBodies) {
  RawClient client(port());
  ASSERT_TRUE(
      client.send("POST /pooled/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
  ASSERT_TRUE(client.send("6\r\n world\r\n0\r\n\r\n"));
  EXPECT_EQ(client.receive().body, "POST x hello world");
  auto request = post("/pooled/y", std::string(300'000, 'z'));
  for (std::size_t at = 0; at < request.size(); at += 50'000) ASSERT_TRUE(client.send(request.substr(at, 50'000)));
  EXPECT_EQ(client.receive().body.size(), 300'000 + 7u);
}

TEST(Served, RefusesWhatIsTooLarge) {
  for (auto request : {post("/fast/x", std::string(1001, 'a')),
                       "POST /fast/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" +
                           std::string(1024, 'a') + "\r\n0\r\n\r\n"}) {
    RawClient client(port());
    ASSERT_TRUE(client.send(request));
    auto answer = client.receive();
    EXPECT_EQ(answer.status, 413);
    EXPECT_NE(answer.body.find("net.body_too_large"), std::string::npos);
  }
  // Not a byte of the body is needed to know.
  RawClient client(port());
  ASSERT_TRUE(client.send("POST /fast/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"));
  auto answer = client.receive();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.headers["connection"], "close");
  EXPECT_TRUE(client.at_end());
}

TEST(Served, HeadHasTheHeadersOfGet) {
  RawClient client(port());
  ASSERT_TRUE(client.send("HEAD /fast/abc HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  auto answer = client.receive(true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers["content-length"], "8");
  ASSERT_TRUE(client.send(get("/fast/abc")));
  EXPECT_EQ(client.receive().body, "GET abc ");
}

TEST(Served, ErrorsAreJson) {
  struct Case {
    std::string request;
    int status;
    std::string reason;
  };
  for (const auto& c : std::vector<Case>{
           {get("/nothing"), 404, "net.no_such_path"},
           {"DELETE /fast/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "net.wrong_method"},
           {"GET /fast/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "net.foreign_host"},
           {post("/fast/x", "a", "Origin: https://evil.example\r\n"), 403, "net.foreign_origin"},
           {get("/fast/x", "Authorization: Bearer guess\r\n"), 401, "net.bad_token"},
           {get("/throws"), 500, "net.handler_failed"},
       }) {
    RawClient client(port());
    ASSERT_TRUE(client.send(c.request));
    auto answer = client.receive();
    EXPECT_EQ(answer.status, c.status) << c.request;
    EXPECT_EQ(answer.headers["content-type"], "application/json") << c.request;
    EXPECT_NE(answer.body.find("\"reason\":\"" + c.reason + "\""), std::string::npos) << answer.body;
    EXPECT_EQ(answer.body.find("boom"), std::string::npos);  // for the log, not for the client
  }
}

TEST(Served, BrokenRequestsGetJsonAndTheEnd) {
  struct Case {
    std::string request;
    int status;
    std::string reason;
  };
  const std::string post_head = "POST /pooled/x HTTP/1.1\r\nHost: localhost\r\n";
  for (const auto& c : std::vector<Case>{
           {"hello\r\n\r\n", 400, "net.bad_head"},
           {"BREW /fast/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "net.unknown_method"},
           {"GET /" + std::string(70'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, "net.head_too_large"},
           {post_head + "Content-Length: 5x\r\n\r\nhello", 400, "net.bad_framing"},
           {post_head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "net.bad_framing"},
           {post_head + "Content-Length: 9999999999\r\n\r\n", 413, "net.body_too_large"},
           {post_head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\n", 400, "net.bad_body"},
           {post_head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef", 400, "net.bad_body"},
       }) {
    RawClient client(port());
    // The good request before it is answered first; what comes after is not looked at.
    ASSERT_TRUE(client.send(get("/pooled/before") + c.request + get("/fast/after")));
    EXPECT_EQ(client.receive().body, "GET before ") << c.request.substr(0, 100);
    auto answer = client.receive();
    EXPECT_EQ(answer.status, c.status) << c.request.substr(0, 100);
    EXPECT_EQ(answer.headers["content-type"], "application/json");
    EXPECT_EQ(answer.headers["connection"], "close");
    EXPECT_NE(answer.body.find("\"reason\":\"" + c.reason + "\""), std::string::npos) << answer.body;
    EXPECT_TRUE(client.at_end());
  }
}

TEST(Served, AnswersExpectWhenTheBodyIsWanted) {
  for (std::string framing : {"Transfer-Encoding: chunked", "Content-Length: 5"}) {
    RawClient client(port());
    ASSERT_TRUE(
        client.send("POST /pooled/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n" + framing + "\r\n\r\n"));
    EXPECT_EQ(client.receive_some(100), "HTTP/1.1 100 Continue\r\n\r\n");
    ASSERT_TRUE(client.send(framing[0] == 'C' ? "hello" : "5\r\nhello\r\n0\r\n\r\n"));
    EXPECT_EQ(client.receive().body, "POST x hello");
    // Refused by its head: no invitation to send the body.
    ASSERT_TRUE(
        client.send("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n" + framing + "\r\n\r\n"));
    EXPECT_EQ(client.receive_some(12), "HTTP/1.1 404");
  }
}

TEST(Served, TakesTheClientsTraceId) {
  RawClient client(port());
  ASSERT_TRUE(client.send(get("/id", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n")));
  auto answer = client.receive();
  EXPECT_EQ(answer.body, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(answer.headers["x-request-id"], answer.body);
}

TEST(Served, ATakenPortNamesItsHolder) {
  auto& serving = Serving::instance();
  auto second = Server::open({.port = port(), .temp_dir = serving.dir.path("tmp2")}, serving.env);
  ASSERT_TRUE(second);
  auto started = (*second)->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason, "net.port_taken");
  EXPECT_EQ(started.error().code, Code::already_exists);
  EXPECT_NE(started.error().message.find("127.0.0.1:" + std::to_string(port())), std::string::npos)
      << started.error().message;
  EXPECT_NE(started.error().message.find("pid " + std::to_string(::getpid())), std::string::npos)
      << started.error().message;
}

TEST(Served, CountsByRouteAndStatus) {
  RawClient client(port());
  ASSERT_TRUE(client.send(get("/throws")));
  EXPECT_EQ(client.receive().status, 500);
  auto text = Serving::instance().metrics.render();
  EXPECT_NE(text.find(R"(millrace_net_requests_total{method="GET",route="/throws",status="5xx"} )"), std::string::npos)
      << text.substr(0, 2000);
  EXPECT_EQ(text.find(R"(route="/throws",status="5xx"} 0)"), std::string::npos);
  EXPECT_NE(text.find("millrace_net_connections "), std::string::npos);
}

TEST(Served, DispatchNeedsNoNetwork) {
  Request request{.method = "GET", .path = "/fast/abc", .headers = {{"Host", "localhost"}}};
  EXPECT_EQ(Serving::instance().server->dispatch(request).body, "GET abc ");
  request.path = "/fastt/abc";
  auto missing = Serving::instance().server->dispatch(request);
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("did you mean /fast/{name}?"), std::string::npos);
}

}  // namespace
}  // namespace millrace::net
