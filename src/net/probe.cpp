#include "net/probe.hpp"

#include <algorithm>
#include <chrono>
#include <string>

namespace millrace::net {

Probe::Probe(Metrics& metrics)
    : metrics_(metrics),
      in_flight_(
          metrics.gauge({"millrace_net_requests_in_flight", "Requests that have begun and are not answered yet."})),
      connections_(metrics.gauge({"millrace_net_connections", "Open connections."})),
      full_(metrics.counter({"millrace_net_refused_full_total", "Requests refused because too many waited already."})),
      unmatched_(series("", "")) {}

void Probe::know(const std::vector<const Route*>& routes) {
  of_route_.resize(routes.size());
  for (const Route* route : routes) of_route_[route->number] = series(route->method, route->pattern);
}

Probe::OfRoute Probe::series(std::string_view method, std::string_view pattern) {
  const Labels labels{{"method", std::string(method)}, {"route", std::string(pattern)}};
  OfRoute out;
  for (std::size_t i = 0; i < out.by_class.size(); ++i) {
    auto with_status = labels;
    with_status.emplace_back("status", std::to_string(i + 1) + "xx");
    out.by_class[i] = &metrics_.counter({"millrace_net_requests_total", "Requests answered.", with_status});
  }
  out.seconds = &metrics_.histogram({"millrace_net_request_seconds", "From a request's head to its answer.", labels},
                                    latency_buckets_s());
  return out;
}

void Probe::cut(std::string_view why) {
  metrics_
      .counter(
          {"millrace_net_connections_cut_total", "Connections that the server ended.", {{"why", std::string(why)}}})
      .add();
}

void Probe::request_finished(const Route* route, int status, Duration took) {
  in_flight_.add(-1);
  const OfRoute& series = route ? of_route_[route->number] : unmatched_;
  series.by_class[static_cast<std::size_t>(std::clamp(status / 100, 1, 5) - 1)]->add();
  series.seconds->observe(std::chrono::duration<double>(took).count());
}

}  // namespace millrace::net
