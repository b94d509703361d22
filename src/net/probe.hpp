// What the server counts. Series are made once, when the routes are known; counting is a few atomic additions.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "net/router.hpp"

namespace millrace::net {

class Probe {
 public:
  explicit Probe(Metrics& metrics);
  // Before the first request.
  void know(const std::vector<const Route*>& routes);

  void request_started() { in_flight_.add(1); }
  // `route` is null when there was none. Called once the answer is handed to the connection.
  void request_finished(const Route* route, int status, Duration took);
  void connection_opened() { connections_.add(1); }
  void connection_closed() { connections_.add(-1); }
  void refused_as_full() { full_.add(); }
  // A connection that we ended: "answers_not_read", "made_room", "turned_away". Thread-safe.
  void cut(std::string_view why);

 private:
  struct OfRoute {
    std::array<Counter*, 5> by_class{};  // 1xx to 5xx
    Histogram* seconds = nullptr;
  };
  OfRoute series(std::string_view method, std::string_view pattern);

  Metrics& metrics_;
  Gauge& in_flight_;
  Gauge& connections_;
  Counter& full_;
  OfRoute unmatched_;
  std::vector<OfRoute> of_route_;  // by Route::number
};

}  // namespace millrace::net
