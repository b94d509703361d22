// The rows of a batch that reads files by itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "blob/blob.hpp"
#include "loop/jobs.hpp"
#include "table/table.hpp"

namespace millrace::loop {

// The files that a path or pattern names, in the order of their names, each as a blob: what happens to the files from
// then on changes nothing. not_found `loop.no_input`, saying what to do.
Result<std::vector<BatchInput>> take_inputs(const Task& task, blob::Store& blobs, const std::string& pattern);

// Their rows, one file after the other. invalid_argument `loop.inputs_differ` when the columns are not the same.
Result<std::unique_ptr<table::BatchReader>> open_inputs(blob::Store& blobs, const std::vector<BatchInput>& inputs,
                                                        const table::CsvOptions& options);

}  // namespace millrace::loop
