#include "app/process_metrics.hpp"

#include <format>

#include "base/cpu.hpp"

namespace millrace::app {

std::string process_metrics_text() {
  const auto used = process_cpu();
  return std::format(
      "# HELP process_cpu_seconds_total Processor time used, user and system.\n"
      "# TYPE process_cpu_seconds_total counter\n"
      "process_cpu_seconds_total {}\n"
      "# HELP process_resident_memory_bytes Memory that is in RAM.\n"
      "# TYPE process_resident_memory_bytes gauge\n"
      "process_resident_memory_bytes {}\n"
      "# HELP process_open_fds Files and connections that are open.\n"
      "# TYPE process_open_fds gauge\n"
      "process_open_fds {}\n"
      "# HELP millrace_app_processors Processors that this process may use.\n"
      "# TYPE millrace_app_processors gauge\n"
      "millrace_app_processors {}\n",
      used.cpu_s, used.memory_bytes, used.files_open, used.processors);
}

}  // namespace millrace::app
