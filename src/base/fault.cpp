#include "base/fault.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <memory>

namespace millrace {
namespace {

std::unexpected<Error> bad_spec(std::string_view item) {
  return fail(
      Code::invalid_argument, "fault.bad_spec",
      "'" + std::string(item) +
          "' is not a fault; write NAME=kill, NAME=stop, NAME=abort, NAME=hang or NAME=error, then perhaps @3 " +
          "and /once:PATH; or *=note:PATH");
}

bool made_now(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  ::fsync(fd);
  ::close(fd);
  return true;
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool can_overflow = true;
#else
constexpr bool can_overflow = false;
#endif

void overflow() {
  const auto bytes = std::make_unique<char[]>(8);
  const volatile std::size_t past = 8;
  (void)*static_cast<const volatile char*>(bytes.get() + past);
}

}  // namespace

Result<std::unique_ptr<Faults>> Faults::parse(std::string_view spec) {
  auto out = std::make_unique<Faults>();
  TRY_VOID(out->arm(spec));
  return out;
}

Result<void> Faults::arm(std::string_view spec) {
  plans_.clear();
  note_path_.clear();
  armed_ = false;
  while (!spec.empty()) {
    const auto item = spec.substr(0, spec.find(','));
    spec.remove_prefix(std::min(spec.size(), item.size() + 1));
    const auto equals = item.find('=');
    if (equals == 0 || equals == std::string_view::npos) return bad_spec(item);
    if (constexpr std::string_view every = "*=note:"; item.starts_with(every)) {
      note_path_ = item.substr(every.size());
      if (note_path_.empty()) return bad_spec(item);
      continue;
    }
    TRY(auto plan, parse_plan(item.substr(equals + 1), item));
    if (!plans_.emplace(std::string(item.substr(0, equals)), std::move(plan)).second) return bad_spec(item);
  }
  armed_ = !plans_.empty() || !note_path_.empty();
  return {};
}

Result<Faults::Plan> Faults::parse_plan(std::string_view what, std::string_view item) {
  Plan plan;
  if (const auto once = what.find("/once:"); once != std::string_view::npos) {
    plan.once_path = what.substr(once + 6);
    what = what.substr(0, once);
    if (plan.once_path.empty()) return bad_spec(item);
  }
  if (const auto at = what.find('@'); at != std::string_view::npos) {
    const auto number = what.substr(at + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), plan.at);
    if (error != std::errc{} || end != number.data() + number.size() || plan.at == 0) return bad_spec(item);
    what = what.substr(0, at);
  }
  if (what == "kill") {
    plan.kind = Plan::Kind::kill;
  } else if (what == "stop") {
    plan.kind = Plan::Kind::stop;
  } else if (what == "abort") {
    plan.kind = Plan::Kind::abort;
  } else if (what == "hang") {
    plan.kind = Plan::Kind::hang;
  } else if (what == "error") {
    plan.kind = Plan::Kind::error;
  } else if (can_overflow && what == "overflow") {
    plan.kind = Plan::Kind::overflow;
  } else {
    return bad_spec(item);
  }
  return plan;
}

// One write in append mode: lines of several processes do not mix, and none is lost when this one is killed next.
void Faults::note(std::string_view name) const {
  const int fd = ::open(note_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  const auto line = std::string(name) + " " + std::to_string(::getpid()) + "\n";
  (void)!::write(fd, line.data(), line.size());
  ::close(fd);
}

Result<void> Faults::act(std::string_view name) {
  if (!note_path_.empty()) note(name);
  std::unique_lock lock(mutex_);
  const auto found = plans_.find(name);
  if (found == plans_.end()) return {};
  auto& plan = found->second;
  ++plan.seen;
  if (plan.at != 0 && plan.seen != plan.at) return {};
  if (!plan.once_path.empty() && !made_now(plan.once_path)) return {};
  const auto kind = plan.kind;
  lock.unlock();
  if (kind == Plan::Kind::error) {
    return fail(Code::unavailable, "fault.injected", "fault point " + std::string(name) + " was told to fail");
  }
  if (kind == Plan::Kind::overflow) return overflow(), ok();
  if (kind == Plan::Kind::abort) std::abort();
  while (kind == Plan::Kind::hang) ::pause();
  ::kill(::getpid(), kind == Plan::Kind::kill ? SIGKILL : SIGSTOP);
  return {};
}

std::map<std::string, std::uint64_t> Faults::reached() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, std::uint64_t> out;
  for (const auto& [name, plan] : plans_) out.emplace(name, plan.seen);
  return out;
}

}  // namespace millrace
