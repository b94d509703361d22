// The JSON of opentelemetry-proto's trace v1, as far as it is written here. Names are proto3's in JSON; 64-bit numbers
// are texts there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::otlp {

struct Value {
  std::optional<std::string> stringValue;
  std::optional<std::string> intValue;
};
struct Attribute {
  std::string key;
  Value value;
};
struct Status {
  int code = 0;  // 2: error
  std::string message;
};
struct Span {
  std::string traceId, spanId;
  std::optional<std::string> parentSpanId;
  std::string name;
  int kind = 1;
  std::string startTimeUnixNano, endTimeUnixNano;
  std::vector<Attribute> attributes;
  std::optional<Status> status;
};
struct Scope {
  std::string name;
  std::string version;
};
struct ScopeSpans {
  Scope scope;
  std::vector<Span> spans;
};
struct Resource {
  std::vector<Attribute> attributes;
};
struct ResourceSpans {
  Resource resource;
  std::vector<ScopeSpans> scopeSpans;
};
struct Request {
  std::vector<ResourceSpans> resourceSpans;
};

}  // namespace millrace::otlp
