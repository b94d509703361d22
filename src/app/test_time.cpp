#include "app/test_time.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

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
class TestFs final : public Fs {
 public:
  explicit TestFs(const Calendar& calendar) : calendar_(calendar) {}

  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override { return real_.open_read(path); }
  Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) override {
    return real_.open_write(path, mode);
  }
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) override {
    return real_.open_mapped(path, size);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) override {
    return real_.lock(path, holder);
  }
  Result<FileInfo> info(const std::string& path) override {
    TRY(auto info, real_.info(path));
    info.modified = calendar_.of(info.modified);
    return info;
  }
  Result<std::vector<FileInfo>> list(const std::string& dir) override {
    TRY(auto files, real_.list(dir));
    for (auto& file : files) file.modified = calendar_.of(file.modified);
    return files;
  }
  Result<void> make_dirs(const std::string& dir) override { return real_.make_dirs(dir); }
  Result<void> rename(const std::string& from, const std::string& to) override { return real_.rename(from, to); }
  Result<void> remove(const std::string& path) override { return real_.remove(path); }
  Result<void> remove_all(const std::string& path) override { return real_.remove_all(path); }
  Result<void> sync_dir(const std::string& dir) override { return real_.sync_dir(dir); }
  Result<std::uint64_t> free_bytes(const std::string& path) override { return real_.free_bytes(path); }

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
