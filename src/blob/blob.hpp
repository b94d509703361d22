// Bytes addressed by their SHA-256. A blob never changes: the same content is the same blob, written once.
// What was committed is durable; what is read was verified; what is damaged is set aside and reported, never handed
// out.
//
// Reference a blob (from `meta`) only after commit() returned. Between commit and reference it is protected from
// garbage collection by its age; an older blob that gets a new reference is protected by pin(). Every call is
// thread-safe, and several processes may use one store at the same time (a job writes, the server reads).
//
// Errors of every call: what the file system or network says (`fs.*`), and
//   not_found           blob.not_found  no such blob here
//   data_loss           blob.corrupt    the stored bytes are not the promised ones; the blob was moved to quarantine
//   failed_precondition blob.sealed     sealed with a key that can't be had here, or was destroyed by an erasure
//   failed_precondition blob.format     written by a newer Millrace, or with an unknown codec
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/aead.hpp"
#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace millrace::blob {

// Reads, writes and hashes go in pieces of at most this many bytes, so that memory stays flat for any size.
inline constexpr std::size_t piece_bytes_max = 1u << 20;

struct BlobInfo {
  Digest digest;
  std::uint64_t size = 0;  // plain bytes, without the header
  bool operator==(const BlobInfo&) const = default;
};

// One upload; belongs to one thread at a time. Destroyed before commit(): abandoned, nothing of it is ever visible, and
// at most a temporary file stays, which collect_garbage removes.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual Result<void> append(std::span<const std::byte> data) = 0;
  Result<void> append(std::string_view text) { return append(millrace::as_bytes(text)); }

  // Durable when it returns. Content that is stored already is not written again, but verified, and its protection from
  // collect_garbage starts anew. After an error, or a commit, the writer answers failed_precondition
  // `blob.writer_closed`.
  Result<BlobInfo> commit() { return finish(std::nullopt); }
  // The same, but stores nothing unless the content is the expected one: invalid_argument `blob.digest_differs`.
  Result<BlobInfo> commit_as(const Digest& expected) { return finish(expected); }

 private:
  virtual Result<BlobInfo> finish(const std::optional<Digest>& expected) = 0;
};

// Where a sealed blob's key stands. Sealing is off by default: key id zero means "not sealed".
enum class KeyState {
  absent,     // nobody here knows it
  held,       // it can be had
  locked,     // it is here, but no master key to open it with
  foreign,    // it is here, wrapped by another master key than the one that is here
  destroyed,  // by an erasure, for ever
};

struct SealingKey {
  Id id;
  AeadKey key;
};

// Keys for sealed blobs (keys.hpp has the one on disk). Thread-safe. An error says that nobody could look.
class KeyRing {
 public:
  virtual ~KeyRing() = default;
  virtual Result<KeyState> state(const Id& id) = 0;
  virtual Result<AeadKey> key(const Id& id) = 0;  // of one that is held; else failed_precondition `blob.sealed`
  // A key for one new blob, known to nobody until keep(). Nothing: new blobs are stored as they are.
  virtual std::optional<SealingKey> fresh() = 0;
  virtual Result<void> keep(const SealingKey& key) = 0;  // durable when it returns
  // Of blobs that are gone from here: they need not be kept any longer. That is no erasure: a backup may have them.
  virtual Result<void> forget(const std::set<Id>& ids) = 0;
};

// How a blob is stored, for copies that neither have nor need a key.
struct StoredBlob {
  BlobInfo info;
  Id key;  // zero: not sealed
  bool operator==(const StoredBlob&) const = default;
};

// A blob as a part of a local file, for sendfile.
struct LocalFile {
  std::string path;
  std::uint64_t offset = 0;  // where the plain bytes begin
  std::uint64_t size = 0;    // how many they are
};

