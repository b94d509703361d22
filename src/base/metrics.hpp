// Numbers for operators: counters, gauges and histograms by name and labels, and their text for Prometheus.
// The object is passed in; there is no global registry. A module keeps its names in a probe.hpp and asks for each
// series once, at construction: counting is then one atomic addition.
//   class Probe { explicit Probe(Metrics& m) : sent_(m.counter({"millrace_serve_rows_total", "Rows predicted."})) {}
//   ... };
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

using Labels = std::vector<std::pair<std::string, std::string>>;

struct MetricName {
  std::string name;    // millrace_<module>_<what>_<unit>; counters end in _total
  std::string help;    // one sentence
  Labels labels = {};  // from a small fixed set: each combination is kept for ever
};

// Only rises. Thread-safe, lock-free, as the two below.
class Counter {
 public:
  void add(std::uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

// Goes up and down.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

// How often values fell into which bucket; a bucket holds its upper bound.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);
  std::uint64_t count() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  const std::vector<double>& bounds() const { return bounds_; }
  std::uint64_t in_bucket(std::size_t index) const { return buckets_[index].load(std::memory_order_relaxed); }

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> buckets_;  // one more than bounds
  std::atomic<double> sum_ = 0;
};

// Bounds of buckets, in the unit of the name; the last bucket, without bound, is added.
std::vector<double> latency_buckets_s();   // 100 us to 60 s, about 2.5 apart
std::vector<double> size_buckets_bytes();  // 256 to 1 GiB, 4 apart

// Owns the series; they live as long as it does. Thread-safe. The same name and labels give the same series again.
// A name that is already of another kind or has other buckets, or that Prometheus does not allow, is a defect of ours
// and aborts.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter& counter(const MetricName& name);
  Gauge& gauge(const MetricName& name);
  Histogram& histogram(const MetricName& name, const std::vector<double>& bucket_bounds);

  // Everything, in Prometheus' text format 0.0.4, names in order.
  std::string render() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
