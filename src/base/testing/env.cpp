#include "base/testing/env.hpp"

namespace millrace {

TestEnv::TestEnv(Disk disk, std::uint64_t seed)
    : rng(seed),
      log_(null_log()),
      temp_dir_(disk == Disk::real ? std::make_unique<TempDir>() : nullptr),
      sim_fs_(disk == Disk::sim ? std::make_unique<SimFs>(clock) : nullptr),
      dir(temp_dir_ ? temp_dir_->path() : "/sim"),
      env{sim_fs_ ? static_cast<Fs&>(*sim_fs_) : real_fs_, clock, rng, faults, *log_} {
  if (sim_fs_) (void)sim_fs_->make_dirs(dir);
}

}  // namespace millrace
