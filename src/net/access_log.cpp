#include "net/access_log.hpp"

#include <charconv>
#include <utility>

#include "base/text.hpp"

namespace millrace::net {

namespace {

constexpr auto write_every = std::chrono::milliseconds(50);
constexpr std::size_t path_bytes_max = 512;

// Spread evenly over [0, 1): FNV-1a, its high bits mixed once more.
double place_of(std::string_view id) {
  std::uint64_t hash = 14695981039346656037ull;
  for (const unsigned char c : id) hash = (hash ^ c) * 1099511628211ull;
  hash ^= hash >> 32;
  hash *= 0x9E3779B97F4A7C15ull;
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

}  // namespace

Result<AccessRule> parse_access_rule(std::string_view text) {
  using Kind = AccessRule::Kind;
  if (text.empty() || text == "off") return AccessRule{};
  if (text == "all") return AccessRule{Kind::all};
  if (text == "errors") return AccessRule{Kind::errors};
  double percent = 0;
  const auto* end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, percent);
  if (*end != '%' || error != std::errc() || stop != end || !(percent > 0 && percent <= 100))
    return fail(Code::invalid_argument, "net.bad_config",
                "the access log is \"off\", \"all\", \"errors\" or a share such as \"1%\"");
  return AccessRule{Kind::share, percent / 100};
}

bool is_kept(const AccessRule& rule, int status, std::string_view request_id) {
  switch (rule.kind) {
    case AccessRule::Kind::off:
      return false;
    case AccessRule::Kind::all:
      return true;
    case AccessRule::Kind::errors:
      return status >= 400;
    case AccessRule::Kind::share:
      return place_of(request_id) < rule.share;
  }
  return false;
}

AccessLog::AccessLog(const AccessRule& rule, std::unique_ptr<Log> log, Metrics& metrics)
    : rule_(rule),
      log_(std::move(log)),
      written_(metrics.counter({"millrace_net_access_log_lines_total", "Lines of the access log."})),
      dropped_(metrics.counter(
          {"millrace_net_access_log_dropped_total", "Lines that the access log could not keep: too many waited."})),
      writer_([this] { write_all(); }) {}

AccessLog::~AccessLog() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  wake_.notify_one();
  writer_.join();
}

void AccessLog::add(AccessLine line) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() < waiting_max) {  // nobody is woken for it: that would be a system call in each request
      waiting_.push_back(std::move(line));
      return;
    }
  }
  dropped_.add();
}

void AccessLog::write_all() {
  for (bool over = false; !over;) {
    std::vector<AccessLine> lines;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, write_every, [this] { return over_; });
      over = over_;
      lines.swap(waiting_);
    }
    for (const auto& line : lines) {
      log_->info("request", {{"method", printable(line.method)},
                             {"path", printable(std::string_view(line.path).substr(0, path_bytes_max))},
                             {"route", line.route},
                             {"status", line.status},
                             {"bytes", line.bytes},
                             {"us", line.took.count()},
                             {"request", line.request},
                             {"trace", line.trace},
                             {"remote", line.remote}});
      written_.add();
    }
  }
}

}  // namespace millrace::net
