// Reads and writes the wire structs of this part; glaze is instantiated here and nowhere else.
#include "api/native/wire_tokens.hpp"

#include "api/native/wire_internal.hpp"

namespace millrace::api {

MILLRACE_WIRE(TokenRequest)
MILLRACE_WIRE(NewToken)
MILLRACE_WIRE(TokenInfo)
MILLRACE_WIRE(TokenList)

}  // namespace millrace::api
