// What single values say: names, places, conditions, times.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <format>
#include <optional>

#include "base/nearest.hpp"
#include "base/tracing.hpp"
#include "eval/catalogue.hpp"
#include "flow/holidays.hpp"
#include "loop/batches.hpp"
#include "loop/project_schema_internal.hpp"
#include "registry/registry.hpp"

namespace millrace::loop {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<double> plain_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || !std::isfinite(value)) return {};
  return value;
}

std::optional<Comparison::Op> take_op(std::string_view& text) {
  using Op = Comparison::Op;
  constexpr std::pair<std::string_view, Op> ops[] = {
      {"<=", Op::less_equal}, {">=", Op::greater_equal}, {"==", Op::equal}, {"!=", Op::not_equal},
      {"<", Op::less},        {">", Op::greater},        {"=", Op::equal}};
  for (const auto& [sign, op] : ops) {
    if (!text.starts_with(sign)) continue;
    text = trim(text.substr(sign.size()));
    return op;
  }
  return {};
}

}  // namespace

bool Comparison::holds(double measured) const {
  switch (op) {
    case Op::less:
      return measured < value;
    case Op::less_equal:
      return measured <= value;
    case Op::greater:
      return measured > value;
    case Op::greater_equal:
      return measured >= value;
    case Op::equal:
      return measured == value;
    case Op::not_equal:
      return measured < value || measured > value;
  }
  return false;
}

Result<Comparison> parse_comparison(std::string_view text) {
  using Unit = Comparison::Unit;
  const auto bad = [&] {
    return fail(
        Code::invalid_argument, "project.bad_comparison",
        std::format("\"{}\" is not a comparison; expected one such as \">= 0.80\", \"<= 2%\", \"<= 20ms\", \"<= 50MB\"",
                    text));
  };
  std::string_view rest = trim(text);
  Comparison out;
  out.text = std::string(rest);
  const auto op = take_op(rest);
  if (!op) return bad();
  out.op = *op;
  if (rest == "error" || rest == "-error" || rest == "- error") {
    out.unit = Unit::error;
    return out;
  }
  if (const auto value = plain_number(rest)) {
    out.value = *value;
    return out;
  }
  if (rest.ends_with('%')) {
    const auto value = plain_number(trim(rest.substr(0, rest.size() - 1)));
    if (!value) return bad();
    out.unit = Unit::percent;
    out.value = *value / 100;
  } else if (const auto time = parse_duration(rest)) {
    out.unit = Unit::duration;
    out.value = static_cast<double>(time->count()) / 1e6;
  } else if (const auto bytes = parse_size(rest)) {
    out.unit = Unit::bytes;
    out.value = static_cast<double>(*bytes);
  } else {
    constexpr std::pair<std::string_view, double> parts[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};  // "1.5ms"
    const auto part = std::ranges::find_if(parts, [&](const auto& unit) { return rest.ends_with(unit.first); });
    const auto value =
        part == std::end(parts) ? std::nullopt : plain_number(trim(rest.substr(0, rest.size() - part->first.size())));
    if (!value) return bad();
    out.unit = Unit::duration;
    out.value = *value * part->second;
  }
  return out;
}

