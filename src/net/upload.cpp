#include <chrono>

#include "base/fs.hpp"
#include "net/upload_internal.hpp"

namespace millrace::net {

void Upload::push(std::string_view piece) {
  constexpr auto look = std::chrono::milliseconds(50);
  std::unique_lock lock(mutex_);
  // The first piece always fits, however large it is.
  auto fits = [&] {
    return sink_gone_ || cut_ || waiting_bytes_ == 0 || waiting_bytes_ + piece.size() <= buffer_bytes_max_;
  };
  for (auto waited = Duration::zero(); !fits(); waited += look) {
    if (waited >= stall_max_) {
      cut_ = Error{Code::deadline_exceeded, "net.upload_stalled", "the body could not be stored in time"};
    } else if (abandoned_()) {
      cut_ = Error{Code::unavailable, "net.stopping", "the server is stopping"};
    } else {
      changed_.wait_for(lock, look, fits);
    }
  }
  if (sink_gone_ || cut_) {
    changed_.notify_all();
    return;
  }
  waiting_bytes_ += piece.size();
  // Small pieces are joined: a chunked body may come in pieces of a few bytes.
  constexpr std::size_t joined_max = 64u << 10;
  if (!pieces_.empty() && pieces_.back().size() + piece.size() <= joined_max) {
    pieces_.back().append(piece);
  } else {
    pieces_.emplace_back(piece);
  }
  changed_.notify_all();
}

void Upload::end() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void Upload::cut(Error why) {
  std::lock_guard lock(mutex_);
  if (!cut_) cut_ = std::move(why);
  changed_.notify_all();
}

bool Upload::whole() const {
  std::lock_guard lock(mutex_);
  return ended_;
}

std::optional<std::string> Upload::pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return cut_ || ended_ || !pieces_.empty(); });
  if (cut_ || pieces_.empty()) return std::nullopt;
  auto piece = std::move(pieces_.front());
  pieces_.pop_front();
  waiting_bytes_ -= piece.size();
  changed_.notify_all();
  return piece;
}

Response Upload::fail_with(UploadSink* sink, const Error& error) {
  {
    std::lock_guard lock(mutex_);
    sink_gone_ = true;
    pieces_.clear();
    changed_.notify_all();
  }
  if (sink) sink->abort(error);
  return error_response(error);
}

Response Upload::run(const std::function<Result<std::unique_ptr<UploadSink>>()>& open) {
  auto sink = open();
  if (!sink) return fail_with(nullptr, sink.error());
  while (auto piece = pop()) {
    auto taken = (*sink)->append(as_bytes(*piece));
    if (!taken) return fail_with(sink->get(), taken.error());
  }
  std::optional<Error> why;
  {
    std::lock_guard lock(mutex_);
    why = cut_;
  }
  if (why) return fail_with(sink->get(), *why);
  auto response = (*sink)->finish();
  if (!response) return fail_with(sink->get(), response.error());
  return *std::move(response);
}

}  // namespace millrace::net
