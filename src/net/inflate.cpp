#include <zlib.h>

#include <algorithm>

#include "net/http.hpp"
#include "net/inflate_internal.hpp"

namespace millrace::net {

namespace {

constexpr std::uint64_t kPieceBytes = 64u << 10;

std::unexpected<Error> damaged(std::string_view coding) {
  return fail(Code::invalid_argument, "net.bad_compression",
              "the body is not what its Content-Encoding (" + std::string(coding) + ") says: damaged or cut off");
}

}  // namespace

bool can_inflate(std::string_view coding) {
  return equal_ignoring_case(coding, "gzip") || equal_ignoring_case(coding, "x-gzip") ||
         equal_ignoring_case(coding, "deflate");
}

Result<std::string> inflate_body(std::string_view body, std::string_view coding, std::uint64_t bytes_max,
                                 const std::function<bool(std::uint64_t)>& take) {
  z_stream stream{};
  const int window = equal_ignoring_case(coding, "deflate") ? MAX_WBITS : MAX_WBITS + 16;  // 16: gzip's head and end
  if (inflateInit2(&stream, window) != Z_OK) return fail(Code::unavailable, "net.overloaded", "no memory to inflate");
  struct End {
    z_stream& stream;
    ~End() { inflateEnd(&stream); }
  } end{stream};
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  std::string out;
  for (int state = Z_OK; state != Z_STREAM_END;) {
    // One byte more than may be, so that too much is seen.
    const std::uint64_t piece = std::min(kPieceBytes, bytes_max + 1 - out.size());
    if (!take(piece)) return fail(Code::unavailable, "net.overloaded", "too many requests wait already");
    const auto before = out.size();
    out.resize(before + piece);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(piece);
    state = ::inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (state != Z_OK && state != Z_STREAM_END) return damaged(coding);
    if (state == Z_OK && stream.avail_in == 0 && stream.avail_out > 0) return damaged(coding);
    if (out.size() > bytes_max) return fail(Code::out_of_range, "net.body_too_large", "the inflated body is too large");
  }
  if (stream.avail_in > 0) return damaged(coding);
  return out;
}

}  // namespace millrace::net