namespace schema {
namespace {

Verdict good() { return {}; }
Verdict bad(std::string expected) { return {Verdict::bad, std::move(expected)}; }
Verdict later() { return {Verdict::later, {}}; }

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

}  // namespace

std::pair<std::string_view, std::string_view> split_target(std::string_view text) {
  const auto dot = text.find('.');
  if (dot == text.npos || dot == 0 || dot + 1 == text.size()) return {};
  return {text.substr(0, dot), text.substr(dot + 1)};
}

Verdict judge_name(const Tree& value) {
  const std::string& name = value.as_text();
  constexpr std::size_t name_bytes_max = 64;
  if (is_word(name) && name.size() <= name_bytes_max && name[0] != '-') return good();
  return bad("1 to 64 letters, digits, - and _");
}

Verdict judge_zone(const Tree& value) {
  const auto zone = flow::Zone::find(value.as_text());
  if (zone) return good();
  if (zone.error().reason == "flow.no_zone_data")
    return bad("\"UTC\" (this machine has no time zone data; install tzdata)");
  const auto hint = zone.error().message.find("did you mean ");
  std::string meant = hint == std::string::npos ? std::string() : " (" + zone.error().message.substr(hint) + ")";
  return bad("an IANA time zone such as \"Europe/Lisbon\"" + meant);
}

Verdict judge_uri(const Tree& value) {
  const std::string_view uri = value.as_text();
  if (uri == "upload") return good();
  if (uri.starts_with("file:") && uri.size() > 5)
    return uri.contains('\0') ? bad("a path without a zero byte") : good();
  for (const std::string_view scheme : {"https://", "http://", "s3://", "postgres://", "nats://", "kafka://"})
    if (uri.starts_with(scheme) && uri.size() > scheme.size()) return later();
  if (!uri.empty() && !uri.contains(':'))
    return bad(std::format("{} or \"upload\"", toml_string("file:" + std::string(uri))));
  return bad("\"file:PATH\" or \"upload\"");
}

Verdict judge_target(const Tree& value) {
  if (!split_target(value.as_text()).first.empty()) return good();
  return bad("source and column, such as \"customers.churned\"");
}

Verdict judge_target_expr(const Tree& value) {
  const auto [source, column] = split_target(value.as_text());
  const bool expression = column.find_first_of("()<>=+*/ '") != column.npos || !is_word(source);
  return source.empty() || expression ? later() : good();
}

Verdict judge_comparison(const Tree& value) {
  if (parse_comparison(value.as_text())) return good();
  return bad("a comparison such as \">= 0.80\", \"<= 20ms\" or \"<= 50MB\"");
}

Verdict judge_plain_comparison(const Tree& value) {
  const auto comparison = parse_comparison(value.as_text());
  if (comparison && comparison->unit != Comparison::Unit::error) return good();
  return bad("a comparison such as \">= 1000\" or \"<= 2%\"");
}

Result<RetrainRule> parse_rule(std::string_view said) {
  using Op = Comparison::Op;
  const std::string_view text = trim(said);
  const auto bad_rule = [&](std::string_view expected) {
    return fail(Code::invalid_argument, "project.bad_condition", std::string(expected));
  };
  constexpr std::string_view any = "\"new_rows >= N\", \"new_labels >= N\" or \"live.METRIC < x\"";
  RetrainRule out;
  out.text = std::string(text);
  const auto end = std::min(text.find_first_of(" \t<>=!"), text.size());
  const std::string_view left = text.substr(0, end);
  std::string_view rest = trim(text.substr(end));
  if (left == "drift") return fail(Code::unimplemented, "project.not_available", "");
  const auto op = take_op(rest);
  const auto value = op ? plain_number(rest) : std::nullopt;
  if (!value) return bad_rule(any);
  out.bound = *value;
  if (left == "new_rows" || left == "new_labels") {
    if (*op != Op::greater_equal || *value < 1 || *value > 1e12 || *value != std::floor(*value))
      return bad_rule(std::format("\"{} >= N\" with a whole number from 1", left));
    out.kind = left == "new_rows" ? RetrainRule::Kind::new_rows : RetrainRule::Kind::new_labels;
    return out;
  }
  if (!left.starts_with("live.") || !is_word(left.substr(5))) return bad_rule(any);
  out.metric = std::string(left.substr(5));
  if (*op != Op::less && *op != Op::greater) return bad_rule(std::format("\"{} < x\" or \"{} > x\"", left, left));
  out.kind = *op == Op::less ? RetrainRule::Kind::live_below : RetrainRule::Kind::live_above;
  return out;
}

Verdict judge_condition(const Tree& value) {
  const auto rule = parse_rule(value.as_text());
  if (rule && !rule->metric.empty() && !eval::find_metric(rule->metric)) {
    std::vector<std::string> known;
    for (const auto task : {eval::TaskType::binary, eval::TaskType::multiclass, eval::TaskType::regression})
      for (auto& name : eval::metric_names(task)) known.push_back(std::move(name));
    const std::string meant = nearest(rule->metric, known);
    return bad("a metric such as live.auc" + (meant.empty() ? "" : " (did you mean live." + meant + "?)"));
  }
  if (rule) return good();
  return rule.error().code == Code::unimplemented ? later() : bad(rule.error().message);
}

Verdict judge_schedule(const Tree& value) {
  if (flow::parse_schedule(value.as_text())) return good();
  return bad("a schedule such as \"daily\", \"daily 02:00\", \"Mon 06:00\", \"every 6h\" or \"0 2 * * 1-5\"");
}

Verdict judge_time_of_day(const Tree& value) {
  if (flow::parse_minute_of_day(value.as_text())) return good();
  return bad("a time of day such as \"22:00\"");
}

Verdict judge_listen(const Tree& value) {
  const std::string_view text = value.as_text();
  const auto colon = text.rfind(':');
  const auto expected = bad("address and port, such as \"127.0.0.1:7070\"");
  if (colon == text.npos || colon == 0) return expected;
  const std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  if (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) return expected;
  if (host.find_first_of(" /\\\t\n") != host.npos || port.empty() || port.size() > 5) return expected;
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 0 || number > 65535) return expected;
  return good();
}

