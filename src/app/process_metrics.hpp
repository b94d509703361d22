// What this process uses, for /metrics, under the names that Prometheus' own clients give it.
#pragma once

#include <string>

namespace millrace::app {

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, millrace_app_processors.
std::string process_metrics_text();

}  // namespace millrace::app
