#include "blob/testing/memory.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

namespace millrace::blob {
namespace {

class MemoryFile final : public ReadableFile {
 public:
  explicit MemoryFile(std::shared_ptr<const std::string> bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_->size()) return std::size_t{0};
    const auto n = std::min<std::size_t>(out.size(), bytes_->size() - offset);
    std::memcpy(out.data(), bytes_->data() + offset, n);
    return n;
  }
  std::uint64_t size() const override { return bytes_->size(); }

 private:
  std::shared_ptr<const std::string> bytes_;
};

}  // namespace

class MemoryWriter final : public Writer {
 public:
  explicit MemoryWriter(MemoryStore& store) : store_(store) {}
  Result<void> append(std::span<const std::byte> data) override {
    TRY_VOID(check_open());
    content_.append(reinterpret_cast<const char*>(data.data()), data.size());
    return ok();
  }

 private:
  Result<void> check_open() const {
    if (!closed_) return ok();
    return fail(Code::failed_precondition, "blob.writer_closed", "this upload was committed or has failed");
  }
  Result<BlobInfo> finish(const std::optional<Digest>& expected) override {
    TRY_VOID(check_open());
    closed_ = true;
    return store_.store(std::move(content_), expected);
  }
  MemoryStore& store_;
  std::string content_;
  bool closed_ = false;
};

void MemoryStore::damage(const Digest& digest) {
  std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(digest); found != entries_.end()) found->second.damaged = true;
}

void MemoryStore::fail_next(Error error, int nth) {
  std::lock_guard lock(mutex_);
  next_error_ = std::move(error);
  next_error_in_ = nth;
}

void MemoryStore::limit(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
}

Result<void> MemoryStore::may_fail() {
  if (!next_error_ || --next_error_in_ > 0) return ok();
  return fail(*std::exchange(next_error_, std::nullopt));
}

Result<MemoryStore::Entry*> MemoryStore::find(const Digest& digest) {
  TRY_VOID(may_fail());
  const auto found = entries_.find(digest);
  if (found == entries_.end()) return fail(Code::not_found, "blob.not_found", "there is no blob " + digest.hex());
  return &found->second;
}

Result<MemoryStore::Entry*> MemoryStore::find_whole(const Digest& digest) {
  TRY(Entry * entry, find(digest));
  if (!entry->damaged) return entry;
  entries_.erase(digest);
  quarantine_.insert(digest);
  return fail(Code::data_loss, "blob.corrupt", "blob " + digest.hex() + " was damaged by a test");
}

Result<BlobInfo> MemoryStore::store(std::string content, const std::optional<Digest>& expected) {
  const BlobInfo info{sha256(content), content.size()};
  if (expected && *expected != info.digest) {
    return fail(Code::invalid_argument, "blob.digest_differs", "the content has the digest " + info.digest.hex());
  }
  std::lock_guard lock(mutex_);
  TRY_VOID(may_fail());
  if (const auto found = entries_.find(info.digest); found != entries_.end() && !found->second.damaged) {
    found->second.pinned = clock_.now();
    return info;
  }
  std::uint64_t total = info.size;
  for (const auto& [digest, entry] : entries_) total += entry.bytes->size();
  if (total > limit_) return fail(Code::resource_exhausted, "fs.disk_full", "the store in memory is full");
  entries_.insert_or_assign(
      info.digest, Entry{.bytes = std::make_shared<const std::string>(std::move(content)), .written = clock_.now()});
  return info;
}

Result<std::unique_ptr<Writer>> MemoryStore::create() { return std::make_unique<MemoryWriter>(*this); }

Result<std::shared_ptr<const ReadableFile>> MemoryStore::open(const Digest& digest) {
  std::lock_guard lock(mutex_);
  TRY(Entry * entry, find_whole(digest));
  return std::make_shared<const MemoryFile>(entry->bytes);
}

