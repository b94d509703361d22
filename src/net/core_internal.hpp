// What the server decides and counts, apart from the network: both dispatch() and the HTTP library's side use it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <variant>

#include "base/lanes.hpp"
#include "base/pool.hpp"
#include "base/tracing.hpp"
#include "net/access_log.hpp"
#include "net/probe.hpp"
#include "net/server.hpp"

namespace millrace::net {

struct Core {
  Core(Config config_in, Env& env_in, Metrics& metrics);

  // Routing, auth and what the head says about the body: the route, or the refusal. Fills the request's parameters.
  std::variant<const Route*, Response> admit(Request& request) const;
  std::uint64_t body_bytes_max(const Route& route) const;
  // Calls a handler; what it throws becomes `net.handler_failed`.
  Response call(const Route& route, const Request& request) const;
  // The same with a compressed body inflated, where the route takes one; the request's body is gone afterwards.
  Response call_inflated(const Route& route, Request& request);
  Result<std::unique_ptr<UploadSink>> open_upload(const Route& route, const Request& request) const;
  Result<std::unique_ptr<Follower>> open_follow(const Route& route, const Request& request) const;

  Response overloaded();  // 503, counted
  // An error in the shape that its path asks for, and what a browser wants to know. `route` is null when there was
  // none.
  Response shaped(const Route* route, const Request& request, Response response) const;

  std::string new_id();  // 32 hex digits, unique in this process, hard to guess from outside

  void started() {
    in_flight.fetch_add(1);
    probe.request_started();
  }
  void finished(const Route* route, int status, SteadyPoint since);
  // A line for the access log, where it wants one.
  void note(const Route* route, const Request& request, int status, std::uint64_t bytes, SteadyPoint since);
  // Nothing where it is not sampled.
  std::unique_ptr<Trace> begin_trace(const Request& request) const;
  void end_trace(std::unique_ptr<Trace> trace, const Route* route, const Request& request, int status) const;
  // Waits for in_flight == 0, `until` or hurry(); whether it is 0.
  bool wait_idle(Duration time_max);
  void hurry();
  bool hurried();
  void rest(Duration time);  // returns after it, or at hurry()

  // What a pool does with a connection goes through here: `use` is not called once the event loops are gone.
  template <class F>
  void with_loops(F use) {
    std::shared_lock lock(loops_mutex_);
    if (!loops_gone_) use();
  }
  void end_loops();  // returns when nobody is inside with_loops()

  const Config config;
  Env& env;
  Probe probe;
  Router router;
  std::vector<std::pair<std::string, ErrorShape>> error_shapes;  // by path; filled before the server starts
  std::unique_ptr<AccessLog> access;                             // null: off
  std::unique_ptr<Pool> io;
  std::unique_ptr<LanePool>
      compute;  // what is too long for an event loop, so that it holds up nothing that waits for disks
  std::unique_ptr<Pool> uploads;  // a thread for each that runs, so one stuck sink holds up no other
  std::atomic<int> uploads_running{0};
  std::atomic<int> in_flight{0};
  std::atomic<int> follows{0};
  std::atomic<int> files_sent{0};              // files that answers are being sent from
  std::atomic<std::uint64_t> bodies_bytes{0};  // of requests whose bodies are in memory
  std::atomic<std::uint64_t> unread_bytes{0};  // of answers that slow readers have not taken, above unread_bytes_free
  std::atomic<bool> running{false};
  std::atomic<bool> stopping{false};
  std::atomic<bool> cutting{false};  // nothing waits for anything any more

 private:
  // The answer to a browser that asks whether a page of another site may call; nothing: it was not that.
  std::optional<Response> preflight(Request& request) const;

  std::uint64_t id_salt_;
  std::atomic<std::uint64_t> id_next_{1};
  std::mutex idle_mutex_;
  std::condition_variable idle_;
  bool hurry_ = false;
  std::shared_mutex loops_mutex_;
  bool loops_gone_ = false;
};

Response too_large_response(std::uint64_t bytes_max);  // 413

}  // namespace millrace::net
