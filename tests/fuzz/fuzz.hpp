// What the targets share: foreign bytes as text or as a file, and a promise that ends the program when it is broken.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/fs.hpp"
#include "base/result.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace millrace::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// libFuzzer keeps the input and prints its path and this sentence.
inline void require(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// An error is an answer, but one that says what it is.
template <class T>
bool answered(const Result<T>& result) {
  if (!result) require(!result.error().reason.empty() && !result.error().message.empty(), "an error names its reason");
  return result.has_value();
}

// Takes the first byte off: which of several readers gets the rest. 0 for no bytes.
inline unsigned take_choice(std::string_view& text) {
  if (text.empty()) return 0;
  const auto choice = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  return choice;
}

// The part before the first `mark`, which is taken off with it; all of it when there is none.
inline std::string_view take_until(std::string_view& text, std::string_view mark) {
  const auto at = text.find(mark);
  const auto part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + mark.size());
  return part;
}

// A copy of exactly the bytes, so that a read past the end is one past an allocation.
class BytesFile final : public ReadableFile {
 public:
  explicit BytesFile(std::string_view bytes) : bytes_(new char[bytes.size()]), size_(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), bytes_.get());
  }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size_) return std::size_t{0};
    const auto length = std::min<std::uint64_t>(out.size(), size_ - offset);
    if (length > 0) std::memcpy(out.data(), bytes_.get() + offset, length);
    return static_cast<std::size_t>(length);
  }
  std::uint64_t size() const override { return size_; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::uint64_t size_;
};

// A disk on which every file has these bytes and nothing can be written.
class OneFileFs final : public Fs {
 public:
  explicit OneFileFs(std::string_view bytes) : bytes_(bytes) {}
  Result<std::unique_ptr<ReadableFile>> open_read(const std::string&) override {
    return std::unique_ptr<ReadableFile>(new BytesFile(bytes_));
  }
  Result<FileInfo> info(const std::string& path) override { return FileInfo{.name = path, .size = bytes_.size()}; }
  Result<std::unique_ptr<WritableFile>> open_write(const std::string&, WriteMode) override { return no(); }
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string&, std::uint64_t) override { return no(); }
  Result<std::unique_ptr<FileLock>> lock(const std::string&, const std::string&) override { return no(); }
  Result<std::vector<FileInfo>> list(const std::string&) override { return no(); }
  Result<void> make_dirs(const std::string&) override { return no(); }
  Result<void> rename(const std::string&, const std::string&) override { return no(); }
  Result<void> remove(const std::string&) override { return no(); }
  Result<void> remove_all(const std::string&) override { return no(); }
  Result<void> sync_dir(const std::string&) override { return no(); }
  Result<std::uint64_t> free_bytes(const std::string&) override { return no(); }

 private:
  static std::unexpected<Error> no() { return fail(Code::unimplemented, "fuzz.read_only", "this disk is read only"); }
  std::string bytes_;
};

}  // namespace millrace::fuzz
