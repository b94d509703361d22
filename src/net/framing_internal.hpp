// Where one HTTP/1.1 request ends and the next begins, checked strictly before the HTTP library sees a byte. Drogon
// takes "Content-Length: 5x", both framings at once and a negative chunk size, keeps a whole chunk in memory however
// large, answers a broken head without a body, refuses "Expect: 100-continue" with a chunked body (what `curl -T -`
// sends), and takes "Upgrade: websocket" past our own handlers. This passes on only what is well formed: heads whole,
// `Expect` and `Upgrade` taken out, chunks cut to what has arrived.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::net {

struct FramingLimits {
  std::size_t head_bytes_max = 64u << 10;
  std::size_t headers_max = 100;
  std::size_t requests_max = 32;  // in one step; what stands behind them waits for the next
  std::uint64_t body_bytes_max = UINT64_MAX;
};

class Framing {
 public:
  explicit Framing(const FramingLimits& limits) : limits_(limits) {}

  struct Step {
    std::size_t consumed = 0;  // of the input; the rest comes again with more behind it
    bool same = true;          // what goes on is exactly the consumed input; else it is `output`
    std::string output;
    bool send_continue = false;    // a client waits for "100 Continue" before it sends its body
    std::optional<Error> refusal;  // after `output` comes an answer with this error and status, then the end
    int status = 400;              // of the refusal
    bool body_broken = false;      // a chunk is malformed: the request under way fails
  };
  // Looks at what has arrived and was not consumed; call it again with the rest until it consumes nothing. After a
  // refusal or a broken body everything is dropped.
  Step take(std::string_view input);

  // True between requests and inside of a head: what stands in the buffer is an unfinished head.
  bool in_head() const { return state_ == State::head; }

 private:
  enum class State { head, fixed_body, chunk_size, chunk_data, chunk_end, trailer, dead };
  // How the body of a head is framed; a refusal when it is not.
  struct Head {
    std::uint64_t length = 0;
    bool chunked = false;
    bool expects = false;
    bool changed = false;
    std::string output;  // set when changed: the head without what goes no further
  };
  Result<Head> read_head(std::string_view head, int& status) const;

  FramingLimits limits_;
  State state_ = State::head;
  std::size_t searched_ = 0;      // of an unfinished head
  std::uint64_t left_ = 0;        // of the body or the chunk
  std::uint64_t body_bytes_ = 0;  // of a chunked body so far
};

}  // namespace millrace::net
