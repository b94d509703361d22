#include "loop/notes.hpp"

#include <algorithm>
#include <format>
#include <map>
#include <utility>

#include "base/nearest.hpp"
#include "eval/gates.hpp"
#include "loop/jobs.hpp"

namespace millrace::loop {

std::vector<std::string> missing_columns(const Project& project, const std::string& source,
                                         const std::vector<std::string>& columns) {
  std::vector<std::string> out;
  if (columns.empty()) return out;
  auto look = [&](const std::string& path, const std::string& column) {
    if (column.empty() || std::ranges::find(columns, column) != columns.end()) return;
    auto near = nearest(column, columns);
    out.push_back(std::format("{}: the data of source '{}' has no column '{}'{}", path, source, column,
                              near.empty() ? "" : "; did you mean '" + near + "'?"));
  };
  if (const auto* config = project.source(source)) look("source." + source + ".key", config->key);
  if (project.model.target.source == source) {
    look("model.target", project.model.target.column);
    for (const auto& column : project.model.inputs) look("model.inputs", column);
    for (const auto& column : project.model.exclude) look("model.exclude", column);
    for (const auto& config : project.gates) {
      const auto gate = eval::parse_gate({config.expression, config.bound.text});
      if (!gate) continue;
      for (const auto& column : eval::columns_of({&*gate, 1})) look("gates.\"" + config.expression + "\"", column);
    }
  }
  if (const auto* check = project.check(source)) {
    for (const auto& column : check->columns) look("check." + source, column.column);
  }
  return out;
}

Result<std::vector<std::string>> failed_readings(
    meta::Reader& reader, flow::Jobs& jobs, const Project& project,
    const std::function<bool(const SourceConfig& source, const data::IngestInput& reading)>& asked_still) {
  constexpr std::size_t looked_at = 50;
  TRY(auto readings, jobs.list(reader, {.kind = std::string(job_kind::ingest), .max = looked_at}));  // newest first
  std::map<std::string, bool> seen;
  std::vector<std::string> out;
  for (const auto& job : readings) {
    const auto name = job.key.substr(0, job.key.find('/'));
    const auto* source = project.source(name);
    if (!source || !flow::is_over(job.state) || std::exchange(seen[name], true)) continue;
    if (job.state != flow::JobState::failed || !job.failure) continue;
    TRY(const auto reading, parse_job<ReadJob>(job.input));
    if (!asked_still(*source, reading.input)) continue;
    out.push_back(std::format(
        "source '{}' was not read: {}: {}; {}", name, flow::to_text(job.failure->kind), job.failure->message,
        source->upload() ? "upload a mended file: millrace ingest " + name + " FILE"
                         : "it is read again when the file or its part of the project changes, or "
                           "at once with: millrace ingest " +
                               name));
  }
  return out;
}

}  // namespace millrace::loop
