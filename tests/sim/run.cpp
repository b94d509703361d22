#include "sim/run.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.hpp"
#include "sim/story.hpp"

namespace millrace::simulator {

namespace {

using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point began) { return std::chrono::duration<double>(Steady::now() - began).count(); }

StoryOptions story_of(const RunOptions& options, std::uint64_t seed) {
  return {.seed = seed, .operations = options.operations, .plant = options.plant};
}

// What a process found over its seeds; sent to its parent as lines.
struct Found {
  std::uint64_t seeds = 0;
  Counts counts;
  std::map<std::string, std::uint64_t> points;
  std::map<std::uint64_t, std::string> wrong;  // by seed

  void add(std::uint64_t seed, const Told& told) {
    ++seeds;
    for (const auto& [name, count] : told.counts) counts[name] += count;
    for (const auto& [name, count] : told.fault_points) points[name] += count;
    if (!told.wrong.empty()) wrong[seed] = told.wrong;
  }
  void add(const Found& other) {
    seeds += other.seeds;
    for (const auto& [name, count] : other.counts) counts[name] += count;
    for (const auto& [name, count] : other.points) points[name] += count;
    wrong.insert(other.wrong.begin(), other.wrong.end());
  }
  std::string render() const {
    std::ostringstream out;
    out << "seeds\t" << seeds << "\n";
    for (const auto& [name, count] : counts) out << "count\t" << count << "\t" << name << "\n";
    for (const auto& [name, count] : points) out << "point\t" << count << "\t" << name << "\n";
    for (auto [seed, text] : wrong) {
      std::ranges::replace(text, '\n', ' ');
      out << "wrong\t" << seed << "\t" << text << "\n";
    }
    return out.str();
  }
  static Found parse(const std::string& text) {
    Found found;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      std::istringstream fields(line);
      std::string kind, number, rest;
      std::getline(fields, kind, '\t');
      std::getline(fields, number, '\t');
      std::getline(fields, rest);
      const auto n = std::strtoull(number.c_str(), nullptr, 10);
      if (kind == "seeds") found.seeds = n;
      if (kind == "count") found.counts[rest] = n;
      if (kind == "point") found.points[rest] = n;
      if (kind == "wrong") found.wrong[n] = rest;
    }
    return found;
  }
};

struct Child {
  pid_t pid = -1;
  int from = -1;
};

