// millrace loadtest: requests at set times against a running server, and what came of it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/open_loop.hpp"
#include "cli/commands.hpp"
#include "cli/loadtest_rows.hpp"
#include "cli/loadtest_verdict.hpp"

namespace millrace::cli {

// As typed.
struct LoadtestOptions {
  std::string model;
  double rate = 100;
  std::string duration = "10s";
  std::string ramp;          // "100..5000"; then `rate` and `duration` do not count
  std::string stage = "5s";  // of a ramp
  std::string arrivals = "fixed";
  std::string protocol = "predict";
  std::string rows_file;
  std::string timeout = "10s";
  std::string p50, p90, p99, p999, max, errors;
  int connections = 16;
  int rows_each = 1;
  std::uint64_t seed = 1;
};

struct LoadtestHost {
  Env& env;
  std::function<Result<std::string>(const std::string& path)> read_input;
  std::function<bool()> interrupted;  // Ctrl-C was pressed
  OnProgress progress;                // a line each second
};

// What is printed: one measurement, or the stages of a ramp.
struct LoadStage {
  double per_second = 0;
  double duration_s = 0;
  OpenLoopResult result;
  std::vector<LoadSecond> seconds;
  Saturation saturation;
  std::vector<LimitLine> limits;
  std::string client_note;  // "" when this program was quick enough
  bool held = false;
};
struct LoadReport {
  std::string model, url, path, rows;
  LoadtestOptions options;
  bool ramp = false;
  std::vector<LoadStage> stages;  // one, but for a ramp
  std::optional<double> highest;  // of a ramp
};
std::string report_text(const LoadReport& report);
std::string report_json(const LoadReport& report);
// 0, 2 where a limit was missed (a ramp: where not even its lowest rate held), 1 where nothing was answered, 130 after
// Ctrl-C.
int report_exit(const LoadReport& report);

Result<Output> loadtest(Client& client, const LoadtestOptions& options, const LoadtestHost& host, bool json);

}  // namespace millrace::cli
