// Takes pieces of predictors' logs into the server's own, each place of each segment once: what stands in the log and
// what the records say of it come together again after a kill between the two. A line that a label came before is noted
// in the transaction that takes it, so that the two are joined (Service::look_at_live). A label that comes once the
// line is in the log needs no note: what is done because of it reads the log after that.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"
#include "serve/prediction_log.hpp"
#include "serve/shipped.hpp"

namespace millrace::loop {

// Thread-safe.
class LogIntake {
 public:
  // Before anything of the log is rolled. All outlive it.
  static Result<std::unique_ptr<LogIntake>> open(Env& env, meta::Store& store, serve::PredictionLog& log);

  // How far the segment is taken, durably.
  Result<std::uint64_t> accepted(const std::string& predictor, const std::string& segment);
  // A piece that begins where the segment is taken up to; any other changes nothing. How far it is taken then, durably.
  // invalid_argument `serve.bad_piece`; resource_exhausted `serve.log_bound` while the server's log is full.
  Result<std::uint64_t> take(const serve::ShippedFrom& from, std::string_view items);
  std::uint64_t lines() const;  // taken by this process

 private:
  LogIntake(Env& env, meta::Store& store, serve::PredictionLog& log) : env_(env), store_(store), log_(log) {}
  using Key = std::pair<std::string, std::string>;
  struct Unrecorded {
    std::uint64_t to = 0;
    std::vector<serve::ShippedLine> lines;
  };
  Result<std::uint64_t> known(const Key& key);
  void in_log(const serve::ShippedFrom& from, std::string_view items);
  Result<void> record(const Key& key);

  Env& env_;
  meta::Store& store_;
  serve::PredictionLog& log_;
  mutable std::mutex mutex_;
  std::map<Key, Unrecorded> unrecorded_;  // in the log already
  std::uint64_t lines_ = 0;
};

}  // namespace millrace::loop
