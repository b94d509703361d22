// A disk in memory that forgets what was not synced. How disks lie is written in SQLite's src/test6.c and LevelDB's
// db/fault_injection_test.cc; this one does it as follows when the machine crashes:
// - a file's bytes that were not synced vanish, survive, or are torn: cut at any byte, some 4 KiB pages all zero;
// - of a mapped file any subset of the unsynced pages is there;
// - of a file with random writes (a database's) any subset of its unsynced resizes and of the 4 KiB pages of its
// unsynced
//   writes is there, in the order in which they were made; a page may be torn into its 512-byte sectors, and a sector
//   being written may hold garbage;
// - names made, renamed or removed and not covered by sync_dir of the folder (of the new name's folder for a rename)
//   are there or not, each by chance, so an earlier one may be lost while a later one survives; one rename is never
//   halved;
// - what was synced is whole.
// A sync that fails by injection loses the data for good, even when a later sync of that file succeeds, as Linux does.
// Of a file with random writes it is chance which of that data got there, and what is written again after it counts.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/fs.hpp"
#include "base/rng.hpp"

namespace millrace {

// Reads and writes anywhere, as a database does to its files: beside Fs, because nothing of ours writes so. A write at
// which the process dies (SimFs::die_at) is done by half. Any number of handles of one file; each belongs to one thread
// at a time.
class RandomFile {
 public:
  virtual ~RandomFile() = default;
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) = 0;   // fewer only at the end
  virtual Result<void> write(std::uint64_t offset, std::span<const std::byte> data) = 0;  // a hole reads as zeros
  virtual Result<void> truncate(std::uint64_t size) = 0;                                  // or lengthens with zeros
  virtual Result<void> sync() = 0;  // may be tried again after it failed; see above for what that is worth
  virtual Result<std::uint64_t> size() = 0;
};

// Only the root folder exists at first; relative paths start there. Thread-safe, but for stores into mapped bytes.
class SimFs final : public Fs {
 public:
  explicit SimFs(Clock& clock);
  ~SimFs() override;

  // The machine loses power and starts again. Locks are free; files opened before fail with unavailable `fs.crashed`.
  void crash(Rng& rng);
  // The process dies by SIGKILL: all that was written stays. Locks and open files as for crash().
  void kill();

  // The n-th operation from now (0: the next) fails once with unavailable `fs.io`. Every call on Fs and its files
  // counts, but for bytes() and the size() of what only reads or appends.
  void fail_at(std::uint64_t n);
  // From the n-th operation on all fail with unavailable `fs.crashed`, until crash() or kill().
  void die_at(std::uint64_t n);
  // The same for the operation after the n-th sync, of a file or a folder, from now (0: the next one): where a change
  // that should be one step, and is two, is seen halfway.
  void fail_after_sync(std::uint64_t n);
  void die_after_sync(std::uint64_t n);
  // The disk holds this much in all; an append that does not fit fails with `fs.disk_full`.
  void set_capacity(std::uint64_t bytes);
  void clear_faults();
  // A crash during a write may spoil the whole 512-byte sector, also those bytes of it that were not written (a disk
  // without "powersafe overwrite"). Of files with random writes only.
  void set_sector_damage(bool on);
  std::uint64_t operations() const;  // so far: what fail_at and die_at may be tried with
  std::uint64_t boot() const;        // grows with each crash and kill

  // not_found `fs.not_found` when it is not there and not to be made.
  Result<std::unique_ptr<RandomFile>> open_random(const std::string& path, bool create);
  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) override;
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<FileInfo>> list(const std::string& dir) override;
  Result<void> make_dirs(const std::string& dir) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override;
  Result<void> sync_dir(const std::string& dir) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  struct Place;       // a name in a folder
  struct NameChange;  // made, renamed or removed, not yet durable
  struct Change;      // to the content of a file with random writes
  class Random;
  class Readable;
  class Writable;
  class Mapped;
  class Lock;
  static constexpr auto never = std::numeric_limits<std::uint64_t>::max();

  // All below want mutex_ held.
  Result<void> operation(std::string_view doing, std::string_view path);
  Result<void> operation(std::string_view doing, std::string_view path, std::uint64_t opened_in);
  Result<void> sync_operation(std::string_view doing, std::string_view path, std::uint64_t opened_in);
  Result<void> room_for(std::uint64_t bytes, std::string_view path);
  NodePtr find(std::string_view path) const;
  Result<Place> place(std::string_view path) const;
  NodePtr make_file(const Place& at);
  void unlink(const Place& at);
  void sync_names(const Node& dir);
  void restart(const NodePtr& root);
  static std::uint64_t used_bytes(const Node& node);
  NodePtr survivor(const Node& node, Rng& rng, unsigned mood) const;
  std::string scattered(const Node& node, Rng& rng, unsigned mood) const;

  mutable std::mutex mutex_;
  Clock& clock_;
  NodePtr root_;
  std::vector<NameChange> pending_;
  std::set<const Node*> locked_;
  std::uint64_t boot_ = 0;  // open files remember in which they were opened
  std::uint64_t operations_ = 0;
  std::uint64_t fail_at_ = never;
  std::uint64_t die_at_ = never;
  std::uint64_t syncs_ = 0;
  std::uint64_t fail_after_sync_ = never;
  std::uint64_t die_after_sync_ = never;
  bool sector_damage_ = false;
  std::uint64_t capacity_ = std::uint64_t{1} << 50;
};

}  // namespace millrace
