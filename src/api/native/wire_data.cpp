// Reads and writes the wire structs of this part; glaze is instantiated here and nowhere else.
#include "api/native/wire_internal.hpp"

namespace millrace::api {

MILLRACE_WIRE(DatasetVersion)
MILLRACE_WIRE(DatasetList)
MILLRACE_WIRE(AcceptRequest)
MILLRACE_WIRE(QueryRequest)
MILLRACE_WIRE(QueryAnswer)
MILLRACE_WIRE(DiffAnswer)
MILLRACE_WIRE(BatchRequest)
MILLRACE_WIRE(BatchAnswer)
MILLRACE_WIRE(BatchRun)
MILLRACE_WIRE(BatchList)
MILLRACE_WIRE(CheckoutRequest)
MILLRACE_WIRE(CheckoutAnswer)
MILLRACE_WIRE(CheckAnswer)
MILLRACE_WIRE(IngestRequest)
MILLRACE_WIRE(LabelsAnswer)
MILLRACE_WIRE(LabelQueue)
MILLRACE_WIRE(Why)
MILLRACE_WIRE(std::vector<Label>)

}  // namespace millrace::api
