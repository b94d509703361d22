#include "app/predictor_metrics.hpp"

#include <format>
#include <functional>

namespace millrace::app {

namespace {

using State = serve::Predictor::ModelState;

struct Series {
  const char* name;
  const char* type;
  const char* help;
  std::function<std::uint64_t(const State&)> value;
};

}  // namespace

std::string model_metrics(const std::vector<State>& states, const serve::Predictor::Memory& memory,
                          std::size_t labels_max) {
  static const std::vector<Series> all = {
      {"millrace_serve_up", "gauge", "1: the model answers.", [](const State& s) { return s.serving ? 1u : 0u; }},
      {"millrace_serve_requests", "gauge", "Predict requests since the start.",
       [](const State& s) { return s.requests; }},
      {"millrace_serve_rows", "gauge", "Rows predicted since the start.", [](const State& s) { return s.rows; }},
      {"millrace_serve_loads", "gauge", "Loads into memory since the start.", [](const State& s) { return s.loads; }},
      {"millrace_serve_bytes", "gauge", "Bytes in memory.", [](const State& s) { return s.bytes; }},
  };
  std::string out;
  for (const auto& series : all) {
    out += std::format("# HELP {0} {1}\n# TYPE {0} {2}\n", series.name, series.help, series.type);
    std::uint64_t others = 0;
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (i < labels_max)
        out += std::format("{}{{model=\"{}\"}} {}\n", series.name, states[i].name, series.value(states[i]));
      else
        others += series.value(states[i]);
    }
    if (states.size() > labels_max) out += std::format("{}{{model=\"_others\"}} {}\n", series.name, others);
  }
  const auto one = [&](const char* name, const char* help, std::uint64_t value) {
    out += std::format("# HELP {0} {1}\n# TYPE {0} gauge\n{0} {2}\n", name, help, value);
  };
  one("millrace_serve_models_bytes", "Bytes of all models in memory.", memory.bytes);
  one("millrace_serve_versions_resident", "Versions in memory.", memory.resident);
  one("millrace_serve_versions_on_disk", "Versions that left memory and come back when they are asked.",
      memory.on_disk);
  one("millrace_serve_brought_back", "Loads of versions that had left memory.", memory.loads);
  one("millrace_serve_left", "Versions that left memory for others.", memory.leaves);
  return out;
}

}  // namespace millrace::app
