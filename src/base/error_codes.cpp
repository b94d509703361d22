#include "base/error_codes.hpp"

#include <array>

#include "base/check.hpp"

namespace millrace {
namespace {

struct Row {
  Code code;
  std::string_view name;
  int http;
};

// HTTP as in google/rpc/code.proto, but failed_precondition: 409 says "not in this state", 400 would blame the request.
constexpr std::array<Row, 17> rows{{
    {Code::ok, "ok", 200},
    {Code::cancelled, "cancelled", 499},
    {Code::unknown, "unknown", 500},
    {Code::invalid_argument, "invalid_argument", 400},
    {Code::deadline_exceeded, "deadline_exceeded", 504},
    {Code::not_found, "not_found", 404},
    {Code::already_exists, "already_exists", 409},
    {Code::permission_denied, "permission_denied", 403},
    {Code::resource_exhausted, "resource_exhausted", 429},
    {Code::failed_precondition, "failed_precondition", 409},
    {Code::aborted, "aborted", 409},
    {Code::out_of_range, "out_of_range", 400},
    {Code::unimplemented, "unimplemented", 501},
    {Code::internal, "internal", 500},
    {Code::unavailable, "unavailable", 503},
    {Code::data_loss, "data_loss", 500},
    {Code::unauthenticated, "unauthenticated", 401},
}};

const Row& row(Code code) {
  const auto index = static_cast<std::size_t>(code);
  check(index < rows.size(), "a Code is one of the canonical 17");
  return rows[index];
}

static_assert([] {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<std::size_t>(rows[i].code) != i) return false;
  }
  return true;
}());

}  // namespace

std::string_view code_name(Code code) { return row(code).name; }

std::optional<Code> code_from_name(std::string_view name) {
  for (const auto& candidate : rows) {
    if (candidate.name == name) return candidate.code;
  }
  return std::nullopt;
}

int http_status(Code code) { return row(code).http; }

int http_status(const Error& error) { return is_disk_full(error) ? 507 : http_status(error.code); }

bool is_disk_full(const Error& error) { return error.reason.ends_with(".disk_full"); }

Code code_from_http(int status) {
  switch (status) {
    case 400:
    case 422:
      return Code::invalid_argument;
    case 401:
      return Code::unauthenticated;
    case 403:
      return Code::permission_denied;
    case 404:
    case 410:
      return Code::not_found;
    case 408:
    case 504:
      return Code::deadline_exceeded;
    case 409:
    case 412:
      return Code::failed_precondition;
    case 413:
    case 429:
    case 507:
      return Code::resource_exhausted;
    case 499:
      return Code::cancelled;
    case 501:
      return Code::unimplemented;
    case 502:
    case 503:
      return Code::unavailable;
    default:
      break;
  }
  if (status >= 200 && status < 400) return Code::ok;
  if (status >= 400 && status < 500) return Code::failed_precondition;
  return status >= 500 && status < 600 ? Code::internal : Code::unknown;
}

int exit_code(const Error& error) {
  if (error.code == Code::ok) return exit_status::ok;
  const std::string_view reason = error.reason;
  if (reason.ends_with(".gate_not_passed")) return exit_status::gate_failed;
  if (reason.ends_with(".waiting_for_approval")) return exit_status::waiting_for_approval;
  if (reason.ends_with(".nothing_to_do")) return exit_status::nothing_to_do;
  if (reason.starts_with("cli.")) return exit_status::wrong_usage;
  return exit_status::error;
}

}  // namespace millrace
