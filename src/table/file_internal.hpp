// Readers of one kind of file each; Engine::read_file chooses between them.
#pragma once

#include <memory>
#include <string>

#include "table/table.hpp"

namespace millrace::table {

// An Arrow IPC file ("ARROW1", also known as Feather 2).
Result<std::unique_ptr<BatchReader>> open_arrow_file(std::shared_ptr<const ReadableFile> file);

}  // namespace millrace::table
