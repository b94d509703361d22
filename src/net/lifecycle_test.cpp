// Starting and stopping, each test in a process of its own (death tests, threadsafe style).
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "net/testing/raw_client.hpp"
#include "net/testing/world.hpp"

namespace millrace::net {
namespace {

class LifecycleDeathTest : public OwnProcess {};

TEST_F(LifecycleDeathTest, StopWaitsForWhatIsInFlight) {
  in_child([] {
    World world;
    std::latch entered(1), leave(1);  // outlive the server, which waits for its handlers
    auto server = world.open();
    server->pooled("GET", "/slow", [&](const Request&) {
      entered.count_down();
      leave.wait();
      return text_response(std::string(2'000'000, 'x'));  // more than a socket takes at once
    });
    MUST(server->start());
    MUST(server->ready());
    int port = server->addresses().front().port;
    RawClient client(port), idle(port);
    MUST(client.send(get("/slow")));
    entered.wait();
    MUST(server->in_flight() == 1);
    bool clean = false;
    std::thread stopping([&] { clean = server->stop(std::chrono::seconds(20)); });
    while (server->ready()) std::this_thread::yield();
    while (RawClient(port).connected()) std::this_thread::yield();  // it does not listen any more
    leave.count_down();
    auto answer = client.receive();
    MUST(answer.status == 200);
    MUST(answer.body.size() == 2'000'000);
    MUST(answer.headers["connection"] == "close");
    MUST(client.at_end());
    stopping.join();
    MUST(clean);
    MUST(server->stop(std::chrono::seconds(1)));  // again is harmless
  });
}

// Takes its time: append() waits until it may go on.
class WaitingSink final : public UploadSink {
 public:
  WaitingSink(std::latch& entered, std::latch& leave) : entered_(entered), leave_(leave) {}
  Result<void> append(std::span<const std::byte> piece) override {
    if (bytes_ == 0) entered_.count_down();
    leave_.wait();
    bytes_ += piece.size();
    return ok();
  }
  Result<Response> finish() override { return text_response(std::to_string(bytes_)); }
  void abort(const Error&) override {}

