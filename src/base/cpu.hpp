// Processor time as the kernel counts it, of this thread, this process and the whole machine.
#pragma once

#include <cstdint>
#include <optional>

namespace millrace {

struct ThreadCpu {
  double used_s = 0;
  double waited_s = 0;  // ready to run, but no processor was free; 0 where the kernel does not say
};
ThreadCpu thread_cpu();  // of the calling thread

struct ProcessCpu {
  double cpu_s = 0;                // of all threads, user and system
  std::uint64_t memory_bytes = 0;  // resident
  std::uint64_t files_open = 0;
  int processors = 1;  // that it may run on
};
ProcessCpu process_cpu();

struct MachineCpu {
  double busy_s = 0, all_s = 0;  // since the machine's start, over all processors
};
std::optional<MachineCpu> machine_cpu();  // nothing where there is no /proc/stat

}  // namespace millrace
