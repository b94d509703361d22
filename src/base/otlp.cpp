#include <format>
#include <utility>

#include "base/json.hpp"
#include "base/otlp_internal.hpp"
#include "base/text.hpp"
#include "base/tracing.hpp"

namespace millrace {

namespace {

otlp::Attribute otlp_attribute(const SpanAttribute& from) {
  if (const auto* text = std::get_if<std::string>(&from.value)) return {from.name, {printable(*text), {}}};
  return {from.name, {{}, std::to_string(std::get<std::int64_t>(from.value))}};
}

std::string otlp_time(TimePoint time) { return std::to_string(time.time_since_epoch().count()) + "000"; }

}  // namespace

std::string render_otlp(const SpanSource& source, std::span<const Span> spans) {
  otlp::ScopeSpans all{{"millrace", source.version}, {}};
  all.spans.reserve(spans.size());
  for (const auto& from : spans) {
    auto& to = all.spans.emplace_back();
    to.traceId = from.trace;
    to.spanId = from.id;
    if (!from.parent.empty()) to.parentSpanId = from.parent;
    to.name = printable(from.name);
    to.kind = static_cast<int>(from.kind);
    to.startTimeUnixNano = otlp_time(from.began_at);
    to.endTimeUnixNano = otlp_time(from.ended_at);
    for (const auto& attribute : from.attributes) to.attributes.push_back(otlp_attribute(attribute));
    if (from.failed) to.status = otlp::Status{2, printable(from.message)};
  }
  otlp::Resource resource;
  for (const auto& [name, value] : {std::pair{"service.name", source.service},
                                    {"service.version", source.version},
                                    {"service.instance.id", source.instance}}) {
    if (!value.empty()) resource.attributes.push_back(otlp_attribute({name, value}));
  }
  otlp::Request request;
  request.resourceSpans.push_back({std::move(resource), {std::move(all)}});
  return json::render(request);
}

Result<void> Tracer::check_url(std::string_view url) {
  const bool http = url.starts_with("http://") && url.size() > 7, https = url.starts_with("https://") && url.size() > 8;
  if ((http || https) && !url.contains('?') && !url.contains('#') && !url.contains(' ')) return {};
  return fail(Code::invalid_argument, "base.bad_collector",
              std::format("'{}' is no address of a collector: write one such as http://127.0.0.1:4318", url));
}

}  // namespace millrace