 private:
  std::latch &entered_, &leave_;
  std::size_t bytes_ = 0;
};

class Endless final : public Follower {
 public:
  Result<std::optional<std::string>> next() override { return "line\n"; }
};

TEST_F(LifecycleDeathTest, StopLetsUploadsFinishAndEndsFollows) {
  in_child([] {
    World world;
    std::latch entered(1), leave(1);  // outlive the server, which waits for its handlers
    auto server = world.open({.upload_buffer_bytes = 100'000});
    server->upload("PUT", "/upload", [&](const Request&) -> Result<std::unique_ptr<UploadSink>> {
      return std::make_unique<WaitingSink>(entered, leave);
    });
    server->follow("GET", "/follow",
                   [](const Request&) -> Result<std::unique_ptr<Follower>> { return std::make_unique<Endless>(); },
                   {.poll = std::chrono::milliseconds(1)});
    MUST(server->start());
    int port = server->addresses().front().port;
    RawClient uploading(port), following(port);
    MUST(following.send(get("/follow")));
    MUST(!following.receive_some(20).empty());
    std::thread sender([&] {
      MUST(uploading.send("PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n" +
                          std::string(5'000'000, 'x')));
    });
    entered.wait();
    bool clean = false;
    std::thread stopping([&] { clean = server->stop(std::chrono::seconds(20)); });
    while (server->ready()) std::this_thread::yield();
    leave.count_down();
    MUST(uploading.receive().body == "5000000");
    sender.join();
    stopping.join();
    MUST(clean);
    std::string last, piece;
    while (!(piece = following.receive_some(100'000)).empty())
      last = (last + piece).substr(last.size() + piece.size() > 5 ? last.size() + piece.size() - 5 : 0);
    MUST(last == "0\r\n\r\n");
  });
}

TEST_F(LifecycleDeathTest, ADeadlineCutsAnUploadThatIsStuck) {
  in_child([] {
    World world;
    std::latch entered(1), leave(1);  // outlive the server, which waits for its handlers
    auto server = world.open({.upload_buffer_bytes = 100'000});
    server->upload("PUT", "/upload", [&](const Request&) -> Result<std::unique_ptr<UploadSink>> {
      return std::make_unique<WaitingSink>(entered, leave);
    });
    MUST(server->start());
    RawClient client(server->addresses().front().port);
    std::thread sender([&] {
      (void)client.send("PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n" +
                        std::string(50'000'000, 'x'));
    });
    entered.wait();
    MUST(!server->stop(std::chrono::milliseconds(50)));  // although its loop waits for the sink
    sender.join();
    leave.count_down();
  });
}

TEST_F(LifecycleDeathTest, ListensOnIpv6) {
  in_child([] {
    World world;
    auto server = world.open({.host = "::1"});
    auto started = server->start();
    if (!started && started.error().reason == "net.bad_address") return;  // a machine without IPv6
    MUST(started);
    auto address = server->addresses().front();
    MUST(address.url == "http://[::1]:" + std::to_string(address.port));
  });
}

TEST_F(LifecycleDeathTest, ASecondStopEndsTheWait) {
  in_child([] {
    World world;
    std::latch entered(1), leave(1);  // outlive the server, which waits for its handlers
    auto server = world.open();
    server->pooled("GET", "/slow", [&](const Request&) {
      entered.count_down();
      leave.wait();
      return text_response("late");
    });
    MUST(server->start());
    RawClient client(server->addresses().front().port);
    MUST(client.send(get("/slow")));
    entered.wait();
    bool clean = true;
    std::thread first([&] { clean = server->stop(std::chrono::hours(1)); });
    while (server->ready()) std::this_thread::yield();
    MUST(!server->stop(std::chrono::hours(1)));
    first.join();
    MUST(!clean);
    MUST(client.receive().status == 0);
    leave.count_down();
  });
}

TEST_F(LifecycleDeathTest, StartsOncePerProcess) {
  in_child([] {
    World world;
    auto first = world.open();
    MUST(first->start());
    MUST(first->start().error().reason == "net.started_before");
    auto second = world.open();
    MUST(second->start().error().reason == "net.started_before");
    MUST(first->stop(std::chrono::seconds(1)));
    MUST(second->start().error().reason == "net.started_before");
  });
}

TEST_F(LifecycleDeathTest, BeyondLoopbackNeedsAToken) {
  in_child([] {
    World world;
    Config config{.host = "0.0.0.0", .port = 0, .temp_dir = world.dir.path("tmp")};
    MUST(Server::open(config, world.env).error().reason == "net.token_needed");
    config.auth.token = Secret("a-token-of-sixteen");
    auto server = world.open(config);
    server->fast("GET", "/healthz", [](const Request&) { return text_response("ok\n"); }, {.access = Access::open});
    server->fast("GET", "/x", [](const Request&) { return text_response("x"); });
    MUST(server->start());
    RawClient client(server->addresses().front().port);
    MUST(client.send(get("/x")) && client.receive().status == 401);
    MUST(client.send(get("/healthz")) && client.receive().status == 200);
    MUST(client.send(get("/x", "Authorization: Bearer a-token-of-sixteen\r\n")) && client.receive().body == "x");
  });
}

TEST_F(LifecycleDeathTest, AFullPoolRefusesAtOnce) {
  in_child([] {
    World world;
    std::latch entered(1), leave(1);  // outlive the server, which waits for its handlers
    auto server = world.open({.pool_threads = 1, .pool_queue_max = 1});
    server->pooled("GET", "/slow", [&](const Request&) {
      if (!entered.try_wait()) entered.count_down();
      leave.wait();
      return text_response("done");
    });
    server->fast("GET", "/fast", [](const Request&) { return text_response("fast"); });
    MUST(server->start());
    int port = server->addresses().front().port;
    RawClient running(port), waiting(port), refused(port);
    MUST(running.send(get("/slow")));
    entered.wait();
    MUST(waiting.send(get("/slow")));
    while (server->in_flight() < 2) std::this_thread::yield();
    MUST(refused.send(get("/slow")));
    auto answer = refused.receive();
    MUST(answer.status == 503);
    MUST(answer.headers["retry-after"] == "1");
    MUST(answer.body.find("net.overloaded") != std::string::npos);
    MUST(refused.send(get("/fast")) && refused.receive().body == "fast");
    leave.count_down();
    MUST(running.receive().body == "done");
    MUST(waiting.receive().body == "done");
  });
}

TEST(Listening, RefusesAddressesThatAreNone) {
  World world;
  for (auto [host, port, reason] :
       std::vector<std::tuple<std::string, int, std::string>>{{"127.0.0.1", 70000, "net.bad_address"},
                                                              {"localhosts", 0, "net.token_needed"},
                                                              {"127.0.0.256", 0, "net.bad_address"},
                                                              {"203.0.113.7", 0, "net.token_needed"}}) {
    auto server = Server::open({.host = host, .port = port, .temp_dir = world.dir.path("tmp")}, world.env);
    EXPECT_EQ(server ? (*server)->start().error().reason : server.error().reason, reason) << host;
  }
  EXPECT_EQ(Server::open({}, world.env).error().reason, "net.bad_config");
}

}  // namespace
}  // namespace millrace::net
