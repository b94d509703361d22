#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <charconv>

#include "base/fs.hpp"
#include "base/process_cgroup_internal.hpp"

namespace millrace::process {
namespace {

constexpr std::string_view prefix = "millrace-";

template <class Each>
void each_line(std::string_view text, const Each& each) {
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    each(line);
  }
}

std::vector<std::string_view> words(std::string_view line, char separator) {
  std::vector<std::string_view> out;
  while (!line.empty()) {
    const auto word = line.substr(0, line.find(separator));
    line.remove_prefix(std::min(line.size(), word.size() + 1));
    out.push_back(word);
  }
  return out;
}

bool has_word(std::string_view text, char separator, std::string_view word) {
  for (const auto candidate : words(text, separator)) {
    if (candidate == word) return true;
  }
  return false;
}

std::string read_text(const std::string& path) {
  RealFs fs;
  auto text = read_file(fs, path).value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// Control files take one write, which says yes or no.
bool write_text(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return done;
}

std::string own_dir(std::string_view controller) {
  return own_group_dir(read_text("/proc/self/mountinfo"), read_text("/proc/self/cgroup"), controller);
}

// A folder that a service manager handed to us, an ordinary user. Root owns everything, which says nothing.
bool is_delegated(const std::string& dir) {
  struct stat st{};
  return ::geteuid() != 0 && ::stat(dir.c_str(), &st) == 0 && st.st_uid == ::geteuid() &&
         ::access((dir + "/cgroup.procs").c_str(), W_OK) == 0;
}

std::string pid_namespace() {
  std::string link(64, '\0');
  const auto length = ::readlink("/proc/self/ns/pid", link.data(), link.size());
  std::string out;
  for (const char c : link.substr(0, length > 0 ? static_cast<std::size_t>(length) : 0)) {
    if (c >= '0' && c <= '9') out += c;
  }
  return out.empty() ? "0" : out;
}

// millrace-<pid namespace>-<pid>-<time>-<n>: unique among all that share the folder.
std::string new_name() {
  static std::atomic<unsigned> count = 0;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return fmt::format("{}{}-{}-{:x}{:08x}-{}", prefix, pid_namespace(), ::getpid(), now.tv_sec, now.tv_nsec, ++count);
}

std::vector<pid_t> members(const std::string& dir) {
  std::vector<pid_t> out;
  each_line(read_text(dir + "/cgroup.procs"), [&](std::string_view line) {
    pid_t pid = 0;  // stays 0 for one of another namespace
    std::from_chars(line.data(), line.data() + line.size(), pid);
    if (pid > 0) out.push_back(pid);
  });
  return out;
}

void kill_members(const std::string& dir) {
  if (write_text(dir + "/cgroup.kill", "1")) return;
  // Before Linux 5.14, and version 1: those who fork meanwhile are met in the next round.
  for (int round = 0; round < 100; ++round) {
    const auto pids = members(dir);
    if (pids.empty()) return;
    for (const auto pid : pids) ::kill(pid, SIGKILL);
    const timespec moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
  }
}

void remove_dir(const std::string& dir) {
  // Busy until the last of the killed has left.
  for (int tries = 0; tries < 500 && ::rmdir(dir.c_str()) != 0 && errno == EBUSY; ++tries) {
    const timespec moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
  }
}

void sweep_dir(const std::string& parent) {
  if (parent.empty()) return;
  const auto ours = fmt::format("{}{}-", prefix, pid_namespace());
  RealFs fs;
  const auto entries = fs.list(parent);
  if (!entries) return;
  for (const auto& entry : *entries) {
    if (!entry.is_dir || !entry.name.starts_with(ours)) continue;
    pid_t pid = 0;
    std::from_chars(entry.name.data() + ours.size(), entry.name.data() + entry.name.size(), pid);
    if (pid <= 0 || ::kill(pid, 0) == 0 || errno != ESRCH) continue;
    kill_members(join_path(parent, entry.name));
    remove_dir(join_path(parent, entry.name));
  }
}

}  // namespace

std::string own_group_dir(std::string_view mountinfo, std::string_view self_cgroup, std::string_view controller) {
  std::string path;  // "<number>:<controllers>:<path>"; version 2 has none and number 0
  each_line(self_cgroup, [&](std::string_view line) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) return;
    const auto controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? line.starts_with("0::") : has_word(controllers, ',', controller)) {
      path = line.substr(second + 1);
    }
  });
  if (path.empty()) return "";

  std::string out;  // "id parent dev root mount-point options ... - type source super-options"
  each_line(mountinfo, [&](std::string_view line) {
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) return;
    const auto left = words(line.substr(0, dash), ' '), right = words(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) return;
    if (right[0] != (controller.empty() ? "cgroup2" : "cgroup")) return;
    if (!controller.empty() && !has_word(right[2], ',', controller)) return;
    const auto root = left[3] == "/" ? std::string_view() : left[3];  // in a container only a part is mounted
    if (!std::string_view(path).starts_with(root)) return;
    out = std::string(left[4]) + path.substr(root.size());
    while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  });
  return out;
}

std::uint64_t least_limit(const std::vector<std::string>& texts) {
  std::uint64_t least = 0;
  for (const auto& text : texts) {
    std::uint64_t bytes = 0;  // "max" is no number
    std::from_chars(text.data(), text.data() + text.size(), bytes);
    if (bytes > 0 && (least == 0 || bytes < least)) least = bytes;
  }
  return least;
}

