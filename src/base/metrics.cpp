#include "base/metrics.hpp"

#include <prometheus/check_names.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>

#include "base/check.hpp"

namespace millrace {
namespace {

// The library writes the text; counting is ours, because its histograms lock.
template <class Series>
struct Family {
  std::string help;
  std::map<Labels, std::unique_ptr<Series>> series;
};

template <class Series>
using Families = std::map<std::string, Family<Series>>;

void fill(const Counter& counter, prometheus::ClientMetric& out) {
  out.counter.value = static_cast<double>(counter.value());
}
void fill(const Gauge& gauge, prometheus::ClientMetric& out) { out.gauge.value = gauge.value(); }
void fill(const Histogram& histogram, prometheus::ClientMetric& out) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i <= histogram.bounds().size(); ++i) {
    sum += histogram.in_bucket(i);
    const bool last = i == histogram.bounds().size();
    out.histogram.bucket.push_back({sum, last ? std::numeric_limits<double>::infinity() : histogram.bounds()[i]});
  }
  out.histogram.sample_count = sum;
  out.histogram.sample_sum = histogram.sum();
}

template <class Series>
void collect(const Families<Series>& families, prometheus::MetricType type,
             std::vector<prometheus::MetricFamily>& out) {
  for (const auto& [name, family] : families) {
    prometheus::MetricFamily collected{name, family.help, type, {}};
    for (const auto& [labels, series] : family.series) {
      auto& metric = collected.metric.emplace_back();
      for (const auto& [label, value] : labels) metric.label.push_back({label, value});
      fill(*series, metric);
    }
    out.push_back(std::move(collected));
  }
}

}  // namespace

struct Metrics::State {
  mutable std::mutex mutex;
  Families<Counter> counters;
  Families<Gauge> gauges;
  Families<Histogram> histograms;

  template <class Series, class Make>
  Series& get(Families<Series>& families, const MetricName& name, const Make& make) {
    auto labels = name.labels;
    std::ranges::sort(labels);
    const std::lock_guard lock(mutex);
    check(prometheus::CheckMetricName(name.name), "a metric has a name that Prometheus allows");
    for (const auto& [label, value] : labels) check(prometheus::CheckLabelName(label), "a label has an allowed name");
    check(counters.contains(name.name) + gauges.contains(name.name) + histograms.contains(name.name) ==
              families.contains(name.name),
          "a metric name is of one kind");
    auto& family = families[name.name];
    if (family.help.empty()) family.help = name.help;
    auto& series = family.series[labels];
    if (!series) series = make();
    return *series;
  }
};

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), buckets_(bounds_.size() + 1) {
  check(std::ranges::is_sorted(bounds_), "the bounds of buckets rise");
}

void Histogram::observe(double value) {
  const auto index = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  buckets_[static_cast<std::size_t>(index)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t sum = 0;
  for (const auto& bucket : buckets_) sum += bucket.load(std::memory_order_relaxed);
  return sum;
}

std::vector<double> latency_buckets_s() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

std::vector<double> size_buckets_bytes() {
  std::vector<double> out;
  for (double bound = 256; bound <= 1u << 30; bound *= 4) out.push_back(bound);
  return out;
}

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(const MetricName& name) {
  return state_->get(state_->counters, name, [] { return std::make_unique<Counter>(); });
}

Gauge& Metrics::gauge(const MetricName& name) {
  return state_->get(state_->gauges, name, [] { return std::make_unique<Gauge>(); });
}

Histogram& Metrics::histogram(const MetricName& name, const std::vector<double>& bucket_bounds) {
  auto& out = state_->get(state_->histograms, name, [&] { return std::make_unique<Histogram>(bucket_bounds); });
  check(out.bounds() == bucket_bounds, "a histogram keeps its buckets");
  return out;
}

std::string Metrics::render() const {
  std::vector<prometheus::MetricFamily> families;
  {
    const std::lock_guard lock(state_->mutex);
    collect(state_->counters, prometheus::MetricType::Counter, families);
    collect(state_->gauges, prometheus::MetricType::Gauge, families);
    collect(state_->histograms, prometheus::MetricType::Histogram, families);
  }
  std::ranges::sort(families, {}, &prometheus::MetricFamily::name);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace
