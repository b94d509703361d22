#include "net/framing_internal.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace::net {
namespace {

// All that goes on when `text` arrives in pieces of the given sizes (the last one repeats), and how it ended.
struct Outcome {
  std::string output;
  std::string reason;  // of a refusal, "broken" for a broken body
  int status = 0;
  int continues = 0;
};
Outcome feed(std::string_view text, const std::vector<std::size_t>& sizes, FramingLimits limits = {}) {
  Framing framing(limits);
  Outcome out;
  std::string buffer;
  for (std::size_t at = 0, i = 0; at < text.size(); ++i) {
    auto piece = text.substr(at, sizes[std::min(i, sizes.size() - 1)]);
    at += piece.size();
    buffer += piece;
    for (std::size_t consumed = 1; consumed > 0 && !buffer.empty();) {
      auto step = framing.take(buffer);
      out.output += step.same ? buffer.substr(0, step.consumed) : step.output;
      out.continues += step.send_continue;
      if (step.refusal) {
        out.reason = step.refusal->reason;
        out.status = step.status;
      }
      if (step.body_broken) out.reason = "broken";
      buffer.erase(0, consumed = step.consumed);
    }
  }
  return out;
}
Outcome feed(std::string_view text) { return feed(text, {text.size()}); }

const std::string get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const std::string post = "POST /a HTTP/1.1\r\nHost: x\r\n";

TEST(Framing, PassesWhatIsWellFormedUntouched) {
  for (auto text :
       {get, get + get + get, post + "Content-Length: 5\r\n\r\nhello", post + "Content-Length: 0\r\n\r\n" + get,
        post + "content-length:5\r\nX-Empty:\r\nX-Utf8: \xc3\xa9\r\n\r\nhello" + get,
        std::string("GET http://x/a?b HTTP/1.0\r\n\r\n")}) {
    auto outcome = feed(text);
    EXPECT_EQ(outcome.reason, "") << text;
    EXPECT_EQ(outcome.output, text);
    Framing framing({});
    EXPECT_TRUE(framing.take(text).same) << text;  // without a copy
  }
}

TEST(Framing, TakesExpectOutAndSaysThatItIsWaitedFor) {
  auto chunked = feed(post + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(chunked.output, post + "Transfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(chunked.continues, 1);
  EXPECT_EQ(feed(post + "Content-Length: 1\r\nexpect: 100-Continue\r\n\r\na").output,
            post + "Content-Length: 1\r\n\r\na");
  EXPECT_EQ(feed(post + "Expect: 100-continue\r\n\r\n").continues, 0);
  EXPECT_EQ(feed(post + "Expect: tea\r\n\r\n").status, 417);
}

TEST(Framing, CutsChunksToWhatHasArrived) {
  Framing framing({});
  std::string head = post + "Transfer-Encoding: chunked\r\n\r\n";
  auto first = framing.take(head + "fffffff\r\nabc");
  EXPECT_EQ(first.output, head + "3\r\nabc\r\n");
  EXPECT_EQ(first.consumed, head.size() + 12);  // nothing of a chunk of 256 MB is kept
  EXPECT_EQ(framing.take("de").output, "2\r\nde\r\n");
  EXPECT_EQ(feed(head + "3;name=\"v\"\r\nabc\r\n0\r\nTrailer: x\r\n\r\n" + get).output,
            head + "3\r\nabc\r\n0\r\n\r\n" + get);
}

TEST(Framing, RefusesWhatIsNot) {
  struct Case {
    std::string text, reason;
    int status;
  };
  auto chunk = [](std::string body) { return post + "Transfer-Encoding: chunked\r\n\r\n" + body; };
  for (const auto& c : std::vector<Case>{
           {"GET /a\r\n\r\n", "net.bad_head", 400},
           {"GET  HTTP/1.1\r\nHost: x\r\n\r\n", "net.bad_head", 400},
           {"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "net.bad_head", 400},
           {"GET /a HTTP/2.0\r\nHost: x\r\n\r\n", "net.bad_head", 505},
           {"G\x01T /a HTTP/1.1\r\nHost: x\r\n\r\n", "net.bad_head", 400},
           {"BREW /a HTTP/1.1\r\nHost: x\r\n\r\n", "net.unknown_method", 501},
           {"GET /a HTTP/1.1\r\n\r\n", "net.bad_head", 400},
           {"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "net.bad_head", 400},
           {"GET /a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "net.bad_head", 400},
           {"GET /a HTTP/1.1\r\nHost: x\r\n folded: 1\r\n\r\n", "net.bad_head", 400},
           {"GET /a HTTP/1.1\r\nHost : x\r\n\r\n", "net.bad_head", 400},
           {"GET /a HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", "net.bad_head", 400},
           {std::string("GET /a HTTP/1.1\r\nHost: x\0\r\n\r\n", 29), "net.bad_head", 400},
           {"\x16\x03\x01 a TLS hello\r\n\r\n", "net.bad_head", 400},
           {post + "Content-Length: 5x\r\n\r\nhello", "net.bad_framing", 400},
           {post + "Content-Length: -5\r\n\r\nhello", "net.bad_framing", 400},
           {post + "Content-Length: +5\r\n\r\nhello", "net.bad_framing", 400},
           {post + "Content-Length: 99999999999999999999\r\n\r\nhello", "net.bad_framing", 400},
           {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "net.bad_framing", 400},
           {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "net.bad_framing", 400},
           {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", "net.bad_framing", 501},
           {"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "net.bad_framing", 501},
           {post + "Content-Length: 1001\r\n\r\n", "net.body_too_large", 413},
           {"GET /" + std::string(70'000, 'a') + " HTTP/1.1\r\n", "net.head_too_large", 431},
           {get.substr(0, get.size() - 2) +
                [] {
                  std::string s;
                  for (int i = 0; i < 101; ++i) s += "A: b\r\n";
                  return s;
                }() +
                "\r\n",
            "net.head_too_large", 431},
           {chunk("-5\r\nabc"), "broken", 0},
           {chunk("5x\r\nabc"), "broken", 0},
           {chunk("\r\nabc"), "broken", 0},
           {chunk("ffffffffffffffff\r\nabc"), "broken", 0},
           {chunk("3e9\r\nabc"), "broken", 0},  // 1001 bytes
           {chunk("3\r\nabcd\r\n"), "broken", 0},
           {chunk(std::string(300, '1')), "broken", 0},
           {chunk("0\r\n" + std::string(70'000, 'a')), "broken", 0},
       }) {
    FramingLimits limits{.body_bytes_max = 1000};
    for (auto outcome : {feed(c.text, {c.text.size()}, limits), feed(c.text + get, {1}, limits)}) {
      EXPECT_EQ(outcome.reason, c.reason) << c.text.substr(0, 200);
      EXPECT_EQ(outcome.status, c.status) << c.text.substr(0, 200);
      EXPECT_EQ(outcome.output.find("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"), std::string::npos)
          << "smuggled: " << c.text.substr(0, 200);
    }
  }
}

// The body bytes of chunked output joined, so that where the chunks are cut does not matter.
std::string unchunked(std::string_view text) {
  std::string out;
  for (;;) {
    auto at = text.find("chunked\r\n\r\n");
    if (at == std::string_view::npos) return out + std::string(text);
    out += text.substr(0, at + 11);
    text.remove_prefix(at + 11);
    for (;;) {
      auto line = text.find("\r\n");
      if (line == std::string_view::npos) return out + "|" + std::string(text);
      std::size_t size = std::strtoull(std::string(text.substr(0, line)).c_str(), nullptr, 16);
      out += text.substr(line + 2, size);
      text.remove_prefix(std::min(text.size(), line + 2 + size + 2));
      if (size == 0) break;
    }
  }
}

TEST(Framing, HowTheBytesArriveChangesNothing) {
  std::string text = get + post + "Content-Length: 11\r\n\r\nhello\r\n\r\nGE" + "\r\n" + post +
                     "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nc;x\r\n GET / "
                     "HTTP/\r\n0\r\nA: b\r\n\r\n" +
                     get;
  auto whole = feed(text);
  ASSERT_EQ(whole.reason, "");
  for (std::size_t size = 1; size < text.size(); ++size) {
    auto parts = feed(text, {size});
    EXPECT_EQ(unchunked(parts.output), unchunked(whole.output)) << "pieces of " << size;
    EXPECT_EQ(parts.continues, 1);
  }
}

// Random bytes, and well-formed requests with a few bytes changed, never crash it, and a piece at a time says the same.
TEST(Framing, NoBytesHurt) {
  std::mt19937 random(20261120);
  std::string seed = get + post + "Content-Length: 5\r\n\r\nhello" + post +
                     "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get;
  const std::string alphabet("\r\n :;0159afGx\x00\xff-", 17);
  for (int i = 0; i < 20'000; ++i) {
    auto text = seed;
    for (int k = static_cast<int>(random() % 4); k >= 0; --k) {
      auto at = random() % text.size();
      if (random() % 3 == 0)
        text.erase(at, 1 + random() % 3);
      else
        text[at] = alphabet[random() % alphabet.size()];
    }
    auto whole = feed(text), parts = feed(text, {1 + random() % 40, 1 + random() % 7});
    ASSERT_EQ(whole.reason, parts.reason) << text;
    ASSERT_EQ(whole.status, parts.status) << text;
    ASSERT_EQ(unchunked(whole.output), unchunked(parts.output)) << text;
  }
}

}  // namespace
}  // namespace millrace::net
