// What is known of the prediction log's way into Parquet: how far it is rolled, by which columns, which part has lines
// from when to when. Every function runs in the caller's transaction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "loop/jobs.hpp"
#include "meta/meta.hpp"

namespace millrace::loop {

// Segments with numbers up to this one are in Parquet; readers take the parts and the segments above it.
Result<std::uint64_t> rolled_through(meta::Reader& reader);
Result<LogView> log_view(meta::Reader& reader, std::string_view model, std::string dir);
Result<std::map<std::string, LogLayout>> log_layouts(meta::Reader& reader);  // by model
// Of the newest version of the model's dataset, in order of their lines.
Result<std::vector<RolledPart>> log_parts(meta::Reader& reader, std::string_view model);

// One transaction: new versions of the models' datasets and that `job.through` is rolled. False, and nothing is
// changed, when the log is not where the job began (it was rolled already).
Result<bool> add_roll(meta::Tx& tx, const RollJob& job, RollResult result, const std::string& cause, TimePoint now);

// Whether let_lines_go() would find something. Cheap.
Result<bool> lines_due(meta::Reader& reader, std::string_view model, Duration keep, TimePoint now);
// Retention: a new version of the model's dataset without its parts whose newest line is older than `keep`, which are
// recorded as let go. The rows that went; 0 when there is nothing to do.
Result<std::int64_t> let_lines_go(meta::Tx& tx, std::string_view model, Duration keep, TimePoint now);

// A part whose blob is lost: as above, whatever its age. Nothing when the model has no such part.
Result<void> let_part_go(meta::Tx& tx, std::string_view model, std::string_view digest, const std::string& reason,
                         TimePoint now);

}  // namespace millrace::loop
