// One upload between its connection's loop, which pushes pieces, and the thread that runs its sink. What waits between
// them is bounded: a full buffer makes push() wait, so the loop stops reading and the client is held back by TCP.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.hpp"

namespace millrace::net {

class Upload {
 public:
  // A sink that takes nothing for stall_max fails the upload; `abandoned` is asked meanwhile (the server quits).
  Upload(std::uint64_t buffer_bytes_max, Duration stall_max, std::function<bool()> abandoned)
      : buffer_bytes_max_(buffer_bytes_max), stall_max_(stall_max), abandoned_(std::move(abandoned)) {}

  // The connection's side, one thread.
  void push(std::string_view piece);  // dropped once the sink has failed
  void end();                         // the body is whole
  void cut(Error why);                // it will never be

  // The sink's side: opens it, feeds it, finishes or aborts it; the answer.
  Response run(const std::function<Result<std::unique_ptr<UploadSink>>()>& open);
  // Whether the whole body has been pushed: only then may the connection take another request.
  bool whole() const;

 private:
  std::optional<std::string> pop();  // nullopt: end or cut
  Response fail_with(UploadSink* sink, const Error& error);

  const std::uint64_t buffer_bytes_max_;
  const Duration stall_max_;
  const std::function<bool()> abandoned_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_;
  std::uint64_t waiting_bytes_ = 0;
  bool ended_ = false;
  bool sink_gone_ = false;
  std::optional<Error> cut_;
};

}  // namespace millrace::net
