// What handlers see of HTTP: a request, a response, and the one shape of an error answer. No network in here, so that a
// test makes a Request by hand and reads the Response.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/lanes.hpp"
#include "base/result.hpp"

namespace millrace {
class Trace;
}

namespace millrace::net {

// A view: it and everything it points to live while the handler runs, not longer.
struct Request {
  std::string_view method;  // upper case; HEAD arrives as GET, the body of its answer is dropped
  std::string_view path;    // as sent, without the query, still percent-encoded: "/api/v1/models/a%2Fb"
  std::string_view query_text;
  std::vector<std::pair<std::string_view, std::string_view>> headers;  // names in any case
  std::string_view body;                                               // empty for uploads
  std::string_view remote;                                             // "127.0.0.1:53122"
  bool may_wait = true;                                                // false: on an event loop
  std::optional<SteadyPoint> came;                                     // of a fast route: when it was read
  mutable std::shared_ptr<void> place;  // whatever a handler keeps until the request is answered
  mutable std::shared_ptr<Lane> lane;   // of the pool for computing, where a handler is to be called again there
  Trace* trace = nullptr;               // of this request, where it is sampled
  std::string id;  // the trace id of `traceparent` where the client sent one, else drawn here; 32 hex digits

  // Filled by the router: {name} parts of the pattern, percent-decoded.
  std::vector<std::pair<std::string_view, std::string>> path_parameters;
  // Decoded from query_text, in order; a key without '=' has the value "".
  std::vector<std::pair<std::string, std::string>> query_parameters;

  std::string_view header(std::string_view name) const;                  // "" when absent; any case
  const std::string& path_parameter(std::string_view name) const;        // "" when absent
  std::optional<std::string_view> query(std::string_view name) const;    // the first of that name
  std::vector<std::string_view> query_all(std::string_view name) const;  // all of that name
};

// Part of a file, sent by the kernel: memory stays flat whatever its size. The file must not change until it is sent.
struct FileBody {
  std::string path;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // exactly this many bytes
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<FileBody> file;  // instead of body
  std::optional<Error> error;    // of error_response(), for protocols whose errors have another shape: what to do is
                                 // part of the message, and it is UTF-8
};

// The JSON text of an error.
using ErrorShape = std::function<std::string(const Error&)>;

// A fast handler runs on an event loop and must not block; a pooled one may.
using Handler = std::function<Response(const Request&)>;

// Takes a body piece by piece. All calls come from one thread that may block: while append() works, the client waits.
// Either finish() or abort() is the last call, once.
class UploadSink {
 public:
  virtual ~UploadSink() = default;
  virtual Result<void> append(std::span<const std::byte> piece) = 0;
  virtual Result<Response> finish() = 0;     // the whole body arrived
  virtual void abort(const Error& why) = 0;  // it did not, or append() or finish() failed: leave nothing behind
};
// May block. An error is the answer, and the body is not read.
using UploadHandler = std::function<Result<std::unique_ptr<UploadSink>>(const Request&)>;

// Text that grows: progress lines of a job. next() runs on a pool thread that may block, one call at a time.
class Follower {
 public:
  virtual ~Follower() = default;
  // What is new since the last call ("" for nothing yet), whole lines; nullopt when there will be no more.
  // An error ends the stream with one line in the shape of an error answer.
  virtual Result<std::optional<std::string>> next() = 0;
};
using FollowHandler = std::function<Result<std::unique_ptr<Follower>>(const Request&)>;

// Beyond code, reason and message, where there is something to say.
struct ErrorDetail {
  std::string next;                  // what to do: a command or a path
  std::string field, expected, got;  // of a bad input: "rows[3].age", "number", "string \"old\""
  int retry_after_seconds = 0;       // > 0: sent as Retry-After; 429, 503 and 507 say when in any case
};

// {"error":{"code":"invalid_argument","reason":"net.bad_query","message":"...","next":"...","field":...}}; the status
// is the code's (507: a disk is full, 503: our own files can't be written). `next` is always there, the other details
// where they are not empty.
Response error_response(const Error& error, const ErrorDetail& detail = {});
std::string render_error(const Error& error, const ErrorDetail& detail = {});
Response json_response(std::string body, int status = 200);
Response text_response(std::string body, int status = 200);

// "%2F" -> "/"; with plus_is_space also '+' -> ' '. Broken escapes stay as they are.
std::string percent_decode(std::string_view text, bool plus_is_space = false);
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view text);
// The 32 hex digits of a W3C traceparent header; "" when it is not one.
std::string_view trace_id(std::string_view traceparent);
bool equal_ignoring_case(std::string_view a, std::string_view b);

// "bytes=100-199", "bytes=100-", "bytes=-50" against a size: offset and length. nullopt: no or several ranges: send
// all. out_of_range `net.bad_range`: nothing of it exists (416).
Result<std::optional<std::pair<std::uint64_t, std::uint64_t>>> parse_range(std::string_view header, std::uint64_t size);
// The whole file or the range that the request asks for, with the headers for resuming (`etag` without quotes, may be
// "").
Response file_response(const Request& request, std::string path, std::uint64_t size, std::string content_type,
                       std::string_view etag);

}  // namespace millrace::net
