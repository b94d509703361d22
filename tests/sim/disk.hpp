// The simulated disk as the modules get it: SimFs, and between them and it the lies of a planted fault.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/passing_fs.hpp"
#include "base/testing/sim_fs.hpp"
#include "sim/planted.hpp"

namespace millrace::simulator {

// The text in a lock file names the real process; here it is always the same, so that a seed is the same story each
// time.
class Disk final : public PassingFs {
 public:
  Disk(SimFs& fs, Plant plant) : PassingFs(fs), plant_(plant) {}

  Result<std::unique_ptr<ReadableFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> open_write(const std::string& path, WriteMode mode) override;
  Result<std::unique_ptr<MappedFile>> open_mapped(const std::string& path, std::uint64_t size) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, const std::string& holder) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> sync_dir(const std::string& dir) override;

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

  Plant plant_;
  Moment moment_{};
  unsigned nth_ = 0;
  std::function<void()> between_;
  std::map<std::string, std::shared_ptr<WritableFile>> late_;  // asked to be synced, by the path that they have now
};

}  // namespace millrace::simulator
