#include "sim/disk.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace millrace::simulator {

namespace {

bool in(const std::string& path, std::string_view part) { return path.find(part) != std::string::npos; }

// Says that it is synced.
class Forgetful final : public WritableFile {
 public:
  explicit Forgetful(std::unique_ptr<WritableFile> file) : file_(std::move(file)) {}
  Result<void> append(std::span<const std::byte> data) override { return file_->append(data); }
  Result<void> sync() override { return {}; }
  std::uint64_t size() const override { return file_->size(); }

 private:
  std::unique_ptr<WritableFile> file_;
};

class ForgetfulMap final : public MappedFile {
 public:
  explicit ForgetfulMap(std::unique_ptr<MappedFile> file) : file_(std::move(file)) {}
  std::span<std::byte> bytes() override { return file_->bytes(); }
  Result<void> sync(std::uint64_t, std::uint64_t) override { return {}; }

 private:
  std::unique_ptr<MappedFile> file_;
};

// Opens the file again when a sync failed, syncs that one, and takes its answer for true.
class Stubborn final : public WritableFile {
 public:
  Stubborn(Fs& fs, std::string path, std::unique_ptr<WritableFile> file)
      : fs_(fs), path_(std::move(path)), file_(std::move(file)) {}
  Result<void> append(std::span<const std::byte> data) override { return file_->append(data); }
  Result<void> sync() override {
    if (auto done = file_->sync(); done || done.error().reason != "fs.io") return done;
    TRY(file_, fs_.open_write(path_, WriteMode::append));
    return file_->sync();
  }
  std::uint64_t size() const override { return file_->size(); }

 private:
  Fs& fs_;
  std::string path_;
  std::unique_ptr<WritableFile> file_;
};

// A segment of the prediction log as a reader sees it that does not look at the sums: they always fit.
class Unchecked final : public ReadableFile {
 public:
  explicit Unchecked(std::string content) : content_(std::move(content)) {
    struct Header {
      std::uint32_t magic, length, type, crc;
    };
    for (std::size_t at = 64; at + sizeof(Header) <= content_.size();) {
      Header header;
      std::memcpy(&header, content_.data() + at, sizeof header);
      if (header.magic != 0x4C50524D || header.length > content_.size() - at - sizeof header) {
        at += 8;
        continue;
      }
      const std::uint32_t head[2] = {header.type, header.length};
      auto crc = crc32(0, reinterpret_cast<const Bytef*>(head), sizeof head);
      crc = crc32(crc, reinterpret_cast<const Bytef*>(content_.data() + at + sizeof header), header.length);
      header.crc = static_cast<std::uint32_t>(crc);
      std::memcpy(content_.data() + at, &header, sizeof header);
      at += (sizeof header + header.length + 7) & ~std::size_t{7};
    }
  }
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= content_.size()) return 0;
    const auto length = std::min<std::size_t>(out.size(), content_.size() - offset);
    std::memcpy(out.data(), content_.data() + offset, length);
    return length;
  }
  std::uint64_t size() const override { return content_.size(); }

 private:
  std::string content_;
};

}  // namespace

// Is synced when its folder is, after it got its name.
class Disk::Late final : public WritableFile {
 public:
  Late(Disk& disk, std::string path, std::unique_ptr<WritableFile> file)
      : disk_(disk), path_(std::move(path)), file_(std::move(file)) {}
  Result<void> append(std::span<const std::byte> data) override { return file_->append(data); }
  Result<void> sync() override {
    disk_.late_[path_] = file_;
    return {};
  }
  std::uint64_t size() const override { return file_->size(); }

 private:
  Disk& disk_;
  std::string path_;
  std::shared_ptr<WritableFile> file_;
};

bool Disk::forgets_file(const std::string& path) const {
  switch (plant_) {
    case Plant::blob_file_not_synced:
      return in(path, "/blobs/tmp/");
    case Plant::queue_file_not_synced:
      return in(path, "/queue/") && in(path, ".log");
    case Plant::positions_not_synced:
      return in(path, "/queue/consumers.json");
    case Plant::format_not_synced:
      return path == "data/format.tmp";
    default:
      return false;
  }
}

bool Disk::forgets_folder(const std::string& dir) const {
  switch (plant_) {
    case Plant::blob_folder_not_synced:
      return in(dir, "/objects/");
    case Plant::queue_folder_not_synced:
      return dir == "data/queue";
    case Plant::log_folder_not_synced:
      return dir == "data/log";
    case Plant::meta_folder_not_synced:
      return dir == "data";
    default:
      return false;
  }
}

Result<std::unique_ptr<ReadableFile>> Disk::open_read(const std::string& path) {
  if (plant_ == Plant::torn_line_read && in(path, ".mpl")) {
    TRY(auto content, read_file(to_, path));
    return std::make_unique<Unchecked>(std::move(content));
  }
  return to_.open_read(path);
}

Result<std::unique_ptr<WritableFile>> Disk::open_write(const std::string& path, WriteMode mode) {
  if (plant_ == Plant::positions_in_place && in(path, "/consumers.json.tmp"))
    return to_.open_write(path.substr(0, path.size() - 4), mode);
  TRY(auto file, to_.open_write(path, mode));
  if (forgets_file(path)) return std::make_unique<Forgetful>(std::move(file));
  if (plant_ == Plant::blob_rename_before_sync && in(path, "/blobs/tmp/"))
    return std::make_unique<Late>(*this, path, std::move(file));
  if (plant_ == Plant::failed_sync_repeated) return std::make_unique<Stubborn>(to_, path, std::move(file));
  return file;
}

Result<std::unique_ptr<MappedFile>> Disk::open_mapped(const std::string& path, std::uint64_t size) {
  TRY(auto file, to_.open_mapped(path, size));
  if (plant_ == Plant::log_not_synced && in(path, ".mpl")) return std::make_unique<ForgetfulMap>(std::move(file));
  return file;
}

void Disk::between(Moment moment, unsigned nth, std::function<void()> act) {
  moment_ = moment;
  nth_ = nth;
  between_ = std::move(act);
}

void Disk::reach(Moment moment) {
  if (!between_ || moment != moment_ || --nth_ != 0) return;
  const auto act = std::exchange(between_, nullptr);
  act();
}

Result<void> Disk::remove(const std::string& path) {
  if (in(path, "/trash/")) reach(Moment::before_remove);
  return to_.remove(path);
}

Result<std::unique_ptr<FileLock>> Disk::lock(const std::string& path, const std::string&) {
  if (in(path, "/gc.lock")) reach(Moment::snapshot_taken);
  return to_.lock(path, "simulated");
}

Result<void> Disk::rename(const std::string& from, const std::string& to) {
  if (plant_ == Plant::positions_in_place && in(from, "/consumers.json.tmp")) return {};
  const bool aside = in(to, "/trash/");
  if (aside) reach(Moment::before_move);
  TRY_VOID(to_.rename(from, to));
  if (aside) reach(Moment::after_move);
  if (auto late = late_.extract(from)) {
    late.key() = to;
    late_.insert(std::move(late));
  }
  return {};
}

Result<void> Disk::sync_dir(const std::string& dir) {
  if (forgets_folder(dir)) return {};
  TRY_VOID(to_.sync_dir(dir));
  for (auto it = late_.begin(); it != late_.end();) {
    if (parent_path(it->first) != dir) {
      ++it;
      continue;
    }
    TRY_VOID(it->second->sync());
    it = late_.erase(it);
  }
  return {};
}

}  // namespace millrace::simulator
