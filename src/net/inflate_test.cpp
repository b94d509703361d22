#include <gtest/gtest.h>
#include <zlib.h>

#include "net/inflate_internal.hpp"

namespace millrace::net {
namespace {

std::string packed(std::string_view text, int window) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(Z_STREAM_END, deflate(&stream, Z_FINISH));
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string inflated(std::string_view body, std::string_view coding, std::uint64_t max = 1u << 20,
                     std::uint64_t memory = 1u << 30) {
  const auto got = inflate_body(body, coding, max, [&](std::uint64_t bytes) {
    if (bytes > memory) return false;
    memory -= bytes;
    return true;
  });
  return got ? *got : got.error().reason;
}

constexpr int kGzip = 15 + 16, kZlib = 15, kRaw = -15;

TEST(Inflate, BothCodingsAndWhatIsWrongWithThem) {
  const std::string text = "some text, some text, some text", big(200'000, 'x');
  const auto gzip = packed(text, kGzip), zlib = packed(text, kZlib);
  EXPECT_EQ(text, inflated(gzip, "gzip"));
  EXPECT_EQ(text, inflated(gzip, "X-GZIP"));
  EXPECT_EQ(text, inflated(zlib, "Deflate"));
  EXPECT_EQ("", inflated(packed("", kGzip), "gzip"));
  EXPECT_EQ(big, inflated(packed(big, kGzip), "gzip"));
  const std::string bad = "net.bad_compression";
  EXPECT_EQ(bad, inflated(zlib, "gzip"));
  EXPECT_EQ(bad, inflated(gzip, "deflate"));
  EXPECT_EQ(bad, inflated(packed(text, kRaw), "deflate"));
  EXPECT_EQ(bad, inflated("", "gzip"));
  EXPECT_EQ(bad, inflated("not gzip at all", "gzip"));
  EXPECT_EQ(bad, inflated(gzip + "x", "gzip"));
  for (std::size_t i = 0; i < gzip.size(); ++i) EXPECT_EQ(bad, inflated(std::string(gzip.data(), i), "gzip")) << i;
  auto damaged = gzip;
  damaged[damaged.size() - 8] ^= 1;  // of the checksum
  EXPECT_EQ(bad, inflated(damaged, "gzip"));
}

TEST(Inflate, NoMoreThanIsAllowed) {
  const auto bomb = packed(std::string(20u << 20, '\0'), kGzip);
  ASSERT_LT(bomb.size(), 200'000u);
  EXPECT_EQ("net.body_too_large", inflated(bomb, "gzip"));
  EXPECT_EQ("net.overloaded", inflated(bomb, "gzip", 40u << 20, 10u << 20));
  const auto exact = packed(std::string(100'000, 'x'), kGzip);
  EXPECT_EQ(100'000u, inflated(exact, "gzip", 100'000).size());
  EXPECT_EQ("net.body_too_large", inflated(exact, "gzip", 99'999));
}

}  // namespace
}  // namespace millrace::net
