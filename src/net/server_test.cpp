// Against a real server on a free port. The HTTP library runs once per process: the tests here share one server, those
// of starting and stopping (lifecycle_test.cpp) each have a process of their own.
#include "net/server.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <latch>
#include <thread>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"
#include "net/testing/raw_client.hpp"

namespace millrace::net {
namespace {

struct World {
  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SystemRng rng;
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env{fs, clock, rng, faults, *log};
  std::unique_ptr<Server> server;
  int port = 0;

  World() {
    Config config{.port = 0, .io_threads = 2, .pool_threads = 2, .pool_queue_max = 2, .temp_dir = dir.path("tmp")};
    auto opened = Server::open(config, env);
    if (!opened) std::abort();
    server = std::move(*opened);
    auto echo = [](const Request& request) {
      return text_response(std::string(request.method) + " " + request.path_parameter("name") + " " +
                           std::string(request.body));
    };
    server->fast("GET", "/fast/{name}", echo);
    server->fast("POST", "/fast/{name}", echo, {.body_bytes_max = 1000});
    server->pooled("GET", "/pooled/{name}", echo);
    server->pooled("POST", "/pooled/{name}", echo, {.body_bytes_max = 4u << 20});
    server->pooled("GET", "/throws", [](const Request&) -> Response { throw std::runtime_error("boom"); });
    server->fast("GET", "/id", [](const Request& request) { return text_response(request.id); });
    if (auto started = server->start(); !started) {
      std::fprintf(stderr, "%s\n", started.error().message.c_str());
      std::abort();
    }
    port = server->addresses().front().port;
  }
};

class Serving : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { world = new World; }
  static void TearDownTestSuite() {
    delete world;
    world = nullptr;
  }
  static World* world;
};
World* Serving::world = nullptr;

TEST_F(Serving, AnswersFastAndPooledOnOneConnection) {
  RawClient client(world->port);
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

TEST_F(Serving, PipelinedAnswersComeInOrder) {
  RawClient client(world->port);
  std::string requests;
  for (int i = 0; i < 20; ++i)
    requests +=
        i % 3 == 0 ? get("/pooled/" + std::to_string(i)) : post("/fast/" + std::to_string(i), "b" + std::to_string(i));
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 20; ++i) {
    auto answer = client.receive();
    if (answer.status == 503) continue;  // the pool's queue is short here
    EXPECT_EQ(answer.body,
              i % 3 == 0 ? "GET " + std::to_string(i) + " " : "POST " + std::to_string(i) + " b" + std::to_string(i));
  }
}

TEST_F(Serving, ReadsChunkedAndSlowBodies) {
  RawClient client(world->port);
  ASSERT_TRUE(
      client.send("POST /pooled/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
  ASSERT_TRUE(client.send("6\r\n world\r\n0\r\n\r\n"));
  EXPECT_EQ(client.receive().body, "POST x hello world");
  auto request = post("/pooled/y", std::string(300'000, 'z'));
  for (std::size_t at = 0; at < request.size(); at += 50'000) ASSERT_TRUE(client.send(request.substr(at, 50'000)));
  EXPECT_EQ(client.receive().body.size(), 300'000 + 7u);
}

TEST_F(Serving, RefusesWhatIsTooLarge) {
  for (auto request : {post("/fast/x", std::string(1001, 'a')),
                       "POST /fast/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" +
                           std::string(1024, 'a') + "\r\n0\r\n\r\n"}) {
    RawClient client(world->port);
    ASSERT_TRUE(client.send(request));
    auto answer = client.receive();
    EXPECT_EQ(answer.status, 413);
    EXPECT_NE(answer.body.find("net.body_too_large"), std::string::npos);
  }
  // Not a byte of the body is needed to know.
  RawClient client(world->port);
  ASSERT_TRUE(client.send("POST /fast/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"));
  auto answer = client.receive();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.headers["connection"], "close");
  EXPECT_TRUE(client.at_end());
}

TEST_F(Serving, HeadHasTheHeadersOfGet) {
  RawClient client(world->port);
  ASSERT_TRUE(client.send("HEAD /fast/abc HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  auto answer = client.receive(true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers["content-length"], "8");
  ASSERT_TRUE(client.send(get("/fast/abc")));
  EXPECT_EQ(client.receive().body, "GET abc ");
}

TEST_F(Serving, ErrorsAreJson) {
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
    RawClient client(world->port);
    ASSERT_TRUE(client.send(c.request));
    auto answer = client.receive();
    EXPECT_EQ(answer.status, c.status) << c.request;
    EXPECT_EQ(answer.headers["content-type"], "application/json") << c.request;
    EXPECT_NE(answer.body.find("\"reason\":\"" + c.reason + "\""), std::string::npos) << answer.body;
    EXPECT_EQ(answer.body.find("boom"), std::string::npos);  // for the log, not for the client
  }
}

TEST_F(Serving, TakesTheClientsTraceId) {
  RawClient client(world->port);
  ASSERT_TRUE(client.send(get("/id", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n")));
  auto answer = client.receive();
  EXPECT_EQ(answer.body, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(answer.headers["x-request-id"], answer.body);
}

TEST_F(Serving, ATakenPortNamesItsHolder) {
  auto second = Server::open({.port = world->port, .temp_dir = world->dir.path("tmp2")}, world->env);
  ASSERT_TRUE(second);
  auto started = (*second)->start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().reason, "net.port_taken");
  EXPECT_EQ(started.error().code, Code::already_exists);
  EXPECT_NE(started.error().message.find("127.0.0.1:" + std::to_string(world->port)), std::string::npos)
      << started.error().message;
  EXPECT_NE(started.error().message.find("pid " + std::to_string(::getpid())), std::string::npos)
      << started.error().message;
}

TEST_F(Serving, DispatchNeedsNoNetwork) {
  Request request{.method = "GET", .path = "/fast/abc", .headers = {{"Host", "localhost"}}};
  EXPECT_EQ(world->server->dispatch(request).body, "GET abc ");
  request.path = "/fastt/abc";
  auto missing = world->server->dispatch(request);
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("did you mean /fast/{name}?"), std::string::npos);
}

}  // namespace
}  // namespace millrace::net
