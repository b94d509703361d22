// Reads and writes the wire structs of this part; glaze is instantiated here and nowhere else.
#include "api/native/wire_internal.hpp"

namespace millrace::api {

MILLRACE_WIRE(Status)
MILLRACE_WIRE(ApplyRequest)
MILLRACE_WIRE(ApplyAnswer)
MILLRACE_WIRE(LoopAnswer)
MILLRACE_WIRE(JobAnswer)
MILLRACE_WIRE(JobState)
MILLRACE_WIRE(Empty)
MILLRACE_WIRE(ErrorAnswer)

Result<ErrorAnswer> parse_error(std::string_view text) {
  return json::parse_lenient<ErrorAnswer>(text, "the server's error");
}

}  // namespace millrace::api
