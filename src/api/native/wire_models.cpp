// Reads and writes the wire structs of this part; glaze is instantiated here and nowhere else.
#include "api/native/wire_internal.hpp"

namespace millrace::api {

MILLRACE_WIRE(TrainRequest)
MILLRACE_WIRE(Run)
MILLRACE_WIRE(RunList)
MILLRACE_WIRE(MetricHistory)
MILLRACE_WIRE(RunProgress)
MILLRACE_WIRE(Difference)
MILLRACE_WIRE(ModelVersion)
MILLRACE_WIRE(Model)
MILLRACE_WIRE(ModelList)
MILLRACE_WIRE(ModelExamples)
MILLRACE_WIRE(ReleaseList)
MILLRACE_WIRE(PromoteRequest)
MILLRACE_WIRE(MoveAnswer)
MILLRACE_WIRE(RebuildAnswer)
MILLRACE_WIRE(GcRequest)
MILLRACE_WIRE(GcAnswer)

}  // namespace millrace::api
