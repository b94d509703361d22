// A disk in memory that forgets what was not synced. How disks lie is written in SQLite's src/test6.c and LevelDB's
// db/fault_injection_test.cc; this one does it as follows when the machine crashes:
// - a file's bytes that were not synced vanish, survive, or are torn: cut at any byte, some 4 KiB pages all zero;
// - of a mapped file any subset of the unsynced pages is there;
// - names made, renamed or removed and not covered by sync_dir of the folder (of the new name's folder for a rename)
// are
//   there or not, each by chance, so an earlier one may be lost while a later one survives; one rename is never halved;
// - what was synced is whole.
// A sync that fails by injection loses the data for good, even when a later sync of that file succeeds, as Linux does.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/fs.hpp"
#include "base/rng.hpp"

namespace millrace {

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
  // counts, but for size() and bytes().
  void fail_at(std::uint64_t n);
  // From the n-th operation on all fail with unavailable `fs.crashed`, until crash() or kill().
  void die_at(std::uint64_t n);
  // The disk holds this much in all; an append that does not fit fails with `fs.disk_full`.
  void set_capacity(std::uint64_t bytes);
  void clear_faults();
  std::uint64_t operations() const;  // so far: what fail_at and die_at may be tried with

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
  class Readable;
  class Writable;
  class Mapped;
  class Lock;
  static constexpr auto never = std::numeric_limits<std::uint64_t>::max();

  // All below want mutex_ held.
  Result<void> operation(std::string_view doing, std::string_view path);
  Result<void> operation(std::string_view doing, std::string_view path, std::uint64_t opened_in);
  Result<void> room_for(std::uint64_t bytes, std::string_view path);
  NodePtr find(std::string_view path) const;
  Result<Place> place(std::string_view path) const;
  NodePtr make_file(const Place& at);
  void unlink(const Place& at);
  void sync_names(const Node& dir);
  void restart(const NodePtr& root);
  static std::uint64_t used_bytes(const Node& node);
  static NodePtr survivor(const Node& node, Rng& rng, unsigned mood);

  mutable std::mutex mutex_;
  Clock& clock_;
  NodePtr root_;
  std::vector<NameChange> pending_;
  std::set<const Node*> locked_;
  std::uint64_t boot_ = 0;  // open files remember in which they were opened
  std::uint64_t operations_ = 0;
  std::uint64_t fail_at_ = never;
  std::uint64_t die_at_ = never;
  std::uint64_t capacity_ = std::uint64_t{1} << 50;
};

}  // namespace millrace
