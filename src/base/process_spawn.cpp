#include "base/process_spawn_internal.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/fs.hpp"

namespace millrace::process {
namespace {

enum class Stage : int { none, join_group, affinity, data_limit, parent_gone, folder, program };

// All that the child needs, made before the fork: after it nothing may allocate or lock.
struct Plan {
  const char* program = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* cwd = nullptr;
  int in = -1, out = -1, err = -1;
  const int* join_fds = nullptr;
  std::size_t join_count = 0;
  bool limit_data = false;
  rlimit data{};
  bool pin = false;
  cpu_set_t cpus{};
  pid_t parent = 0;
  // Written by the child, which shares our memory until exec.
  volatile Stage failed_at = Stage::none;
  volatile int error = 0;
};

[[noreturn]] void give_up(Plan& plan, Stage stage) {
  plan.error = errno;
  plan.failed_at = stage;
  ::_exit(127);
}

// Async-signal-safe calls only.
[[noreturn]] void run_child(Plan& plan) {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);  // an ignored SIGPIPE would be inherited
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) give_up(plan, Stage::parent_gone);  // it died before the line above
  for (std::size_t i = 0; i < plan.join_count; ++i) {
    if (::write(plan.join_fds[i], "0", 1) != 1) give_up(plan, Stage::join_group);
  }
  if (plan.pin && ::sched_setaffinity(0, sizeof plan.cpus, &plan.cpus) != 0) give_up(plan, Stage::affinity);
  if (plan.limit_data && ::setrlimit(RLIMIT_DATA, &plan.data) != 0) give_up(plan, Stage::data_limit);
  ::dup2(plan.in, 0);
  ::dup2(plan.out, 1);
  ::dup2(plan.err, 2);
  // Libraries open files without O_CLOEXEC; a child that holds a listening socket keeps a port taken.
  ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  if (plan.cwd != nullptr && ::chdir(plan.cwd) != 0) give_up(plan, Stage::folder);
  ::execve(plan.program, plan.argv, plan.envp);
  give_up(plan, Stage::program);
}

// vfork: fork would copy the page tables of a server with gigabytes of models, and stop its threads meanwhile.
// Nothing but this in the function, because the child runs on its stack frame.
[[gnu::noinline]] pid_t start(Plan& plan) {
  const pid_t pid = ::vfork();
  if (pid == 0) run_child(plan);
  return pid;
}

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) {
    // 0, 1 and 2 may be free in a daemon, and would be overwritten in the child.
    if (fd >= 0 && fd < 3) {
      fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
      ::close(fd);
    } else {
      fd_ = fd;
    }
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

Result<Fd> open_output(const std::string& path) {
  if (path.empty()) return Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  RealFs fs;
  TRY_VOID(fs.open_write(path, WriteMode::append));  // for its errors
  return Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
}

std::vector<std::string> environment(const ProcessSpec& spec) {
  std::map<std::string, std::string> all;
  for (char** entry = spec.inherit_env ? ::environ : nullptr; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) all.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto& [name, value] : spec.env) all[name] = value;
  std::vector<std::string> out;
  for (const auto& [name, value] : all) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Result<std::string> find_in(std::string_view dirs, const std::string& name) {
  while (!dirs.empty()) {
    const auto dir = dirs.substr(0, dirs.find(':'));
    dirs.remove_prefix(std::min(dirs.size(), dir.size() + 1));
    auto path = join_path(dir.empty() ? "." : dir, name);
    struct stat st{};
    if (::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return fail(Code::not_found, "process.no_program", fmt::format("no program '{}' in PATH; is it installed?", name));
}

constexpr std::string_view usual_path = "/usr/local/bin:/usr/bin:/bin";

Result<std::string> find_program(const ProcessSpec& spec, const std::vector<std::string>& env) {
  const auto& name = spec.argv.front();
  if (name.contains('/')) return name;
  std::string_view dirs = usual_path;
  for (const auto& entry : env) {
    if (entry.starts_with("PATH=")) dirs = std::string_view(entry).substr(5);
  }
  return find_in(dirs, name);
}

std::unexpected<Error> start_error(const ProcessSpec& spec, Stage stage, int error) {
  const auto why = std::error_code(error, std::generic_category()).message();
  if (stage == Stage::folder) {
    return fail(Code::not_found, "process.no_folder", fmt::format("cannot run in the folder {}: {}", spec.cwd, why));
  }
  const auto message = fmt::format("cannot start {}: {}", spec.argv.front(), why);
  if (stage == Stage::program && (error == ENOENT || error == ENOTDIR)) {
    return fail(Code::not_found, "process.no_program", message);
  }
  if (stage == Stage::program && error == EACCES) {
    return fail(Code::permission_denied, "process.not_executable", message);
  }
  return fail(Code::unavailable, "process.cannot_start", message);
}

// The first `cores` processors that we may use, rounded up, starting elsewhere for each child.
bool choose_cpus(double cores, cpu_set_t& out) {
  cpu_set_t ours;
  if (::sched_getaffinity(0, sizeof ours, &ours) != 0) return false;
  std::vector<int> usable;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &ours)) usable.push_back(cpu);
  }
  const auto wanted = static_cast<std::size_t>(std::max(1.0, std::ceil(cores)));
  if (wanted >= usable.size()) return false;
  static std::size_t turn = 0;  // the spawning thread's alone
  CPU_ZERO(&out);
  for (std::size_t i = 0; i < wanted; ++i) CPU_SET(usable[(turn + i) % usable.size()], &out);
  turn += wanted;
  return true;
}

