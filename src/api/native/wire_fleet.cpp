// Reads and writes the wire structs of this part; glaze is instantiated here and nowhere else.
#include "api/native/wire_fleet.hpp"

#include "api/native/wire_internal.hpp"

namespace millrace::api {

MILLRACE_WIRE(Wish)
MILLRACE_WIRE(PredictorReport)
MILLRACE_WIRE(PredictorList)
MILLRACE_WIRE(LogTaken)

Result<Wish> parse_wish(std::string_view text) { return json::parse_lenient<Wish>(text, "the server's wish"); }

}  // namespace millrace::api