std::optional<Cgroup> Cgroup::make(const ProcessLimits& limits) {
  if (!limits.memory_bytes && !limits.cpu_cores) return std::nullopt;
  const auto name = new_name();
  Cgroup group;
  if (const auto own = own_dir(""); !own.empty()) {
    if (group.make_v2(limits, own, name)) return group;
    // A process cannot limit groups inside its own one (version 2 allows members in leaves only), but beside it.
    if (const auto parent = parent_path(own); is_delegated(parent) && group.make_v2(limits, parent, name)) return group;
  }
  if (group.make_v1(limits, name)) return group;
  return std::nullopt;
}

bool Cgroup::make_v2(const ProcessLimits& limits, const std::string& parent, const std::string& name) {
  const auto enabled = read_text(parent + "/cgroup.subtree_control");
  const bool memory = limits.memory_bytes && has_word(enabled, ' ', "memory");
  const bool cpu = limits.cpu_cores && has_word(enabled, ' ', "cpu");
  if (!memory && !cpu) return false;
  const auto dir = join_path(parent, name);
  if (!add_dir(dir)) return false;
  if (memory && write_text(dir + "/memory.max", std::to_string(*limits.memory_bytes))) {
    write_text(dir + "/memory.swap.max", "0");
    write_text(dir + "/memory.oom.group", "1");
    limited_by_.memory = "cgroup v2";
  }
  if (cpu && write_text(dir + "/cpu.max", fmt::format("{:.0f} 100000", *limits.cpu_cores * 100'000))) {
    limited_by_.cpu = "cgroup v2";
  }
  return true;
}

bool Cgroup::make_v1(const ProcessLimits& limits, const std::string& name) {
  if (const auto own = own_dir("memory"); limits.memory_bytes && !own.empty()) {
    const auto dir = join_path(own, name);
    const auto bytes = std::to_string(*limits.memory_bytes);
    if (add_dir(dir) && write_text(dir + "/memory.limit_in_bytes", bytes)) {
      write_text(dir + "/memory.memsw.limit_in_bytes", bytes);
      limited_by_.memory = "cgroup v1";
    }
  }
  if (const auto own = own_dir("cpu"); limits.cpu_cores && !own.empty()) {
    const auto dir = join_path(own, name);
    if (add_dir(dir) && write_text(dir + "/cpu.cfs_quota_us", fmt::format("{:.0f}", *limits.cpu_cores * 100'000))) {
      limited_by_.cpu = "cgroup v1";
    }
  }
  return !dirs_.empty();
}

bool Cgroup::add_dir(const std::string& dir) {
  if (::mkdir(dir.c_str(), 0755) != 0) return false;
  const int fd = ::open((dir + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    ::rmdir(dir.c_str());
    return false;
  }
  dirs_.push_back(dir);
  join_fds_.push_back(fd);
  return true;
}

Cgroup::Cgroup(Cgroup&& other) noexcept
    : dirs_(std::exchange(other.dirs_, {})),
      join_fds_(std::exchange(other.join_fds_, {})),
      limited_by_(std::move(other.limited_by_)) {}

Cgroup::~Cgroup() {
  for (const int fd : join_fds_) ::close(fd);
  for (const auto& dir : dirs_) {
    kill_members(dir);
    remove_dir(dir);
  }
}

bool Cgroup::ran_out_of_memory() const {
  bool out = false;
  for (const auto& dir : dirs_) {
    for (const auto* file : {"/memory.events", "/memory.oom_control"}) {
      each_line(read_text(dir + file), [&](std::string_view line) {
        if (line.starts_with("oom_kill ") && line != "oom_kill 0") out = true;
      });
    }
  }
  return out;
}

std::uint64_t Cgroup::memory_peak_bytes() const {
  std::uint64_t out = 0;
  for (const auto& dir : dirs_) {
    for (const auto* file : {"/memory.peak", "/memory.max_usage_in_bytes"}) {
      const auto text = read_text(dir + file);
      std::uint64_t bytes = 0;
      std::from_chars(text.data(), text.data() + text.size(), bytes);
      out = std::max(out, bytes);
    }
  }
  return out;
}

void Cgroup::kill_all() const {
  for (const auto& dir : dirs_) kill_members(dir);
}

void Cgroup::sweep() {
  const auto v2 = own_dir("");
  sweep_dir(v2);
  if (!v2.empty() && is_delegated(parent_path(v2))) sweep_dir(parent_path(v2));
  sweep_dir(own_dir("memory"));
  sweep_dir(own_dir("cpu"));
}

}  // namespace millrace::process

namespace millrace {

std::uint64_t machine_memory_bytes() {
  using namespace process;
  std::vector<std::string> limits;
  const auto pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0)
    limits.push_back(std::to_string(static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page)));
  for (const auto& [controller, file] : {std::pair("", "memory.max"), std::pair("memory", "memory.limit_in_bytes")}) {
    // A group above ours may allow less than ours does.
    for (auto dir = own_dir(controller); dir.size() > 1; dir = parent_path(dir)) {
      const auto text = read_text(join_path(dir, file));
      if (!text.empty()) limits.push_back(text);
    }
  }
  return least_limit(limits);
}

}  // namespace millrace