Child start(const std::function<std::string()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) std::abort();
  if (pid == 0) {
    ::close(ends[0]);
    const auto text = work();
    for (std::size_t sent = 0; sent < text.size();) {
      const auto n = ::write(ends[1], text.data() + sent, text.size() - sent);
      if (n <= 0) ::_exit(3);
      sent += static_cast<std::size_t>(n);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  return {pid, ends[0]};
}

// False when the process died before it said everything.
bool finish(const Child& child, std::string& text) {
  char buffer[65'536];
  for (;;) {
    const auto n = ::read(child.from, buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(child.from);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  return status == 0;
}

unsigned jobs_of(const RunOptions& options) {
  return options.jobs != 0 ? options.jobs : std::max(1u, std::thread::hardware_concurrency());
}

// The seed at which each process is: memory that they share, so that it is known when one has died.
class Progress {
 public:
  explicit Progress(unsigned jobs) : bytes_(jobs * sizeof(std::uint64_t)) {
    void* at = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) std::abort();
    seeds_ = static_cast<std::uint64_t*>(at);
  }
  ~Progress() { ::munmap(seeds_, bytes_); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  std::uint64_t& of(unsigned job) { return seeds_[job]; }

 private:
  std::size_t bytes_;
  std::uint64_t* seeds_ = nullptr;
};

// Each process takes every n-th seed, so that a run is the same whatever the number of processes.
void run_seeds(const RunOptions& options, Found& all, const std::function<bool()>& time_is_up) {
  const auto jobs = jobs_of(options);
  Progress progress(jobs);
  std::vector<Child> children;
  for (unsigned job = 0; job < jobs; ++job) {
    children.push_back(start([&, job] {
      Found found;
      for (auto seed = options.from + job; seed < options.to && !time_is_up(); seed += jobs) {
        progress.of(job) = seed;
        const auto told = tell(story_of(options, seed));
        found.add(seed, told);
        if (!told.wrong.empty())
          std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), told.wrong.c_str());
        if (found.wrong.size() >= 5) break;
      }
      return found.render();
    }));
  }
  for (unsigned job = 0; job < jobs; ++job) {
    std::string text;
    if (!finish(children[job], text)) all.wrong[progress.of(job)] = "the process of the simulator died";
    all.add(Found::parse(text));
  }
}

void print_counts(const Found& all) {
  std::printf("what happened:\n");
  for (const auto& [name, count] : all.counts)
    std::printf("  %10llu  %s\n", static_cast<unsigned long long>(count), name.c_str());
  std::printf("fault points reached:\n");
  for (const auto& [name, count] : all.points)
    std::printf("  %10llu  %s\n", static_cast<unsigned long long>(count), name.c_str());
}

int judge(const RunOptions& options, const Found& all, double seconds) {
  print_counts(all);
  int status = 0;
  for (const auto name : simulated_fault_points()) {
    const auto found = all.points.find(std::string(name));
    if (found != all.points.end() && found->second > 0) continue;
    if (all.seeds < 100) continue;  // too few to tell
    std::printf("NEVER REACHED: fault point %.*s\n", static_cast<int>(name.size()), name.data());
    status = 1;
  }
  for (const auto& [seed, text] : all.wrong) {
    std::printf("FAILED seed %llu: %s\n  replay: ./dev sim --seed=%llu", static_cast<unsigned long long>(seed),
                text.c_str(), static_cast<unsigned long long>(seed));
    if (options.operations != RunOptions{}.operations) std::printf(" --operations=%d", options.operations);
    std::printf("\n");
    status = 1;
  }
  const auto count = [&](const char* name) {
    const auto found = all.counts.find(name);
    return static_cast<unsigned long long>(found == all.counts.end() ? 0 : found->second);
  };
  std::printf("%llu seeds, %llu operations, %llu power cuts, %llu kills, %llu restarts in %.1f s: %s\n",
              static_cast<unsigned long long>(all.seeds), count("operations"), count("power lost"), count("killed"),
              count("restarted"), seconds, status == 0 ? "ok" : "FAILED");
  return status;
}

int run_one(const RunOptions& options) {
  const auto told = tell(story_of(options, options.from));
  std::fputs(told.trace.c_str(), stdout);
  std::printf("story %s\n", sha256(told.trace).hex().substr(0, 16).c_str());
  if (told.wrong.empty()) return std::printf("seed %llu: ok\n", static_cast<unsigned long long>(options.from)), 0;
  std::printf("seed %llu: %s\n", static_cast<unsigned long long>(options.from), told.wrong.c_str());
  return 1;
}

// The same seeds twice, in two processes.
bool same_story(const RunOptions& options) {
  const auto once = [&] {
    std::string text;
    for (auto seed = options.from; seed < std::min(options.to, options.from + 5); ++seed)
      text += tell(story_of(options, seed)).trace;
    return sha256(text).hex();
  };
  std::string first, second;
  const bool whole = finish(start(once), first) && finish(start(once), second);
  return whole && first == second;
}

int run_many(const RunOptions& options, const std::function<bool()>& time_is_up) {
  const auto began = Steady::now();
  if (!same_story(options)) {
    std::printf("FAILED: a seed told two different stories\n");
    return 1;
  }
  Found all;
  run_seeds(options, all, time_is_up);
  return judge(options, all, seconds_since(began));
}

int run_soak(RunOptions options) {
  const auto began = Steady::now();
  const auto minutes = static_cast<double>(options.minutes);
  options.from =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count() / 1'000'000'000);
  options.from *= 1'000'000;
  options.to = options.from + 1'000'000'000;
  return run_many(options, [=] { return seconds_since(began) > minutes * 60; });
}

constexpr std::uint64_t planted_seeds_max = 500;

// The first seed that finds it; planted_seeds_max when none does. Processes share the seeds, in turns.
std::uint64_t first_seed(const RunOptions& options, Plant plant, std::string& how) {
  const auto jobs = jobs_of(options);
  constexpr std::uint64_t turn = 2;
  for (std::uint64_t from = 0; from < planted_seeds_max; from += turn * jobs) {
    Found all;
    auto some = options;
    some.plant = plant;
    some.from = from;
    some.to = std::min(planted_seeds_max, from + turn * jobs);
    run_seeds(some, all, [] { return false; });
    if (all.wrong.empty()) continue;
    how = all.wrong.begin()->second;
    return all.wrong.begin()->first;
  }
  return planted_seeds_max;
}

int run_planted(const RunOptions& options) {
  const auto began = Steady::now();
  int missed = 0;
  std::printf("%-34s %10s  %s\n", "planted fault", "first seed", "seen as");
  for (const auto& one : planted()) {
    std::string how;
    const auto seed = first_seed(options, one.plant, how);
    const bool found = seed < planted_seeds_max;
    missed += !found;
    std::printf("%-34.*s %10s  %s\n", static_cast<int>(one.name.size()), one.name.data(),
                found ? std::to_string(seed).c_str() : "NOT FOUND", how.substr(0, 100).c_str());
    std::fflush(stdout);
  }
  std::printf("%zu planted faults, %d not found within %llu seeds, %.1f s\n", planted().size(), missed,
              static_cast<unsigned long long>(planted_seeds_max), seconds_since(began));
  return missed == 0 ? 0 : 1;
}

}  // namespace

int run(const RunOptions& options) {
  switch (options.mode) {
    case Mode::one:
      return run_one(options);
    case Mode::soak:
      return run_soak(options);
    case Mode::planted:
      return run_planted(options);
    case Mode::seeds:
      break;
  }
  return run_many(options, [] { return false; });
}

}  // namespace millrace::simulator
