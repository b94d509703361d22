// The part of the ZIP format that artifacts use: stored entries (no compression), no encryption, no ZIP64, fixed times,
// so that the same entries give the same bytes. Other tools (unzip, Python) read what this writes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::model {

struct ZipEntry {
  std::string name;
  std::string_view data;  // of the reader: points into the archive
};

// In the given order. resource_exhausted `model.too_large` at 4 GB.
Result<std::string> write_zip(const std::vector<ZipEntry>& entries);
// Every length, offset and checksum is checked; nothing may lie between, before or after the entries. data_loss
// `model.bad_artifact` otherwise.
Result<std::vector<ZipEntry>> read_zip(std::string_view archive);

}  // namespace millrace::model
