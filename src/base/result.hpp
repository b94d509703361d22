// Errors as values. An expected failure is an Error inside a Result; a broken invariant aborts (see check.hpp).
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

// The canonical codes of gRPC (google/rpc/code.proto), same numbers. A machine decides by these: one table maps them to
// HTTP status, gRPC status and exit code (error_codes.hpp).
enum class Code {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

// `reason` is a stable id such as "registry.gate_not_passed": lower case, <module>.<what>. `message` tells a person
// what, where, why and what to do next. Tests look at `code` and `reason`, never at `message`.
struct Error {
  Code code = Code::unknown;
  std::string reason;
  std::string message;
};

template <class T>
struct [[nodiscard]] Result : std::expected<T, Error> {
  using std::expected<T, Error>::expected;
};

// Result<void>'s success value, for `return ok();` where an expression is needed.
inline Result<void> ok() { return {}; }

inline std::unexpected<Error> fail(Code code, std::string_view reason, std::string message) {
  return std::unexpected<Error>(Error{code, std::string(reason), std::move(message)});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

// Puts "while <doing>: " before the message; code and reason stay.
inline Error while_doing(std::string_view doing, Error error) {
  error.message = std::string(doing) + ": " + error.message;
  return error;
}

}  // namespace millrace

#define MILLRACE_CONCAT_(a, b) a##b
#define MILLRACE_CONCAT(a, b) MILLRACE_CONCAT_(a, b)

// TRY(auto version, registry.find(name)) declares `version`, or returns the error. TRY_VOID for Result<void>.
// Two statements, not a statement-expression, so that they also work around co_await.
#define TRY(declaration, ...) MILLRACE_TRY_(MILLRACE_CONCAT(try_, __COUNTER__), return, declaration, __VA_ARGS__)
#define CO_TRY(declaration, ...) MILLRACE_TRY_(MILLRACE_CONCAT(try_, __COUNTER__), co_return, declaration, __VA_ARGS__)
#define MILLRACE_TRY_(name, leave, declaration, ...)          \
  auto name = (__VA_ARGS__);                                  \
  if (!name) leave ::millrace::fail(std::move(name).error()); \
  declaration = *std::move(name)

#define TRY_VOID(...) MILLRACE_TRY_VOID_(MILLRACE_CONCAT(try_, __COUNTER__), return, __VA_ARGS__)
#define CO_TRY_VOID(...) MILLRACE_TRY_VOID_(MILLRACE_CONCAT(try_, __COUNTER__), co_return, __VA_ARGS__)
#define MILLRACE_TRY_VOID_(name, leave, ...) \
  if (auto name = (__VA_ARGS__); !name) leave ::millrace::fail(std::move(name).error())
