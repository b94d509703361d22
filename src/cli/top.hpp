// millrace top: a running server second by second, from its own /metrics and status.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.hpp"
#include "cli/scrape.hpp"

namespace millrace::cli {

// One look at a server.
struct TopLook {
  double at_s = 0;  // of a clock that only rises
  std::vector<Sample> samples;
  std::optional<api::Status> status;  // absent: a predictor, which has no such page
};

struct TopModel {
  std::string name, version;
  double requests_per_s = 0, rows_per_s = 0;
  std::optional<double> errors_per_s;  // absent: this server does not count them by model
  std::optional<double> p50_ms, p99_ms;
};
struct TopRoute {
  std::string route;  // "POST /predict/{model}"
  double requests_per_s = 0, client_errors_per_s = 0, server_errors_per_s = 0;
  std::optional<double> p50_ms, p99_ms;
};
// Between two looks.
struct TopView {
  std::string url, project, time;
  double seconds = 0;
  bool started_anew = false;  // counters fell: since the start instead
  std::optional<double> cpu_used, memory_bytes, files_open;
  double processors = 0, connections = 0, in_flight = 0, refused_per_s = 0;
  std::vector<TopModel> models;
  std::vector<TopRoute> routes;  // that were asked, the busiest first
  std::vector<std::string> running, waiting;
};

// Pure.
TopView top_view(const TopLook& before, const TopLook& after);
std::string top_text(const TopView& view, int columns);    // columns 0: lines as long as they are
std::string fitted(const std::string& text, int columns);  // each line at most so wide
std::string top_json(const TopView& view);
// The value that `share` of the observations did not exceed, as histogram_quantile() has it: between two bounds by
// proportion, of the last bucket its lower bound. `bounds` and what fell into each bucket; nothing without any.
struct Bucket {
  double bound = 0, count = 0;  // not added up
};
std::optional<double> bucket_quantile(const std::vector<Bucket>& buckets, double share);

struct TopOptions {
  bool once = false;
  std::string every = "1s";
};
struct TopHost {
  Env& env;
  std::function<void(const std::string&)> out;
  std::function<bool()> pause;  // a tenth of a second; false: Ctrl-C
  int columns = 0;              // of the terminal; 0: standard output is none
};
Result<Output> top(Client& client, const TopOptions& options, const TopHost& host, bool json);

}  // namespace millrace::cli
