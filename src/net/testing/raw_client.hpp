// A connection that sends exactly the bytes it is told to: broken requests, pipelines, slow readers.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace millrace::net {

struct RawResponse {
  int status = 0;                              // 0: the connection ended before an answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
};

class RawClient {
 public:
  // To 127.0.0.1. receive_buffer > 0: a small one, for a reader that lags.
  explicit RawClient(int port, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  bool send(std::string_view bytes);                // false: the other side has closed
  RawResponse receive(bool head = false);           // head: the answer to HEAD, no body follows
  std::string receive_some(std::size_t bytes_max);  // what there is next, "" at the end
  bool answered(int patience_ms);                   // whether bytes, or the end, have come
  bool at_end();                                    // waits for the other side to close; false when bytes come instead
  void reset();                                     // closes with RST, as a killed client does

 private:
  bool fill();
  int fd_ = -1;
  std::string buffer_;
};

std::string get(std::string_view path, std::string_view more_headers = "");
std::string post(std::string_view path, std::string_view body, std::string_view more_headers = "");

}  // namespace millrace::net
