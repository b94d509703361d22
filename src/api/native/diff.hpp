// What differs between two runs, or two model versions: of the wire structs, so that any client could do it. Pure.
#pragma once

#include "api/native/wire.hpp"

namespace millrace::api {

// Sections in this order: outcome, params, metrics, inputs. Equal values give no line; a value that is missing is "".
Difference diff(const Run& one, const Run& other);
// Outcome (verdict, bytes, artifact), gates, metrics, params, inputs.
Difference diff(const ModelVersion& one, const ModelVersion& other);

}  // namespace millrace::api
