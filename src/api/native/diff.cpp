#include "api/native/diff.hpp"

#include <format>

namespace millrace::api {

namespace {

using Texts = std::map<std::string, std::string>;

void add(Difference& to, const std::string& section, const Texts& one, const Texts& other) {
  auto names = one;
  names.insert(other.begin(), other.end());
  for (const auto& [name, unused] : names) {
    auto a = one.find(name), b = other.find(name);
    DiffLine line{section, name, a == one.end() ? "" : a->second, b == other.end() ? "" : b->second};
    if (line.before != line.after) to.lines.push_back(std::move(line));
  }
}

Texts numbers(const std::map<std::string, double>& from) {
  Texts out;
  for (const auto& [name, value] : from) out[name] = std::format("{:.6g}", value);
  return out;
}

Texts gates(const std::vector<GateLine>& from) {
  Texts out;
  for (const auto& gate : from)
    out[gate.expression + " " + gate.required] =
        std::format("{} {}", gate.got.empty() ? gate.why : gate.got, gate.passed ? "passed" : "failed");
  return out;
}

}  // namespace

Difference diff(const Run& one, const Run& other) {
  Difference out{one.id, other.id, {}};
  auto outcome = [](const Run& run) {
    return Texts{{"state", run.state},     {"cause", run.cause},     {"version", run.version},
                 {"verdict", run.verdict}, {"failure", run.failure}, {"kind", run.kind}};
  };
  add(out, "outcome", outcome(one), outcome(other));
  add(out, "params", one.params, other.params);
  add(out, "metrics", numbers(one.metrics), numbers(other.metrics));
  add(out, "inputs", one.inputs, other.inputs);
  return out;
}

Difference diff(const ModelVersion& one, const ModelVersion& other) {
  auto name = [](const ModelVersion& v) { return std::format("{}:{}", v.model, v.number); };
  Difference out{name(one), name(other), {}};
  auto outcome = [](const ModelVersion& v) {
    return Texts{{"verdict", v.verdict},
                 {"bytes", std::to_string(v.bytes)},
                 {"artifact", v.artifact},
                 {"override", v.override_by},
                 {"quick", v.quick ? "yes" : ""}};
  };
  add(out, "outcome", outcome(one), outcome(other));
  add(out, "gates", gates(one.gates), gates(other.gates));
  add(out, "metrics", numbers(one.metrics), numbers(other.metrics));
  add(out, "params", one.params, other.params);
  add(out, "inputs", one.lineage, other.lineage);
  return out;
}

}  // namespace millrace::api
