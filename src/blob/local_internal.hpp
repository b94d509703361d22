#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/env.hpp"
#include "blob/header_internal.hpp"
#include "blob/local.hpp"

namespace millrace::blob {

class LocalStore final : public Store {
 public:
  LocalStore(Env env, LocalConfig config);
  Result<void> prepare();  // makes the folders, puts back what a dead collection left in trash/

  Result<std::unique_ptr<Writer>> create() override;
  Result<std::shared_ptr<const ReadableFile>> open(const Digest& digest) override;
  Result<std::string> read(const Digest& digest, std::uint64_t size_max) override;
  Result<BlobInfo> verify(const Digest& digest) override;
  Result<BlobInfo> stat(const Digest& digest) override;
  Result<void> each(const std::function<Result<void>(const BlobInfo&)>& visit) override;
  Result<void> remove(const Digest& digest) override;
  Result<std::optional<LocalFile>> local_file(const Digest& digest) override;
  Result<void> pin(const Digest& digest) override;
  Result<StoredBlob> stat_stored(const Digest& digest) override;
  Result<StoredBlob> verify_stored(const Digest& digest) override;
  Result<std::shared_ptr<const ReadableFile>> open_stored(const Digest& digest) override;
  Result<void> put_stored(const Digest& digest, const ReadableFile& stored,
                          const std::function<Result<void>(std::uint64_t)>& copied) override;
  Result<std::unique_ptr<FileLock>> hold_garbage() override;
  Result<GcReport> collect_garbage(const std::function<bool(const Digest&)>& reachable, Duration grace,
                                   bool dry_run) override;

 private:
  friend class LocalWriter;
  class StoredUpload;

  // A stored file as it was found; `modified` and `stored_size` tell whether it is still the same one later.
  struct Object {
    std::shared_ptr<const ReadableFile> file;
    std::string path;
    TimePoint modified;
    std::uint64_t stored_size = 0;
    Header header;
    std::optional<AeadKey> key;  // of a sealed one; not from find_stored
  };
  struct Verified {
    TimePoint modified;
    std::uint64_t stored_size = 0;
  };
  struct HashDigest {
    std::size_t operator()(const Digest& digest) const { return digest.head(); }
  };

  std::string object_dir(const Digest& digest) const;
  std::string object_path(const Digest& digest) const;
  std::string in(std::string_view folder) const { return join_path(config_.dir, folder); }
  std::string in(std::string_view folder, const Digest& digest) const { return join_path(in(folder), digest.hex()); }

  Result<Object> find_stored(const Digest& digest);    // opened; of a known format and the right size
  Result<Object> find(const Digest& digest);           // and readable, with its key
  Result<Object> find_verified(const Digest& digest);  // and hashed, unless it was before
  // All plain bytes, in order and in pieces.
  Result<void> read_plain(const Digest& digest, const Object& object,
                          const std::function<void(std::span<const std::byte>)>& take);
  Result<void> check_stored(const Digest& digest, const Object& object);  // as far as that goes without a key
  // As the file's header says, and its size where nobody can have sealed it. The file may be damaged.
  StoredBlob stored_of(const Digest& digest, const std::string& path, const FileInfo& file);
  Result<void> hash_whole(const Digest& digest, const Object& object);
  Result<void> verify_once(const Digest& digest, const Object& object);
  void remember(const Digest& digest, const Object& object);
  // Moves the damaged file away; the answer is the error to return. Keeps a blob that was written anew meanwhile.
  Error quarantine(const Digest& digest, const Object& object, const std::string& why);

  Result<void> make_object_dir(const Digest& digest);
  Result<void> renew_pin(const Digest& digest);
  // Is this content stored, whole and protected from collections? Damaged copies are set aside and count as absent, as
  // does one whose key is gone.
  Result<std::optional<BlobInfo>> adopt_existing(const Digest& digest);
  void doubt(const Digest& digest, bool doubtful);

  struct Collection;
  Result<void> restore_trash();
  Result<void> collect_uploads(Collection& c);
  Result<void> collect_object(Collection& c, const Digest& digest, const FileInfo& info);
  Result<void> expire_pins(Collection& c);
  Result<void> expire_quarantine(Collection& c);
  bool pinned(const Digest& digest, const Collection& c);

  Env env_;
  LocalConfig config_;
  IdMaker ids_;
  std::array<std::atomic<bool>, 256> object_dir_known_{};  // made and durable, by first byte of the digest
  std::mutex gc_mutex_;  // one collection at a time in this process; gc.lock among processes

  std::mutex mutex_;  // guards what follows; never held during I/O
  std::condition_variable verified_one_;
  std::set<Digest> verifying_;
  std::unordered_map<Digest, Verified, HashDigest> verified_;
  std::unordered_set<Digest, HashDigest> doubtful_;  // their name's sync failed: the same content is written again
  std::set<std::string> uploads_;                    // names in tmp/ that belong to living writers
};

}  // namespace millrace::blob
