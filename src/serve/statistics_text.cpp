#include "serve/statistics_text.hpp"

#include <algorithm>
#include <format>
#include <vector>

namespace millrace::serve {

namespace {

std::string label_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

void add_counts(VersionCounts& sum, const VersionCounts& more) {
  sum.succeeded += more.succeeded;
  sum.failed += more.failed;
  sum.rows += more.rows;
  sum.joined += more.joined;
  sum.failed_time += more.failed_time;
  for (std::size_t i = 0; i < sum.times.spent.size(); ++i) sum.times.spent[i] += more.times.spent[i];
}

void add_phases(PhaseCounts& sum, const PhaseCounts& more) {
  for (std::size_t i = 0; i < sum.buckets.size(); ++i) {
    for (std::size_t k = 0; k < sum.buckets[i].size(); ++k) sum.buckets[i][k] += more.buckets[i][k];
    sum.sums.spent[i] += more.sums.spent[i];
  }
}

void add_batches(BatchCounts& sum, const BatchCounts& more) {
  for (std::size_t i = 0; i < sum.buckets.size(); ++i) sum.buckets[i] += more.buckets[i];
  sum.rows += more.rows;
}

struct Series {
  std::string labels;
  VersionCounts counts;
};

struct Named {
  std::string model;  // as a label
  PhaseCounts phases;
  std::size_t pending = 0;
  std::uint64_t overloaded = 0;
  std::uint64_t fallbacks = 0;
  BatchCounts batches = {};
  bool batching = false;
};

void write_triton(std::span<const Series> all, std::string& out) {
  struct Name {
    const char *name, *help, *type;
    std::uint64_t (*of)(const VersionCounts&);
  };
  static_assert(Duration::period::den == 1'000'000);
  constexpr Name names[] = {
      {"nv_inference_request_success", "Requests answered.", "counter", [](const auto& c) { return c.succeeded; }},
      {"nv_inference_request_failure", "Requests refused or failed, clients' mistakes among them.", "counter",
       [](const auto& c) { return c.failed; }},
      {"nv_inference_count", "Rows answered.", "counter", [](const auto& c) { return c.rows; }},
      {"nv_inference_exec_count", "Times that the model was asked: once a request, or for several together.", "counter",
       [](const auto& c) { return c.executions(); }},
      {"nv_inference_request_duration_us", "Time of requests answered, from read to written.", "counter",
       [](const auto& c) { return static_cast<std::uint64_t>(c.times.spent[3].count()); }},
      {"nv_inference_queue_duration_us", "Time that requests waited for the model.", "counter",
       [](const auto& c) { return static_cast<std::uint64_t>(c.times.spent[4].count()); }},
      {"nv_inference_compute_input_duration_us", "Time of reading and checking their rows.", "counter",
       [](const auto& c) { return static_cast<std::uint64_t>(c.times.spent[0].count()); }},
      {"nv_inference_compute_infer_duration_us", "Time of the model.", "counter",
       [](const auto& c) { return static_cast<std::uint64_t>(c.times.spent[1].count()); }},
      {"nv_inference_compute_output_duration_us", "Time of logging and writing answers.", "counter",
       [](const auto& c) { return static_cast<std::uint64_t>(c.times.spent[2].count()); }},
  };
  for (const auto& [name, help, type, of] : names) {
    out += std::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    for (const auto& each : all) out += std::format("{}{{{}}} {}\n", name, each.labels, of(each.counts));
  }
}

void write_queues(std::span<const Named> models, std::string& out) {
  out +=
      "# HELP nv_inference_pending_request_count Requests that wait for the model, or are computed off the event "
      "loops.\n"
      "# TYPE nv_inference_pending_request_count gauge\n";
  for (const auto& each : models)
    out += std::format("nv_inference_pending_request_count{{model=\"{}\"}} {}\n", each.model, each.pending);
  out +=
      "# HELP millrace_serve_overloaded_total Requests sent away because as many as may wait for the model did.\n"
      "# TYPE millrace_serve_overloaded_total counter\n";
  for (const auto& each : models)
    out += std::format("millrace_serve_overloaded_total{{model=\"{}\"}} {}\n", each.model, each.overloaded);
  out +=
      "# HELP millrace_serve_fallback_total Requests that the fallback answered because the version asked failed.\n"
      "# TYPE millrace_serve_fallback_total counter\n";
  for (const auto& each : models)
    out += std::format("millrace_serve_fallback_total{{model=\"{}\"}} {}\n", each.model, each.fallbacks);
}

void write_batches(std::span<const Named> models, std::string& out) {
  constexpr std::string_view name = "millrace_serve_batch_rows";
  if (std::ranges::none_of(models, &Named::batching)) return;
  out += std::format("# HELP {} Rows of a computation, of models with batching.\n# TYPE {} histogram\n", name, name);
  for (const auto& each : models) {
    if (!each.batching) continue;
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < kBatchBounds.size(); ++i) {
      so_far += each.batches.buckets[i];
      out += std::format("{}_bucket{{model=\"{}\",le=\"{}\"}} {}\n", name, each.model, kBatchBounds[i], so_far);
    }
    so_far += each.batches.buckets.back();
    out += std::format(
        "{0}_bucket{{model=\"{1}\",le=\"+Inf\"}} {2}\n{0}_sum{{model=\"{1}\"}} {3}\n"
        "{0}_count{{model=\"{1}\"}} {2}\n",
        name, each.model, so_far, each.batches.rows);
  }
}

void write_histogram(std::span<const Named> models, std::string& out) {
  constexpr std::string_view name = "millrace_request_seconds";
  out +=
      std::format("# HELP {} How long requests answered took, whole and by phase.\n# TYPE {} histogram\n", name, name);
  for (const auto& each : models) {
    for (std::size_t i = 0; i < kPhaseNames.size(); ++i) {
      const auto labels = std::format("model=\"{}\",phase=\"{}\"", each.model, kPhaseNames[i]);
      std::uint64_t so_far = 0;
      for (std::size_t k = 0; k < kPhaseBounds_us.size(); ++k) {
        so_far += each.phases.buckets[i][k];
        out += std::format("{}_bucket{{{},le=\"{:g}\"}} {}\n", name, labels,
                           static_cast<double>(kPhaseBounds_us[k]) / 1e6, so_far);
      }
      so_far += each.phases.buckets[i].back();
      out += std::format("{}_bucket{{{},le=\"+Inf\"}} {}\n{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", name, labels, so_far,
                         name, labels, std::chrono::duration<double>(each.phases.sums.spent[i]).count(), name, labels,
                         so_far);
    }
  }
}

}  // namespace

