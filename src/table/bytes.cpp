#include "table/bytes_internal.hpp"

#include <zlib.h>

#include <vector>

namespace millrace::table {

namespace {

constexpr std::size_t piece_bytes = 256 << 10;

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(std::shared_ptr<const ReadableFile> file) : file_(std::move(file)) {}
  Result<bool> read(std::string& to) override {
    const std::size_t before = to.size();
    to.resize(before + piece_bytes);
    auto got = file_->read(at_, std::as_writable_bytes(std::span(to).subspan(before)));
    to.resize(before + (got ? *got : 0));
    if (!got) return fail(got.error());
    at_ += *got;
    return *got > 0;
  }

 private:
  std::shared_ptr<const ReadableFile> file_;
  std::uint64_t at_ = 0;
};

class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(std::shared_ptr<const ReadableFile> file) : file_(std::move(file)), packed_(64 << 10) {}
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  Result<void> open() {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) return broken("zlib could not start");
    return {};
  }

  Result<bool> read(std::string& to) override {
    const std::size_t before = to.size();
    to.resize(before + piece_bytes);
    stream_.next_out = reinterpret_cast<Bytef*>(to.data() + before);
    stream_.avail_out = static_cast<uInt>(piece_bytes);
    auto done = unpack();
    to.resize(to.size() - stream_.avail_out);
    if (!done) return fail(done.error());
    return to.size() > before;
  }

 private:
  Result<void> unpack() {
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0) TRY_VOID(refill());
      if (stream_.avail_in == 0) {
        if (inside_) return broken("it ends in the middle");
        return {};
      }
      if (!inside_) {
        // A member follows; anything else behind the last one is padding, which gzip ignores too.
        if (members_ > 0 && *stream_.next_in != 0x1f) return {};
        inside_ = true;
      }
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_STREAM_END) {
        inside_ = false;
        members_++;
        inflateReset(&stream_);
      } else if (code != Z_OK) {
        return broken(stream_.msg ? stream_.msg : "wrong data");
      }
    }
    return {};
  }

  Result<void> refill() {
    TRY(const std::size_t got, file_->read(at_, std::as_writable_bytes(std::span(packed_))));
    at_ += got;
    stream_.next_in = packed_.data();
    stream_.avail_in = static_cast<uInt>(got);
    return {};
  }

  std::unexpected<Error> broken(const std::string& how) const {
    return fail(Code::data_loss, "table.bad_gzip",
                "the gzip file is broken near byte " + std::to_string(at_ - stream_.avail_in) + ": " + how +
                    "; check that it was copied whole (gzip -t)");
  }

  std::shared_ptr<const ReadableFile> file_;
  std::vector<Bytef> packed_;
  z_stream stream_{};
  std::uint64_t at_ = 0;
  int members_ = 0;
  bool inside_ = false;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_bytes(std::shared_ptr<const ReadableFile> file) {
  std::byte magic[2]{};
  TRY(const std::size_t got, file->read(0, magic));
  if (got == 2 && magic[0] == std::byte{0x1f} && magic[1] == std::byte{0x8b}) {
    auto source = std::make_unique<GzipSource>(std::move(file));
    TRY_VOID(source->open());
    return source;
  }
  return std::make_unique<PlainSource>(std::move(file));
}

Result<std::string> read_all(ByteSource& source, std::size_t size_max) {
  std::string out;
  while (true) {
    TRY(const bool more, source.read(out));
    if (!more) return out;
    if (out.size() > size_max) {
      return fail(
          Code::resource_exhausted, "table.memory",
          "the unpacked file is larger than " + std::to_string(size_max >> 20) + " MiB; unpack it first (gunzip)");
    }
  }
}

}  // namespace millrace::table
