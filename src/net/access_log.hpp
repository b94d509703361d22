// A line for each request, or for some of them, written beside the requests and never in their way.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"

namespace millrace::net {

struct AccessRule {
  enum class Kind { off, all, errors, share };
  Kind kind = Kind::off;
  double share = 0;
};
// "off" (or ""), "all", "errors" (answers of 400 and above, and none), or a share such as "1%": invalid_argument
// `net.bad_config`.
Result<AccessRule> parse_access_rule(std::string_view text);
// By the request's id, so that several servers keep the same traces.
bool is_kept(const AccessRule& rule, int status, std::string_view request_id);

struct AccessLine {
  std::string method, path;  // the path without its query
  std::string route;         // the pattern, "" where there was none
  int status = 0;            // 499: the client went away first
  std::uint64_t bytes = 0;   // of the answer's body
  Duration took{};
  std::string request,
      trace;  // the id in the answer's x-request-id; the same where the client sent a traceparent, else ""
  std::string remote;
};

// Takes lines from any thread and writes them from one of its own. At most `waiting_max` wait; what comes beyond that
// is dropped and counted (`millrace_net_access_log_dropped_total`). The destructor writes what waits.
class AccessLog {
 public:
  static constexpr std::size_t waiting_max = 8192;

  AccessLog(const AccessRule& rule, std::unique_ptr<Log> log, Metrics& metrics);
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;

  bool wants(int status, std::string_view request_id) const { return is_kept(rule_, status, request_id); }
  void add(AccessLine line);

 private:
  void write_all();

  const AccessRule rule_;
  const std::unique_ptr<Log> log_;
  Counter& written_;
  Counter& dropped_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<AccessLine> waiting_;
  bool over_ = false;
  std::thread writer_;
};

}  // namespace millrace::net
