// The simulated disk as the modules get it: SimFs, and between them and it the lies of a planted fault.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/testing/sim_fs.hpp"
#include "sim/planted.hpp"

namespace millrace::simulator {

// The text in a lock file names the real process; here it is always the same, so that a seed is the same story each
// time.
class Disk final : public Fs {
 public:
  Disk(SimFs& fs, Plant plant) : fs_(fs), plant_(plant) {}

  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) override;
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) override;
  Result<FileInfo> info(const std::string& path) override { return fs_.info(path); }
  Result<std::vector<FileInfo>> list(const std::string& dir) override { return fs_.list(dir); }
  Result<void> make_dirs(const std::string& dir) override { return fs_.make_dirs(dir); }
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override { return fs_.remove_all(path); }
  Result<void> sync_dir(const std::string& dir) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override { return fs_.free_bytes(path); }

  // The process has ended.
  void forget() {
    late_.clear();
    between_ = nullptr;
  }

  // Moments in a collection at which another process may act.
  enum class Moment { snapshot_taken, before_move, after_move, before_remove };
  // `act` runs once, at the n-th such moment from now (1: the next); an empty one takes it back.
  void between(Moment moment, unsigned nth, std::function<void()> act);

 private:
  class Late;
  bool forgets_file(const std::string& path) const;
  bool forgets_folder(const std::string& dir) const;

  void reach(Moment moment);

  SimFs& fs_;
  Plant plant_;
  Moment moment_{};
  unsigned nth_ = 0;
  std::function<void()> between_;
  std::map<std::string, std::shared_ptr<WritableFile>> late_;  // asked to be synced, by the path that they have now
};

}  // namespace millrace::simulator
