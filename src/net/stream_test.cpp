// Bodies of any size, in and out, over a real connection.
#include <gtest/gtest.h>

#include <thread>

#include "base/digest.hpp"
#include "net/testing/raw_client.hpp"
#include "net/testing/serving.hpp"

namespace millrace::net {
namespace {

std::string put(std::string_view path, std::uint64_t length, std::string_view more_headers = "") {
  return "PUT " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(length) +
         "\r\n" + std::string(more_headers) + "\r\n";
}
std::string bytes(std::size_t size) {
  std::string out(size, '\0');
  SeededRng rng(size);
  for (auto& c : out) c = static_cast<char>(rng.next());
  return out;
}

class Streams : public ::testing::Test {
 protected:
  Serving& serving = Serving::instance();
  RawClient client{serving.port};
};

TEST_F(Streams, AnUploadArrivesWhole) {
  for (std::size_t size : {0u, 1u, 100u, 10'000'000u}) {
    auto body = bytes(size);
    ASSERT_TRUE(client.send(put("/upload/whole", size) + body));  // one connection for all
    auto answer = client.receive();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, std::to_string(size) + " " + sha256(body).hex());
  }
  ASSERT_TRUE(client.send(
      "PUT /upload/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.receive_some(100), "HTTP/1.1 100 Continue\r\n\r\n");
  auto body = bytes(3'000'000);
  ASSERT_TRUE(client.send("2dc6c0\r\n" + body + "\r\n0\r\n\r\n"));
  EXPECT_EQ(client.receive().body, "3000000 " + sha256(body).hex());
}

TEST_F(Streams, AClientThatGoesAwayAbortsItsUpload) {
  ASSERT_TRUE(client.send(put("/upload/gone", 1'000'000) + bytes(500'000)));
  client.reset();
  EXPECT_TRUE(serving.uploads.wait_for("abort gone net.aborted"));
}

TEST_F(Streams, ARefusedUploadIsNotRead) {
  struct Case {
    std::string path, reason, log;
    int status;
  };
  for (const auto& c :
       std::vector<Case>{{"/upload/refused", "test.refused", "", 409},
                         {"/upload/full", "test.full", "abort full test.full", 429},
                         {"/upload/unfinished", "test.unfinished", "abort unfinished test.unfinished", 409},
                         {"/small/large", "net.body_too_large", "", 413}}) {
    RawClient one(serving.port);
    std::thread sender([&] { (void)(one.send(put(c.path, 2'000'000)) && one.send(bytes(2'000'000))); });
    auto answer = one.receive();
    sender.join();
    EXPECT_EQ(answer.status, c.status) << answer.body;
    EXPECT_NE(answer.body.find("\"reason\":\"" + c.reason + "\""), std::string::npos) << answer.body;
    EXPECT_TRUE(c.log.empty() || serving.uploads.wait_for(c.log));
  }
  ASSERT_TRUE(
      client.send("PUT /small/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n"));
  (void)client.send(bytes(200'000));
  EXPECT_EQ(client.receive().status, 413);
  EXPECT_TRUE(serving.uploads.wait_for("abort chunked net.body_too_large"));
}

TEST_F(Streams, FilesAreSentWholeAndInPart) {
  for (std::size_t size : {0u, 1000u, 5'000'000u}) {
    auto content = bytes(size);
    ASSERT_TRUE(write_file(serving.fs, serving.dir.path("data"), content));
    ASSERT_TRUE(client.send(get("/file/data")));
    auto whole = client.receive();
    EXPECT_EQ(whole.status, 200);
    EXPECT_EQ(whole.body, content);
    EXPECT_EQ(whole.headers["etag"], "\"v1\"");
    if (size == 0) continue;
    ASSERT_TRUE(client.send(get("/file/data", "Range: bytes=500-\r\n")));
    auto part = client.receive();
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(part.body, content.substr(500));
    EXPECT_EQ(part.headers["content-range"], "bytes 500-" + std::to_string(size - 1) + "/" + std::to_string(size));
    ASSERT_TRUE(client.send("HEAD /file/data HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    EXPECT_EQ(client.receive(true).headers["content-length"], std::to_string(size));
  }
  ASSERT_TRUE(client.send(get("/file/missing")));
  auto missing = client.receive();
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("net.file_gone"), std::string::npos);
}

TEST_F(Streams, ASlowReaderGetsAllOfIt) {
  auto content = bytes(8'000'000);
  ASSERT_TRUE(write_file(serving.fs, serving.dir.path("slow"), content));
  RawClient slow(serving.port, 4096);
  ASSERT_TRUE(slow.send(get("/file/slow")));
  // Others are served while it has not read a byte.
  ASSERT_TRUE(client.send(get("/fast/x")));
  EXPECT_EQ(client.receive().body, "GET x ");
  EXPECT_EQ(sha256(slow.receive().body), sha256(content));
}

TEST_F(Streams, FollowSendsLinesUntilTheirEnd) {
  ASSERT_TRUE(client.send(get("/follow/count")));
  auto answer = client.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers["content-type"], "application/x-ndjson");
  EXPECT_EQ(answer.headers["transfer-encoding"], "chunked");
  EXPECT_EQ(answer.body, "{\"line\":1}\n{\"line\":3}\n{\"line\":5}\n");
  ASSERT_TRUE(client.send(get("/follow/fail")));  // the connection is good for another request
  EXPECT_EQ(client.receive().body,
            "{\"line\":1}\n{\"error\":{\"code\":\"data_loss\",\"reason\":\"test.lost\",\"message\":\"lost\",\"next\":"
            "\"\"}}\n");
  ASSERT_TRUE(client.send(get("/follow/nothing")));
  EXPECT_EQ(client.receive().status, 404);
}

TEST_F(Streams, AFollowerGoesWhenItsClientDoes) {
  RawClient reader(serving.port);
  ASSERT_TRUE(reader.send(get("/follow/forever")));
  while (reader.receive_some(1000).find("{\"line\":2}") == std::string::npos) {
  }
  EXPECT_EQ(serving.followers, 1);
  reader.reset();
  while (serving.followers != 0) std::this_thread::yield();
}

TEST_F(Streams, DispatchRunsUploadsAndFollowsToo) {
  Request request{.method = "PUT", .path = "/upload/x", .headers = {{"Host", "localhost"}}, .body = "hello"};
  EXPECT_EQ(serving.server->dispatch(request).body, "5 " + sha256("hello").hex());
  request.path = "/upload/unfinished";
  EXPECT_EQ(serving.server->dispatch(request).status, 409);
  request = {.method = "GET", .path = "/follow/count", .headers = {{"Host", "localhost"}}};
  EXPECT_EQ(serving.server->dispatch(request).body, "{\"line\":1}\n{\"line\":3}\n{\"line\":5}\n");
}

}  // namespace
}  // namespace millrace::net
