#include "loop/log_intake.hpp"

#include <algorithm>

#include "base/fault.hpp"
#include "loop/fleet_records.hpp"
#include "loop/log_records.hpp"

namespace millrace::loop {

Result<std::unique_ptr<LogIntake>> LogIntake::open(Env& env, meta::Store& store, serve::PredictionLog& log) {
  auto intake = std::unique_ptr<LogIntake>(new LogIntake(env, store, log));
  std::uint64_t after = 0;
  bool any = false;
  TRY_VOID(store.read([&](meta::Reader& reader) -> Result<void> {
    TRY(after, rolled_through(reader));
    TRY(const auto predictors, list_predictors(reader));
    any = !predictors.empty();
    return {};
  }));
  if (!any) return intake;  // a log that nobody sends to need not be read
  std::map<Key, std::uint64_t> taken;
  TRY_VOID(serve::read_shipped(env.fs, log.config().dir, after, [&](const serve::ShippedFrom& from) {
    auto& to = taken[{from.predictor, from.segment}];
    to = std::max(to, from.to);
  }));
  for (const auto& [key, to] : taken) {
    TRY(const auto recorded, intake->known(key));
    if (recorded >= to) continue;
    intake->unrecorded_[key] = to;
    TRY_VOID(intake->record(key, to));
  }
  return intake;
}

Result<std::uint64_t> LogIntake::known(const Key& key) {
  if (const auto at = unrecorded_.find(key); at != unrecorded_.end()) return at->second;
  TRY(const auto accepted,
      store_.read([&](meta::Reader& reader) { return log_accepted(reader, key.first, key.second); }));
  return static_cast<std::uint64_t>(accepted);
}

Result<void> LogIntake::record(const Key& key, std::uint64_t to) {
  TRY_VOID(store_.write([&](meta::Tx& tx) {
    return put_log_accepted(tx, key.first, key.second, static_cast<std::int64_t>(to), env_.clock.now());
  }));
  unrecorded_.erase(key);
  return {};
}

Result<std::uint64_t> LogIntake::accepted(const std::string& predictor, const std::string& segment) {
  std::lock_guard lock(mutex_);
  const Key key{predictor, segment};
  TRY(const auto to, known(key));
  if (unrecorded_.contains(key)) TRY_VOID(record(key, to));
  return to;
}

Result<std::uint64_t> LogIntake::take(const serve::ShippedFrom& from, std::string_view items) {
  TRY(const auto lines, serve::check_piece(from, items));
  std::lock_guard lock(mutex_);
  const Key key{from.predictor, from.segment};
  TRY(const auto to, known(key));
  if (to == from.from) {
    TRY_VOID(env_.faults.reach("loop.shipped.before_log"));
    TRY_VOID(log_.append_shipped(from, items));
    unrecorded_[key] = from.to;
    lines_ += lines;
    TRY_VOID(env_.faults.reach("loop.shipped.before_commit"));
  }
  if (const auto at = unrecorded_.find(key); at != unrecorded_.end()) TRY_VOID(record(key, std::uint64_t{at->second}));
  TRY_VOID(env_.faults.reach("loop.shipped.after_commit"));
  return known(key);
}

std::uint64_t LogIntake::lines() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

}  // namespace millrace::loop