struct GcReport {
  std::vector<BlobInfo> removed;  // or what a dry run would remove
  std::uint64_t bytes = 0;        // plain bytes of `removed`
  std::uint64_t uploads = 0;      // abandoned temporary files removed
  std::uint64_t quarantined = 0;  // damaged blobs removed from the quarantine
  std::uint64_t kept_reachable = 0;
  std::uint64_t kept_young = 0;    // written within the grace
  std::uint64_t kept_pinned = 0;   // pinned, or committed again, within the grace
  std::uint64_t kept_by_race = 0;  // referenced, pinned or written anew while this collection ran
};

class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::unique_ptr<Writer>> create() = 0;
  Result<BlobInfo> put(std::string_view content);

  // Random access to the plain bytes, from any thread, for as long as the pointer lives (also past remove()). The whole
  // blob is verified at the first open in this process; later opens of the unchanged file are cheap.
  virtual Result<std::shared_ptr<const ReadableFile>> open(const Digest& digest) = 0;
  // All of it, verified each time. resource_exhausted `blob.too_large` when it is larger than size_max.
  virtual Result<std::string> read(const Digest& digest, std::uint64_t size_max) = 0;
  // Reads and hashes all of it now, whatever was verified before.
  virtual Result<BlobInfo> verify(const Digest& digest) = 0;
  // From the header alone.
  virtual Result<BlobInfo> stat(const Digest& digest) = 0;
  // Calls `visit` for each blob in order of digest; stops at its first error. Sizes are those of the files, not
  // checked.
  virtual Result<void> each(const std::function<Result<void>(const BlobInfo&)>& visit) = 0;
  Result<std::vector<BlobInfo>> list();
  // Success also when it is not there.
  virtual Result<void> remove(const Digest& digest) = 0;
  // Verified as by open(). Empty where blobs are not plain local files, or this one is sealed.
  virtual Result<std::optional<LocalFile>> local_file(const Digest& digest) = 0;

  // ---- The bytes as they are stored, header included, whatever the key: for copies of stores. Never `blob.sealed`.
  // Here they are those of a store that seals nothing and has no header.

  // From the header alone.
  virtual Result<StoredBlob> stat_stored(const Digest& digest);
  // Reads all of them now: plain ones as verify(), sealed ones against the hash that is stored behind them.
  virtual Result<StoredBlob> verify_stored(const Digest& digest);
  // Verified so at the first open in this process.
  virtual Result<std::shared_ptr<const ReadableFile>> open_stored(const Digest& digest);
  // Writes a blob as another store has it, verified on the way, and durable when it returns; in the place of whatever
  // is stored under this digest, which may be sealed otherwise. invalid_argument `blob.digest_differs` when the bytes
  // are not that blob's. `copied` is told how many more bytes were read, and may stop it.
  virtual Result<void> put_stored(const Digest& digest, const ReadableFile& stored,
                                  const std::function<Result<void>(std::uint64_t)>& copied);

  // Restarts the blob's grace, as if it had been written just now: call it before giving an existing blob a new
  // reference. not_found when it is gone: then write it again. Durable; works across processes.
  virtual Result<void> pin(const Digest& digest) = 0;

  // Removes blobs that `reachable` does not know and that were neither written nor pinned within `grace`, and abandoned
  // uploads and quarantined blobs of that age (quarantine: of its own, longer one). `reachable` may look at the current
  // records or at a set of digests that was collected from them before this call; when in doubt it answers true. The
  // set is enough because a reference that it does not know is one to a blob which was written or pinned after it was
  // collected, and that is looked at again after a blob was set aside and before it is removed. So the grace must be
  // longer than the longest time between a commit or pin and its reference, and longer than the collection.
  // failed_precondition `blob.gc_running` while another one runs.
  virtual Result<GcReport> collect_garbage(const std::function<bool(const Digest&)>& reachable, Duration grace,
                                           bool dry_run) = 0;
  // While it lives no collection removes anything, in any process: for whoever copies all blobs. failed_precondition
  // `blob.gc_running` while one is under way.
  virtual Result<std::unique_ptr<FileLock>> hold_garbage() = 0;
};

}  // namespace millrace::blob
