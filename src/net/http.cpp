#include "net/http.hpp"

#include <algorithm>
#include <charconv>

#include "base/error_codes.hpp"
#include "base/json.hpp"

namespace millrace::net {

namespace wire {

struct WireError {
  std::string_view code;
  std::string_view reason;
  std::string_view message;
  std::string_view next;
  std::optional<std::string_view> field, expected, got;
};
struct WireErrorAnswer {
  WireError error;
};

}  // namespace wire

using namespace wire;

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// glaze refuses text that is not UTF-8; an error message may quote a client's bytes.
std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    std::size_t length = byte < 0x80                   ? 1
                         : byte >= 0xC2 && byte < 0xE0 ? 2
                         : byte >= 0xE0 && byte < 0xF0 ? 3
                         : byte >= 0xF0 && byte < 0xF5 ? 4
                                                       : 0;
    bool good = length != 0 && i + length <= text.size();
    for (std::size_t k = 1; good && k < length; ++k) good = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    if (good) {
      out.append(text, i, length);
      i += length;
    } else {
      out += "\xEF\xBF\xBD";
      ++i;
    }
  }
  return out;
}

// That this server may not write its own files is no matter of whoever asks: 403 would tell him to log in.
int status_of(const Error& error) {
  return error.reason == "fs.denied" || error.reason == "meta.denied" ? 503 : http_status(error);
}

// Of what goes by itself; 0: asking again is no use. A disk takes a person longer than a queue takes to drain.
int seconds_until_worth_asking(int status) {
  if (status == 507) return 5;
  return status == 429 || status == 503 ? 1 : 0;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (equal_ignoring_case(key, name)) return value;
  return {};
}

const std::string& Request::path_parameter(std::string_view name) const {
  static const std::string none;
  for (const auto& [key, value] : path_parameters)
    if (key == name) return value;
  return none;
}

std::optional<std::string_view> Request::query(std::string_view name) const {
  for (const auto& [key, value] : query_parameters)
    if (key == name) return value;
  return std::nullopt;
}

std::vector<std::string_view> Request::query_all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& [key, value] : query_parameters)
    if (key == name) out.push_back(value);
  return out;
}

std::string render_error(const Error& error, const ErrorDetail& detail) {
  std::string message = printable(error.message), next = printable(detail.next), field = printable(detail.field),
              expected = printable(detail.expected), got = printable(detail.got);
  WireErrorAnswer answer{{.code = code_name(error.code), .reason = error.reason, .message = message, .next = next}};
  if (!field.empty()) answer.error.field = field;
  if (!expected.empty()) answer.error.expected = expected;
  if (!got.empty()) answer.error.got = got;
  return json::render(answer);
}

Response error_response(const Error& error, const ErrorDetail& detail) {
  Response response{.status = status_of(error), .body = render_error(error, detail)};
  const int wait =
      detail.retry_after_seconds > 0 ? detail.retry_after_seconds : seconds_until_worth_asking(response.status);
  if (wait > 0) response.headers.emplace_back("Retry-After", std::to_string(wait));
  response.error = {error.code, error.reason, printable(error.message)};
  if (!detail.next.empty()) response.error->message += "; " + printable(detail.next);
  if (error.code == Code::unauthenticated)
    response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"millrace\"");
  return response;
}

Response json_response(std::string body, int status) { return {.status = status, .body = std::move(body)}; }

Response text_response(std::string body, int status) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(body)};
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!text.empty()) {
    auto part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (part.empty()) continue;
    auto equals = part.find('=');
    out.emplace_back(percent_decode(part.substr(0, equals), true),
                     equals == std::string_view::npos ? "" : percent_decode(part.substr(equals + 1), true));
  }
  return out;
}

std::string_view trace_id(std::string_view traceparent) {
  // version "-" trace-id "-" parent-id "-" flags; all zeros is invalid (W3C Trace Context, section 3.2)
  if (traceparent.size() < 55 || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-') return {};
  auto id = traceparent.substr(3, 32);
  bool hex = std::ranges::all_of(id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  bool zero = std::ranges::all_of(id, [](char c) { return c == '0'; });
  return hex && !zero && traceparent.substr(0, 2) != "ff" ? id : std::string_view{};
}

Result<std::optional<std::pair<std::uint64_t, std::uint64_t>>> parse_range(std::string_view header,
                                                                           std::uint64_t size) {
  using Range = std::optional<std::pair<std::uint64_t, std::uint64_t>>;
  if (!header.starts_with("bytes=")) return Range{};
  header.remove_prefix(6);
  auto dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return Range{};
  auto from = header.substr(0, dash), to = header.substr(dash + 1);
  auto first = number(from), last = number(to);
  auto nothing = [&] {
    return fail(
        Code::out_of_range, "net.bad_range",
        "the range bytes=" + std::string(header) + " is outside of the " + std::to_string(size) + " bytes there are");
  };
  if (from.empty()) {
    if (!last) return Range{};
    if (*last == 0 || size == 0) return nothing();
    auto length = std::min(*last, size);
    return Range{{size - length, length}};
  }
  if (!first || (!to.empty() && !last)) return Range{};
  if (last && *last < *first) return Range{};
  if (*first >= size) return nothing();
  auto end = last ? std::min(*last, size - 1) : size - 1;
  return Range{{*first, end - *first + 1}};
}

Response file_response(const Request& request, std::string path, std::uint64_t size, std::string content_type,
                       std::string_view etag) {
  Response response{.content_type = std::move(content_type)};
  std::string quoted = etag.empty() ? "" : "\"" + std::string(etag) + "\"";
  response.headers.emplace_back("Accept-Ranges", "bytes");
  if (!quoted.empty()) {
    response.headers.emplace_back("ETag", quoted);
    if (request.header("If-None-Match") == quoted) {
      response.status = 304;
      return response;
    }
  }
  auto if_range = request.header("If-Range");
  bool may_resume = if_range.empty() || (!quoted.empty() && if_range == quoted);
  auto range = parse_range(may_resume ? request.header("Range") : "", size);
  if (!range) {
    auto refused = error_response(range.error());
    refused.status = 416;
    refused.headers.emplace_back("Content-Range", "bytes */" + std::to_string(size));
    return refused;
  }
  auto part = range->value_or(std::pair<std::uint64_t, std::uint64_t>{0, size});
  if (range->has_value()) {
    response.status = 206;
    response.headers.emplace_back("Content-Range", "bytes " + std::to_string(part.first) + "-" +
                                                       std::to_string(part.first + part.second - 1) + "/" +
                                                       std::to_string(size));
  }
  response.file = FileBody{.path = std::move(path), .offset = part.first, .length = part.second};
  return response;
}

}  // namespace millrace::net
