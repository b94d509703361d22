// What a person should be told about a project without having asked: what a file means for the data that is there, and
// readings that failed.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "flow/jobs.hpp"
#include "loop/project.hpp"

namespace millrace::loop {

// Columns that the project names and the newest version of their source (`columns`, of source `source`) does not have.
// Pure. One line each, with the nearest name. Nothing when `columns` is empty: no data yet.
std::vector<std::string> missing_columns(const Project& project, const std::string& source,
                                         const std::vector<std::string>& columns);

// One line for each source whose newest reading failed, with what to do.
Result<std::vector<std::string>> failed_readings(meta::Reader& reader, flow::Jobs& jobs, const Project& project);

}  // namespace millrace::loop
