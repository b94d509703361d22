// What a server's /metrics says, read from Prometheus' text format. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cli {

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};
// Lines that are no samples are passed over.
std::vector<Sample> read_samples(std::string_view text);

struct ServerCounters {
  double at_s = 0;  // when it was asked; set by the caller
  double cpu_s = 0, memory_bytes = 0, cores = 0;
};
// Nothing where the server does not count its processors' time.
std::optional<ServerCounters> read_server_counters(std::string_view metrics);

struct ServerUse {
  double cores_used = 0, cores = 0;
};
// Between two looks; nothing where the server was started anew in between.
std::optional<ServerUse> server_use(const ServerCounters& before, const ServerCounters& after);

}  // namespace millrace::cli
