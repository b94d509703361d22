// An HTTP/1.1 answer read piece by piece, as little of it as a load generator needs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

class HttpAnswer {
 public:
  enum class State { more, whole, bad };
  // Takes what came; `whole` when the answer is complete (what came beyond it is `bad`: nobody asked for it). Bodies of
  // 2xx answers are counted and dropped, others kept up to 64 KB.
  State take(std::string_view bytes);
  void clear();

  int status() const { return status_; }
  bool keep_alive() const { return keep_alive_; }
  const std::string& body() const { return body_; }
  bool begun() const { return head_done_ || !head_.empty(); }

 private:
  State read_head(std::string_view& bytes);
  State read_chunks(std::string_view bytes);

  std::string head_, body_, chunk_line_;
  bool head_done_ = false, keep_alive_ = true, chunked_ = false;
  int status_ = 0;
  std::uint64_t body_left_ = 0;
  enum class Chunk { size, data, data_end, trailer } chunk_ = Chunk::size;
};

}  // namespace millrace
