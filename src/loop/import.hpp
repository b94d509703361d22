// Whether a model from outside can stand for the project's: pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "data/dataset.hpp"
#include "data/mask.hpp"
#include "loop/jobs.hpp"
#include "model/manifest.hpp"

namespace millrace::loop {

// The project's model as it would be trained now, with the archive's own inputs in place of the project's; or
// failed_precondition, saying what differs: `loop.other_task`, `loop.other_target`, `loop.other_classes` (a class of
// the data that the archive does not know), `loop.missing_inputs`, `loop.sensitive_input`.
Result<ModelSpec> adopt(const model::Manifest& manifest, ModelSpec spec, const std::vector<data::ColumnField>& schema,
                        const data::ColumnNames& sensitive);

}  // namespace millrace::loop
