#include "app/test_time.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/passing_fs.hpp"

namespace millrace::app {
namespace {

struct Calendar {
  Duration ahead{};
  const std::int64_t* set = nullptr;  // in a file that a test writes while we run: so many microseconds ahead, besides
  std::int64_t speed = 1;
  TimePoint since{};

  TimePoint of(TimePoint real) const {
    const Duration set_ahead(set ? __atomic_load_n(set, __ATOMIC_RELAXED) : 0);
    return real + ahead + set_ahead + (real > since ? (speed - 1) * (real - since) : Duration::zero());
  }
};

class TestClock final : public Clock {
 public:
  explicit TestClock(const Calendar& calendar) : calendar_(calendar) {}
  TimePoint now() override { return calendar_.of(system_.now()); }
  SteadyPoint steady() override { return system_.steady(); }

 private:
  SystemClock system_;
  Calendar calendar_;
};

// Passes everything on; files are as old as the calendar says.
class TestFs final : public PassingFs {
 public:
  explicit TestFs(const Calendar& calendar) : PassingFs(real_), calendar_(calendar) {}

  Result<FileInfo> info(const std::string& path) override {
    TRY(auto info, PassingFs::info(path));
    info.modified = calendar_.of(info.modified);
    return info;
  }
  Result<std::vector<FileInfo>> list(const std::string& dir) override {
    TRY(auto files, PassingFs::list(dir));
    for (auto& file : files) file.modified = calendar_.of(file.modified);
    return files;
  }

 private:
  RealFs real_;
  Calendar calendar_;
};

const char* set_to(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

Error in(const char* name, std::string message) {
  return {Code::invalid_argument, "app.bad_test_time", std::string(name) + ": " + std::move(message)};
}

}  // namespace

Result<TestTime> time_from_environment() {
  constexpr auto offset_name = "MILLRACE_CLOCK_OFFSET", speed_name = "MILLRACE_CALENDAR_SPEED",
                 since_name = "MILLRACE_CALENDAR_SINCE";
  constexpr std::int64_t speed_max = 100'000;
  Calendar calendar;
  constexpr std::string_view file = "file:";
  if (const char* text = set_to(offset_name); text && std::string_view(text).starts_with(file)) {
    const int fd = ::open(text + file.size(), O_RDONLY | O_CLOEXEC);
    void* mapped = fd < 0 ? MAP_FAILED : ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) ::close(fd);
    if (mapped == MAP_FAILED) return fail(in(offset_name, "this file can't be read"));
    calendar.set = static_cast<const std::int64_t*>(mapped);
  } else if (text) {
    auto ahead = parse_duration(text);
    if (!ahead) return fail(in(offset_name, ahead.error().message));
    calendar.ahead = *ahead;
  }
  const char* fast = set_to(speed_name);
  if (fast) {
    const std::string_view text = fast;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), calendar.speed);
    if (error != std::errc() || end != text.data() + text.size() || calendar.speed < 1 || calendar.speed > speed_max)
      return fail(in(speed_name, "expected a whole number from 1 to 100000"));
    if (const char* since = set_to(since_name)) {
      auto moment = parse_time(since);
      if (!moment) return fail(in(since_name, moment.error().message));
      calendar.since = *moment;
    } else {
      calendar.since = SystemClock().now();
      ::setenv(since_name, format_time(calendar.since).c_str(), 1);  // before there is any other thread
    }
  }
  TestTime out;
  out.clock = std::make_unique<TestClock>(calendar);
  if (fast)
    out.fs = std::make_unique<TestFs>(calendar);
  else
    out.fs = std::make_unique<RealFs>();
  return out;
}

}  // namespace millrace::app
