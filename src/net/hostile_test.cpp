// Clients that mean harm, or do it: each gets what is written here, and others are served meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <thread>

#include "base/fs.hpp"
#include "net/testing/raw_client.hpp"
#include "net/testing/world.hpp"

namespace millrace::net {
namespace {

class HostileDeathTest : public OwnProcess {};

int listening(Server& server) {
  server.fast("GET", "/fast", [](const Request&) { return text_response("fast"); });
  server.fast("POST", "/size", [](const Request& r) { return text_response(std::to_string(r.body.size())); },
              {.body_bytes_max = 64u << 20});
  MUST(server.start());
  return server.addresses().front().port;
}

bool serves(int port) {
  RawClient client(port);
  return client.send(get("/fast")) && client.receive().body == "fast";
}

// Sends `text` again and again, with pauses, until there is an answer.
RawResponse trickle(RawClient& client, std::string_view text) {
  for (int i = 0; i < 400 && client.send(text) && !client.answered(50);) ++i;
  return client.receive();
}

TEST_F(HostileDeathTest, AByteNowAndThenIsNoHead) {
  in_child([] {
    World world;
    auto server = world.open({.head_seconds_max = 0.3});
    int port = listening(*server);
    RawClient client(port);
    MUST(client.send("GET /fast HTTP/1.1\r\nHost: localhost\r\nX-Slow: "));
    auto answer = trickle(client, "x");
    MUST(answer.status == 408);
    MUST(answer.body.find("net.head_too_slow") != std::string::npos);
    MUST(serves(port));
    while (client.send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(50));  // who goes on is hung up on
  });
}

TEST_F(HostileDeathTest, AByteNowAndThenIsNoBody) {
  in_child([] {
    World world;
    auto server = world.open({.body_seconds_free = 0.3});
    int port = listening(*server);
    for (const bool chunked : {false, true}) {
      RawClient client(port);
      MUST(client.send("POST /size HTTP/1.1\r\nHost: localhost\r\n" +
                       std::string(chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: 1000\r\n\r\n")));
      auto answer = trickle(client, chunked ? "1\r\nx\r\n" : "x");
      MUST(answer.status == 408);
      MUST(answer.body.find("net.body_too_slow") != std::string::npos);
    }
    RawClient steady(port);  // slow too, but at the pace that is asked for
    MUST(steady.send("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n"));
    for (int i = 0; i < 20; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(50)))
      MUST(steady.send(std::string(200, 'x')));
    MUST(steady.receive().body == "4000");
    MUST(server->in_flight() == 0);
  });
}

TEST_F(HostileDeathTest, AnswersThatNobodyReadsHaveABound) {
  in_child([] {
    World world;
    Metrics metrics;
    auto server = world.open({}, &metrics);
    server->fast("GET", "/large", [](const Request&) { return text_response(std::string(50'000, 'x')); });
    int port = listening(*server);
    std::string many;
    for (int i = 0; i < 100; ++i) many += get("/large");
    RawClient client(port, 4096);
    int sent = 0;
    constexpr int sends_max = 20'000;  // 100 GB of answers, if there were no bound; more than the kernel's buffers take
    while (sent < sends_max && client.send(many)) ++sent;
    MUST(sent < sends_max);
    MUST(metrics.render().find("why=\"answers_not_read\"} 1\n") != std::string::npos);
    MUST(serves(port));
    // One large answer is no harm, however slowly it is read; nor are many that are read.
    RawClient reader(port);
    std::thread sender([&] { (void)reader.send(many + many + many + many); });
    for (int i = 0; i < 400; ++i) MUST(reader.receive().body.size() == 50'000);
    sender.join();
  });
}

TEST_F(HostileDeathTest, WhatSlowReadersLeaveTogetherHasABound) {
  in_child([] {
    World world;
    Metrics metrics;
    auto server = world.open({.unread_bytes_max = 40u << 20}, &metrics);
    server->fast("GET", "/huge", [](const Request&) { return text_response(std::string(16u << 20, 'x')); });
    int port = listening(*server);
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(std::make_unique<RawClient>(port, 4096));
      MUST(clients.back()->send(get("/huge")));
    }
    while (metrics.render().find("why=\"answers_not_read\"}") == std::string::npos) std::this_thread::yield();
    MUST(clients[0]->receive().body.size() == 16u << 20);  // those before keep what they were given
    clients.clear();
    // Once they are gone there is room again.
    for (int tries = 0;; ++tries) {
      MUST(tries < 100);
      RawClient again(port);
      if (again.send(get("/huge")) && again.receive().body.size() == 16u << 20) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
}

TEST_F(HostileDeathTest, IdleConnectionsMakeRoom) {
  in_child([] {
    World world;
    std::latch entered(1), leave(1);
    Config config{.connections_max = 8};
    auto server = world.open(config);
    server->pooled("GET", "/slow", [&](const Request&) {
      entered.count_down();
      leave.wait();
      return text_response("slow");
    });
    int port = listening(*server);
    RawClient busy(port);
    MUST(busy.send(get("/slow")));
    entered.wait();
    std::vector<std::unique_ptr<RawClient>> idle;
    for (int i = 0; i < 30; ++i) {
      idle.push_back(std::make_unique<RawClient>(port));
      for (int tries = 0; i % 2; ++tries) {
        if (idle.back()->send(get("/fast")) && idle.back()->receive().body == "fast") break;
        MUST(tries < 5);  // sent away between connecting and asking, as the loops accept in any order
        idle.back() = std::make_unique<RawClient>(port);
      }
      if (i % 3 == 0) (void)idle.back()->send("GET /unfinished HT");
    }
    for (int i = 0; i < 20; ++i) MUST(serves(port));
    RawClient steady(port);  // who asks now and then is not sent away for those who never do
    for (int i = 0; i < 20; ++i) {
      MUST(steady.send(get("/fast")) && steady.receive().body == "fast");
      for (int k = 0; k < 10; ++k) idle.push_back(std::make_unique<RawClient>(port));
    }
    MUST(steady.send(get("/fast")) && steady.receive().body == "fast");
    MUST(idle.front()->at_end());
    leave.count_down();
    MUST(busy.receive().body == "slow");  // who waits for an answer is not sent away
  });
}

TEST_F(HostileDeathTest, WhereEverybodyWaitsTheNextIsTurnedAway) {
  in_child([] {
    World world;
    std::latch entered(4), leave(1);
    auto server = world.open({.connections_max = 4});
    server->pooled("GET", "/slow", [&](const Request&) {
      entered.count_down();
      leave.wait();
      return text_response("slow");
    });
    int port = listening(*server);
    std::vector<std::unique_ptr<RawClient>> busy;
    for (int i = 0; i < 4; ++i) {
      busy.push_back(std::make_unique<RawClient>(port));
      MUST(busy.back()->send(get("/slow")));
    }
    entered.wait();
    RawClient next(port);
    auto answer = next.receive();
    MUST(answer.status == 503);
    MUST(answer.headers["retry-after"] == "1");
    MUST(answer.body.find("net.overloaded") != std::string::npos);
    leave.count_down();
    for (auto& one : busy) MUST(one->receive().body == "slow");
    MUST(serves(port));
  });
}

TEST_F(HostileDeathTest, BodiesTogetherHaveABound) {
  in_child([] {
    World world;
    auto server = world.open({.bodies_bytes_max = 10u << 20});
    int port = listening(*server);
    std::vector<std::unique_ptr<RawClient>> held;
    const std::string part(4u << 20, 'x');
    const std::string rest(1u << 20, 'x'), whole = std::to_string(5u << 20);
    const auto head = "POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + whole + "\r\n\r\n";
    for (int i = 0; i < 3; ++i) {
      held.push_back(std::make_unique<RawClient>(port));
      MUST(held.back()->send(head));
      (void)held.back()->send(part);
    }
    auto refused = held.end();
    while (refused == held.end()) refused = std::ranges::find_if(held, [](auto& one) { return one->answered(1); });
    auto answer = (*refused)->receive();
    MUST(answer.status == 503);
    MUST(answer.headers["retry-after"] == "1");
    held.erase(refused);
    MUST(held[0]->send(rest) && held[0]->receive().body == whole);
    held.clear();
    while (server->in_flight() > 0) std::this_thread::yield();
    RawClient again(port);
    MUST(again.send(head + part + rest) && again.receive().body == whole);
  });
}

TEST_F(HostileDeathTest, FilesInFlightHaveABound) {
  in_child([] {
    World world;
    auto server = world.open({.files_max = 2});
    const auto path = world.dir.path("file");
    MUST(write_file(world.fs, path, std::string(30u << 20, 'x')));
    server->pooled("GET", "/file", [&](const Request&) {
      return Response{.file = FileBody{.path = path, .offset = 0, .length = 30u << 20}};
    });
    int port = listening(*server);
    RawClient first(port, 4096), second(port, 4096), third(port);
    MUST(first.send(get("/file")) && !first.receive_some(100).empty());
    MUST(second.send(get("/file")) && !second.receive_some(100).empty());
    MUST(third.send(get("/file")) && third.receive().status == 503);
    first.reset();
    for (int tries = 0;; ++tries) {
      MUST(tries < 100);
      RawClient again(port);
      MUST(again.send(get("/file")));
      auto answer = again.receive();
      if (answer.status == 200 && answer.body.size() == 30u << 20) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
}

TEST_F(HostileDeathTest, NothingIsInflatedAndNothingUpgraded) {
  in_child([] {
    World world;
    auto server = world.open();
    int port = listening(*server);
    RawClient client(port);
    MUST(client.send(post("/size", "not gzip at all", "Content-Encoding: gzip\r\n")));
    auto answer = client.receive();
    MUST(answer.status == 415);
    MUST(answer.body.find("net.compressed_body") != std::string::npos);
    RawClient other(port);
    MUST(other.send(get("/fast",
                        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")));
    MUST(other.receive().body == "fast");
  });
}

}  // namespace
}  // namespace millrace::net
