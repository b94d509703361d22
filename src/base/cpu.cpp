#include "base/cpu.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace millrace {

namespace {

// A small file below /proc, in one read; "" when it can't be.
std::string proc_text(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  std::string text(4096, '\0');
  const auto got = ::read(fd, text.data(), text.size());
  ::close(fd);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

ThreadCpu thread_cpu() {
  ThreadCpu out;
  rusage usage{};
  if (::getrusage(RUSAGE_THREAD, &usage) == 0) out.used_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  unsigned long long ran_ns = 0, waited_ns = 0;
  if (std::sscanf(proc_text("/proc/thread-self/schedstat").c_str(), "%llu %llu", &ran_ns, &waited_ns) == 2)
    out.waited_s = static_cast<double>(waited_ns) * 1e-9;
  return out;
}

ProcessCpu process_cpu() {
  ProcessCpu out;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) out.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  unsigned long long pages = 0, resident = 0;
  if (std::sscanf(proc_text("/proc/self/statm").c_str(), "%llu %llu", &pages, &resident) == 2)
    out.memory_bytes = resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (DIR* folder = ::opendir("/proc/self/fd")) {
    while (const dirent* entry = ::readdir(folder)) out.files_open += entry->d_name[0] != '.';
    if (out.files_open > 0) --out.files_open;  // the folder itself
    ::closedir(folder);
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  out.processors = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0
                       ? CPU_COUNT(&allowed)
                       : static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  return out;
}

std::optional<MachineCpu> machine_cpu() {
  // cpu user nice system idle iowait irq softirq steal; guests are in user already
  unsigned long long t[8] = {};
  if (std::sscanf(proc_text("/proc/stat").c_str(), "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
                  &t[3], &t[4], &t[5], &t[6], &t[7]) < 5)
    return std::nullopt;
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  double all = 0;
  for (const auto part : t) all += static_cast<double>(part);
  return MachineCpu{(all - static_cast<double>(t[3] + t[4])) * tick, all * tick};
}

}  // namespace millrace
