// What is recorded of predictors on other machines: the number of the newest wish, who was heard of, how far their
// prediction logs are taken. Every function runs in the caller's transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::loop {

std::vector<meta::Migration> fleet_migrations();  // of the loop's tables

struct StoredWish {
  std::int64_t number = 0;
  std::string digest;
};
Result<std::optional<StoredWish>> newest_wish(meta::Reader& reader);
// The newest wish's number, which is another one when `digest` is.
Result<StoredWish> put_wish(meta::Tx& tx, const std::string& digest, TimePoint now);

struct StoredPredictor {
  std::string id;
  std::string report;  // JSON
  TimePoint heard{};
};
Result<void> put_predictor(meta::Tx& tx, const StoredPredictor& predictor);
Result<std::vector<StoredPredictor>> list_predictors(meta::Reader& reader);
Result<void> forget_predictors(meta::Tx& tx, TimePoint heard_before);

// How often lines of a model came that a label had come before: live quality that was planned at a lower number may
// have missed them.
Result<std::int64_t> late_lines(meta::Reader& reader, std::string_view model);
Result<void> note_late_lines(meta::Tx& tx, std::string_view model);

// How far a segment of a predictor's log is taken; 0: nothing of it is known.
Result<std::int64_t> log_accepted(meta::Reader& reader, std::string_view predictor, std::string_view segment);
// Of each predictor the newest segments are remembered: it removes one before it sends the next.
Result<void> put_log_accepted(meta::Tx& tx, std::string_view predictor, std::string_view segment, std::int64_t accepted,
                              TimePoint now);

}  // namespace millrace::loop
