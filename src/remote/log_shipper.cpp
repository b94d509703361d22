#include "remote/log_shipper.hpp"

#include <algorithm>

#include "base/fault.hpp"
#include "base/log.hpp"

namespace millrace::remote {

// True: something was sent.
Result<bool> LogShipper::send_from(const serve::SegmentFile& segment, bool closed) {
  TRY(auto piece, serve::read_piece(env_.fs, segment.path, *at_, closed));
  if (piece.lines == 0) return false;
  // The server says "from" as it was told last: room that nothing stands in belongs to the next piece.
  const auto from = *at_;
  at_.reset();
  TRY_VOID(env_.faults.reach("remote.ship.before_send"));
  TRY(const auto accepted, receiver_.ship(key_, from, piece.to, std::move(piece.items)));
  TRY_VOID(env_.faults.reach("remote.ship.after_send"));
  at_ = accepted;
  std::lock_guard lock(mutex_);
  sent_ = accepted;
  all_sent_ = false;
  return true;
}

Result<void> LogShipper::remove(const serve::SegmentFile& segment) {
  TRY_VOID(env_.faults.reach("remote.ship.before_remove"));
  TRY_VOID(env_.fs.remove(segment.path));
  // Gone for good before the next one is sent: the server remembers the newest segments only.
  TRY_VOID(env_.fs.sync_dir(log_.config().dir));
  TRY_VOID(env_.faults.reach("remote.ship.after_remove"));
  key_.clear();
  at_.reset();
  std::lock_guard lock(mutex_);
  sent_ = 0;
  return {};
}

Result<bool> LogShipper::step() {
  TRY(const auto segments, log_.segments());
  if (segments.empty()) {
    std::lock_guard lock(mutex_);
    all_sent_ = true;
    return false;
  }
  const auto& oldest = segments.front();
  TRY(const auto key, serve::segment_key(env_.fs, oldest.path, oldest.number));
  if (key) {
    if (key_ != *key) at_.reset();
    key_ = *key;
    if (!at_) {
      TRY(at_, receiver_.shipped(key_));
    }
    TRY(const bool sent, send_from(oldest, false));
    if (sent) return true;
  }
  TRY(const auto closed_through, log_.closed_through());
  if (oldest.number > closed_through) {
    std::lock_guard lock(mutex_);
    all_sent_ = segments.size() == 1;
    return false;
  }
  if (key) {
    // Behind what a killed process left unfinished there may be more.
    TRY(const bool sent, send_from(oldest, true));
    if (sent) return true;
  }
  TRY_VOID(remove(oldest));
  return true;
}

std::uint64_t LogShipper::unshipped_bytes() const {
  const auto segments = log_.segments();
  std::uint64_t bytes = 0;
  if (segments) {
    for (const auto& segment : *segments) bytes += segment.bytes;
  }
  std::lock_guard lock(mutex_);
  return all_sent_ && segments && segments->size() <= 1 ? 0 : bytes - std::min(bytes, sent_);
}

}  // namespace millrace::remote