std::string prometheus_text(std::span<const ModelReport> models, std::size_t models_max) {
  std::vector<Series> series;
  std::vector<Named> named;
  Series rest{.labels = "model=\"other\",version=\"\""};
  Named rest_named{.model = "other"};
  for (std::size_t i = 0; i < models.size(); ++i) {
    const auto& model = models[i];
    if (i >= models_max) {
      for (const auto& version : model.versions) add_counts(rest.counts, version.counts);
      add_phases(rest_named.phases, model.phases);
      rest_named.pending += model.pending;
      rest_named.overloaded += model.overloaded;
      rest_named.fallbacks += model.fallbacks;
      add_batches(rest_named.batches, model.batches);
      rest_named.batching = rest_named.batching || model.batching;
      continue;
    }
    const auto label = label_text(model.name);
    for (const auto& version : model.versions)
      series.push_back({std::format("model=\"{}\",version=\"{}\"", label, version.number), version.counts});
    named.push_back(
        {label, model.phases, model.pending, model.overloaded, model.fallbacks, model.batches, model.batching});
  }
  if (models.size() > models_max) {
    series.push_back(std::move(rest));
    named.push_back(std::move(rest_named));
  }
  std::string out;
  write_triton(series, out);
  write_queues(named, out);
  write_batches(named, out);
  write_histogram(named, out);
  return out;
}

}  // namespace millrace::serve
