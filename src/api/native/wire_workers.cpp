// Reads and writes the wire structs of this part; glaze is instantiated here and nowhere else.
#include "api/native/wire_internal.hpp"

namespace millrace::api {

MILLRACE_WIRE(ClaimRequest)
MILLRACE_WIRE(ClaimAnswer)
MILLRACE_WIRE(HeartbeatRequest)
MILLRACE_WIRE(HeartbeatAnswer)
MILLRACE_WIRE(EndRequest)

}  // namespace millrace::api
