// What a person should be told about a project without having asked: what a file means for the data that is there, and
// readings that failed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "data/ingest.hpp"
#include "flow/jobs.hpp"
#include "loop/project.hpp"

namespace millrace::loop {

// Columns that the project names and the newest version of their source (`columns`, of source `source`) does not have.
// Pure. One line each, with the nearest name. Nothing when `columns` is empty: no data yet.
std::vector<std::string> missing_columns(const Project& project, const std::string& source,
                                         const std::vector<std::string>& columns);

// One line for each source whose newest reading failed, with what to do. `asked_still`: whether that reading asked what
// the project asks now (target, key, checks); what failed for another question is of no concern any more.
Result<std::vector<std::string>> failed_readings(
    meta::Reader& reader, flow::Jobs& jobs, const Project& project,
    const std::function<bool(const SourceConfig& source, const data::IngestInput& reading)>& asked_still);

}  // namespace millrace::loop