// Data counts virtual memory: stacks and arenas of threads that are never touched. The watch on resident memory is
// exact but looks now and then; this stops the ones that are faster.
rlim_t data_limit(std::uint64_t memory_bytes) { return memory_bytes + memory_bytes / 4 + (64u << 20); }

std::uint64_t kilobytes_after(std::string_view status, std::string_view key) {
  const auto at = status.find(key);
  if (at == std::string_view::npos) return 0;
  auto rest = status.substr(at + key.size());
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(" \t")));
  std::uint64_t value = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return value * 1'024;
}

std::string status_of(Fs& fs, pid_t pid) { return read_file(fs, fmt::format("/proc/{}/status", pid)).value_or(""); }

std::vector<pid_t> children_of(Fs& fs, pid_t pid) {
  std::vector<pid_t> out;
  const auto base = "/proc/" + std::to_string(pid);
  const auto tasks = fs.list(base + "/task");
  if (!tasks) return out;
  for (const auto& task : *tasks) {
    const auto text = read_file(fs, fmt::format("{}/task/{}/children", base, task.name)).value_or("");
    const char* at = text.data();
    const char* const end = at + text.size();
    for (pid_t child = 0;; at = std::find_if(at, end, [](char c) { return c != ' '; })) {
      const auto [next, error] = std::from_chars(at, end, child);
      if (error != std::errc{}) break;
      out.push_back(child);
      at = next;
    }
  }
  return out;
}

constexpr int depth_max = 16;

std::uint64_t resident_tree(Fs& fs, pid_t pid, int depth) {
  auto sum = kilobytes_after(status_of(fs, pid), "VmRSS:");
  if (depth > depth_max) return sum;
  for (const auto child : children_of(fs, pid)) sum += resident_tree(fs, child, depth + 1);
  return sum;
}

void kill_tree(Fs& fs, pid_t pid, int depth) {
  if (depth > depth_max) return;
  for (const auto child : children_of(fs, pid)) {
    // Stopped first: it can start nothing more while its own children are looked for.
    ::kill(child, SIGSTOP);
    kill_tree(fs, child, depth + 1);
    ::kill(child, SIGKILL);
  }
}

}  // namespace

Step next_step(const Watched& w) {
  if (w.killed) return Step::nothing;
  if (w.memory_max && w.memory_bytes > *w.memory_max) return Step::kill_for_memory;
  if (w.asked_at) return w.now - *w.asked_at >= w.grace ? Step::kill_after_grace : Step::nothing;
  if (w.deadline && w.now >= *w.deadline) return Step::terminate_for_wall_time;
  return Step::nothing;
}

Result<pid_t> spawn(const ProcessSpec& spec, const Cgroup* group, LimitedBy& limited_by) {
  if (spec.argv.empty()) return fail(Code::invalid_argument, "process.no_program", "no program was given to start");
  auto env = environment(spec);
  TRY(const auto program, find_program(spec, env));
  auto args = spec.argv;
  const auto argv = pointers(args), envp = pointers(env);
  const Fd in(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  TRY(const Fd out, open_output(spec.stdout_path));
  TRY(const Fd err, open_output(spec.stderr_path));

  Plan plan{.program = program.c_str(), .argv = argv.data(), .envp = envp.data()};
  if (!spec.cwd.empty()) plan.cwd = spec.cwd.c_str();
  plan.in = in.get();
  plan.out = out.get();
  plan.err = err.get();
  plan.parent = ::getpid();
  if (group != nullptr) {
    limited_by = group->limited_by();
    plan.join_fds = group->join_fds().data();
    plan.join_count = group->join_fds().size();
  }
  if (spec.limits.memory_bytes && limited_by.memory.empty()) {
    limited_by.memory = "rlimit";
    plan.limit_data = true;
    plan.data = {data_limit(*spec.limits.memory_bytes), data_limit(*spec.limits.memory_bytes)};
  }
  if (spec.limits.cpu_cores && limited_by.cpu.empty()) {
    limited_by.cpu = "affinity";
    plan.pin = choose_cpus(*spec.limits.cpu_cores, plan.cpus);
  }

  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // a handler must not run in the child on our memory
  const pid_t pid = start(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return start_error(spec, Stage::none, fork_error);
  if (plan.failed_at != Stage::none) {
    ::waitpid(pid, nullptr, 0);
    return start_error(spec, plan.failed_at, plan.error);
  }
  // When the machine runs out of memory, a job goes before the server.
  RealFs fs;
  if (auto file = fs.open_write(fmt::format("/proc/{}/oom_score_adj", pid), WriteMode::append)) {
    (void)(*file)->append(as_bytes("300"));
  }
  return pid;
}

void kill_descendants(pid_t pid) {
  RealFs fs;
  kill_tree(fs, pid, 0);
}

std::uint64_t resident_of(pid_t pid) {
  RealFs fs;
  return resident_tree(fs, pid, 0);
}

std::uint64_t peak_of(pid_t pid) {
  RealFs fs;
  return kilobytes_after(status_of(fs, pid), "VmHWM:");
}

}  // namespace millrace::process

namespace millrace {

Result<std::string> find_program(const std::string& name) {
  if (!name.contains('/')) {
    const char* path = ::getenv("PATH");
    return process::find_in(path != nullptr ? path : process::usual_path, name);
  }
  if (::access(name.c_str(), X_OK) == 0) return name;
  return fail(Code::not_found, "process.no_program",
              fmt::format("cannot start {}: {}", name, std::error_code(errno, std::generic_category()).message()));
}

}  // namespace millrace
