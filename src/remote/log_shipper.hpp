// Sends a predictor's log to its server, segment by segment, and removes what the server has durably.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::remote {

// The server's end of it; FleetClient, and a test's own.
class LogReceiver {
 public:
  virtual ~LogReceiver() = default;
  // How far the server has a segment, durably.
  virtual Result<std::uint64_t> shipped(const std::string& segment) const = 0;
  // What stands in it from `from` to `to`; answers how far the server has it then: where that is not `to`, it did not
  // take this piece, since it had another part of the segment.
  virtual Result<std::uint64_t> ship(const std::string& segment, std::uint64_t from, std::uint64_t to,
                                     std::string items) const = 0;
};

// One thread calls step().
class LogShipper {
 public:
  LogShipper(Env& env, const LogReceiver& receiver, serve::PredictionLog& log)
      : env_(env), receiver_(receiver), log_(log) {}

  // Sends one piece, or removes one segment. False: there is nothing more to do now. After an error the next call
  // begins with the question how far the server is.
  Result<bool> step();
  // Of the segments' files, without what was sent of the oldest; 0 when everything was. Thread-safe.
  std::uint64_t unshipped_bytes() const;

 private:
  Result<bool> send_from(const serve::SegmentFile& segment, bool closed);
  Result<void> remove(const serve::SegmentFile& segment);

  Env& env_;
  const LogReceiver& receiver_;
  serve::PredictionLog& log_;
  std::string key_;                  // of the segment that is being sent
  std::optional<std::uint64_t> at_;  // how far the server has it; absent: to be asked
  mutable std::mutex mutex_;
  std::uint64_t sent_ = 0;  // of the oldest segment's file; guarded by mutex_, as is the next
  bool all_sent_ = false;
};

}  // namespace millrace::remote
