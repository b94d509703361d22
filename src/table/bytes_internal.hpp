// The bytes of a file front to back, unpacked when they are gzip.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::table {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Appends the next piece (up to about 256 KiB) to `to`; false at the end.
  virtual Result<bool> read(std::string& to) = 0;
};

// By the first bytes: gzip (also several members one after the other) or as they are.
// data_loss `table.bad_gzip` when the packed bytes are broken or cut off.
Result<std::unique_ptr<ByteSource>> open_bytes(std::shared_ptr<const ReadableFile> file);

// Reads everything; resource_exhausted `table.memory` past `size_max`.
Result<std::string> read_all(ByteSource& source, std::size_t size_max);

}  // namespace millrace::table
