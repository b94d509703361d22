// An in-memory store with fault knobs, for tests of what uses blobs. Keeps the promises of testing/suite.hpp.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/clock.hpp"
#include "blob/blob.hpp"

namespace millrace::blob {

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(Clock& clock) : clock_(clock) {}

  // Knobs. damage(): the stored bytes are no longer the promised ones. fail_next(): the n-th storing or reading call
  // from now on (1: the next one) fails with this error, the others work. limit(): a commit beyond so many bytes finds
  // the disk full.
  void damage(const Digest& digest);
  void fail_next(Error error, int nth = 1);
  void limit(std::uint64_t bytes);

  Result<std::unique_ptr<Writer>> create() override;
  Result<std::shared_ptr<const ReadableFile>> open(const Digest& digest) override;
  Result<std::string> read(const Digest& digest, std::uint64_t size_max) override;
  Result<BlobInfo> verify(const Digest& digest) override;
  Result<BlobInfo> stat(const Digest& digest) override;
  Result<void> each(const std::function<Result<void>(const BlobInfo&)>& visit) override;
  Result<void> remove(const Digest& digest) override;
  Result<std::optional<LocalFile>> local_file(const Digest& digest) override;
  Result<void> pin(const Digest& digest) override;
  Result<GcReport> collect_garbage(const std::function<bool(const Digest&)>& reachable, Duration grace,
                                   bool dry_run) override;
  Result<std::unique_ptr<FileLock>> hold_garbage() override;

 private:
  friend class MemoryWriter;
  using Bytes = std::shared_ptr<const std::string>;
  struct Entry {
    Bytes bytes;
    bool damaged = false;
    TimePoint written;
    std::optional<TimePoint> pinned;
  };
  Result<void> may_fail();                          // mutex_ held
  Result<Entry*> find(const Digest& digest);        // mutex_ held
  Result<Entry*> find_whole(const Digest& digest);  // mutex_ held; a damaged one is set aside
  Result<BlobInfo> store(std::string content, const std::optional<Digest>& expected);

  Clock& clock_;
  std::mutex mutex_;
  std::map<Digest, Entry> entries_;
  std::set<Digest> quarantine_;
  std::optional<Error> next_error_;
  int next_error_in_ = 0;
  std::uint64_t limit_ = ~std::uint64_t{0};
  bool collecting_ = false;
};

}  // namespace millrace::blob