Verdict judge_grpc(const Tree& value) { return value.as_text().empty() ? good() : judge_listen(value); }

Verdict judge_seal(const Tree& value) {
  const std::string_view text = value.as_text(), scheme = "file:";
  if (text.starts_with(scheme) && text.size() > scheme.size() && text.find('\n') == text.npos) return good();
  return bad("the file of a master key, such as \"file:master.key\"");
}

// As a browser writes it, because it is compared as text: no path, not the scheme's own port.
Verdict judge_origin(const Tree& value) {
  std::string_view text = value.as_text();
  if (text == "*") return good();
  const auto expected =
      bad("an origin as browsers send it, such as \"https://app.example.com\" or \"http://localhost:3000\", or \"*\"");
  const bool secure = text.starts_with("https://");
  if (!secure && !text.starts_with("http://")) return expected;
  text.remove_prefix(secure ? 8 : 7);
  const auto bracket = text.starts_with('[') ? text.find(']') : 0;  // an IPv6 address
  if (bracket == text.npos) return expected;
  const auto colon = text.find(':', bracket);
  const auto host = text.substr(0, colon);
  const auto allowed = [&](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
           (bracket > 0 && (c == ':' || c == '[' || c == ']'));
  };
  if (host.empty() || !std::ranges::all_of(host, allowed)) return expected;
  if (colon == text.npos) return good();
  const auto port = text.substr(colon + 1);
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || port.starts_with('0') || number < 1 || number > 65535)
    return expected;
  return number == (secure ? 443 : 80) ? bad("no port where it is the scheme's own: browsers leave it out") : good();
}

Verdict judge_access_log(const Tree& value) {
  const std::string_view text = value.as_text();
  if (text == "off" || text == "all" || text == "errors") return good();
  double percent = 0;
  const auto* end = text.data() + text.size() - (text.ends_with('%') ? 1 : 0);
  const auto [stop, error] = std::from_chars(text.data(), end, percent);
  if (text.ends_with('%') && error == std::errc() && stop == end && percent > 0 && percent <= 100) return good();
  return bad("\"off\", \"all\", \"errors\" or a share such as \"1%\"");
}

Verdict judge_character(const Tree& value) {
  const std::string& text = value.as_text();
  if (text.size() == 1 && text[0] != '"' && text[0] != '\n' && text[0] != '\r') return good();
  return bad("one character, such as \";\" or \"\\t\"");
}

Verdict judge_release_step(const Tree& value) {
  const auto step = parse_release_step(value.as_text());
  if (step) return good();
  if (step.error().code == Code::unimplemented) return later();
  return bad("\"shadow 1h\", \"canary 5%\", \"canary 5% 30m\" or \"full\"");
}

Verdict judge_collector(const Tree& value) {
  if (Tracer::check_url(value.as_text())) return good();
  return bad("the address of a collector, such as \"http://127.0.0.1:4318\"");
}

Verdict judge_version_name(const Tree& value) {
  if (registry::parse_version_name(value.as_text())) return good();
  return bad("a model such as \"churn\", or one version such as \"churn:3\"");
}

Verdict judge_batch_in(const Tree& value) {
  const auto why = bad_batch_path(value.as_text(), BatchPath::in);
  return why.empty() ? good() : bad(why);
}

Verdict judge_batch_out(const Tree& value) {
  const auto why = bad_batch_path(value.as_text(), BatchPath::out);
  return why.empty() ? good() : bad(why);
}

Verdict judge_not_empty(const Tree& value) {
  return value.as_text().empty() ? bad("a string that is not empty") : good();
}

// A date of the list, or instead of the list a region. In JSON both are texts; a list of regions there is not.
Verdict judge_holidays(const Tree& value) {
  const std::string& text = value.as_text();
  if (text.size() == 10 && parse_time(text)) return good();
  if (value.is(Tree::Kind::text) && flow::is_region(text) && !std::isdigit(static_cast<unsigned char>(text.front())))
    return good();
  return bad("a date such as 2026-12-25, or a region such as \"PT\"");
}

}  // namespace schema
}  // namespace millrace::loop