Result<std::string> MemoryStore::read(const Digest& digest, std::uint64_t size_max) {
  std::lock_guard lock(mutex_);
  TRY(Entry * entry, find_whole(digest));
  if (entry->bytes->size() > size_max) {
    return fail(Code::resource_exhausted, "blob.too_large", "blob " + digest.hex() + " is larger than allowed here");
  }
  return *entry->bytes;
}

Result<BlobInfo> MemoryStore::verify(const Digest& digest) {
  std::lock_guard lock(mutex_);
  TRY(Entry * entry, find_whole(digest));
  return BlobInfo{digest, entry->bytes->size()};
}

Result<BlobInfo> MemoryStore::stat(const Digest& digest) {
  std::lock_guard lock(mutex_);
  TRY(Entry * entry, find(digest));
  return BlobInfo{digest, entry->bytes->size()};
}

Result<void> MemoryStore::each(const std::function<Result<void>(const BlobInfo&)>& visit) {
  std::vector<BlobInfo> found;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [digest, entry] : entries_) found.push_back({digest, entry.bytes->size()});
  }
  for (const BlobInfo& info : found) TRY_VOID(visit(info));
  return ok();
}

Result<void> MemoryStore::remove(const Digest& digest) {
  std::lock_guard lock(mutex_);
  TRY_VOID(may_fail());
  entries_.erase(digest);
  return ok();
}

Result<std::optional<LocalFile>> MemoryStore::local_file(const Digest& digest) {
  std::lock_guard lock(mutex_);
  TRY_VOID(find_whole(digest));
  return std::nullopt;
}

Result<void> MemoryStore::pin(const Digest& digest) {
  std::lock_guard lock(mutex_);
  TRY(Entry * entry, find(digest));
  entry->pinned = clock_.now();
  return ok();
}

namespace {

class Held final : public FileLock {
 public:
  explicit Held(std::function<void()> release) : release_(std::move(release)) {}
  ~Held() override { release_(); }

 private:
  std::function<void()> release_;
};

}  // namespace

Result<std::unique_ptr<FileLock>> MemoryStore::hold_garbage() {
  std::lock_guard lock(mutex_);
  if (std::exchange(collecting_, true))
    return fail(Code::failed_precondition, "blob.gc_running", "a garbage collection is running");
  return std::make_unique<Held>([this] {
    std::lock_guard end(mutex_);
    collecting_ = false;
  });
}

Result<GcReport> MemoryStore::collect_garbage(const std::function<bool(const Digest&)>& reachable, Duration grace,
                                              bool dry_run) {
  std::vector<Digest> candidates;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(collecting_, true)) {
      return fail(Code::failed_precondition, "blob.gc_running", "another garbage collection is running");
    }
    for (const auto& [digest, entry] : entries_) candidates.push_back(digest);
  }
  GcReport report;
  const TimePoint born_before = clock_.now() - grace;
  auto young = [&](const Digest& digest) {  // counts why
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(digest);
    if (found == entries_.end()) return true;
    if (found->second.written > born_before) return ++report.kept_young, true;
    if (found->second.pinned.value_or(TimePoint::min()) > born_before) return ++report.kept_pinned, true;
    return false;
  };
  for (const Digest& digest : candidates) {
    if (young(digest)) continue;
    if (reachable(digest)) {
      ++report.kept_reachable;
      continue;
    }
    if (!dry_run && reachable(digest)) {
      ++report.kept_by_race;
      continue;
    }
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(digest);
    if (found == entries_.end()) continue;
    if (found->second.written > born_before || found->second.pinned.value_or(TimePoint::min()) > born_before) {
      ++report.kept_by_race;
      continue;
    }
    report.removed.push_back({digest, found->second.bytes->size()});
    report.bytes += found->second.bytes->size();
    if (!dry_run) entries_.erase(found);
  }
  std::lock_guard lock(mutex_);
  collecting_ = false;
  return report;
}

}  // namespace millrace::blob
