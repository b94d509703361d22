// A blob being written, as a file that rows can be written to.
#pragma once

#include "base/fs.hpp"
#include "blob/blob.hpp"

namespace millrace::data {

class BlobFile final : public WritableFile {
 public:
  explicit BlobFile(blob::Writer& writer) : writer_(writer) {}
  Result<void> append(std::span<const std::byte> data) override {
    TRY_VOID(writer_.append(data));
    size_ += data.size();
    return {};
  }
  Result<void> sync() override { return {}; }  // commit() does
  std::uint64_t size() const override { return size_; }

 private:
  blob::Writer& writer_;
  std::uint64_t size_ = 0;
};

}  // namespace millrace::data
