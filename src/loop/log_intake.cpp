#include "loop/log_intake.hpp"

#include <algorithm>
#include <iterator>

#include "base/fault.hpp"
#include "label/records.hpp"
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
  std::map<Key, std::uint64_t> recorded;
  Result<void> looked;
  TRY_VOID(
      serve::read_shipped(env.fs, log.config().dir, after, [&](const serve::ShippedFrom& from, std::string_view items) {
        const Key key{from.predictor, from.segment};
        auto at = recorded.find(key);
        if (at == recorded.end() && looked) {
          const auto to = intake->known(key);
          if (to) {
            at = recorded.emplace(key, *to).first;
          } else {
            looked = fail(to.error());
          }
        }
        if (looked && from.to > at->second) intake->in_log(from, items);
      }));
  TRY_VOID(looked);
  while (!intake->unrecorded_.empty()) {
    const auto key = intake->unrecorded_.begin()->first;
    TRY_VOID(intake->record(key));
  }
  return intake;
}

Result<std::uint64_t> LogIntake::known(const Key& key) {
  if (const auto at = unrecorded_.find(key); at != unrecorded_.end()) return at->second.to;
  TRY(const auto accepted,
      store_.read([&](meta::Reader& reader) { return log_accepted(reader, key.first, key.second); }));
  return static_cast<std::uint64_t>(accepted);
}

void LogIntake::in_log(const serve::ShippedFrom& from, std::string_view items) {
  auto& piece = unrecorded_[{from.predictor, from.segment}];
  piece.to = std::max(piece.to, from.to);
  std::ranges::move(serve::shipped_lines(items), std::back_inserter(piece.lines));
}

Result<void> LogIntake::record(const Key& key) {
  const auto& piece = unrecorded_.at(key);
  std::map<std::string, bool, std::less<>> late;  // by model, whether a label came before a line of it
  TRY_VOID(store_.read([&](meta::Reader& reader) -> Result<void> {
    for (const auto& line : piece.lines) {
      auto at = late.find(line.model);
      if (at == late.end()) {
        TRY(const auto labels, label::last_seq(reader, line.model));
        if (labels == 0) continue;
        at = late.emplace(line.model, false).first;
      }
      if (at->second) continue;
      TRY(at->second, label::speaks_of(reader, line.model, line.id, line.key, line.time));
    }
    return {};
  }));
  TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
    for (const auto& [model, is] : late) {
      if (is) TRY_VOID(note_late_lines(tx, model));
    }
    return put_log_accepted(tx, key.first, key.second, static_cast<std::int64_t>(piece.to), env_.clock.now());
  }));
  unrecorded_.erase(key);
  return {};
}

Result<std::uint64_t> LogIntake::accepted(const std::string& predictor, const std::string& segment) {
  std::lock_guard lock(mutex_);
  const Key key{predictor, segment};
  TRY(const auto to, known(key));
  if (unrecorded_.contains(key)) TRY_VOID(record(key));
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
    in_log(from, items);
    lines_ += lines;
    TRY_VOID(env_.faults.reach("loop.shipped.before_commit"));
  }
  if (unrecorded_.contains(key)) TRY_VOID(record(key));
  TRY_VOID(env_.faults.reach("loop.shipped.after_commit"));
  return known(key);
}

std::uint64_t LogIntake::lines() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

}  // namespace millrace::loop
