// Proven models on disk, in the form that answers: loading one needs neither its engine nor its proof. Only for the
// same build of the program on the same kind of processor; whoever asks names what it was made from by digest.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/digest.hpp"
#include "base/env.hpp"
#include "base/result.hpp"

namespace millrace::model {

// Thread-safe; several processes may share a folder. Everything in it may be removed at any time.
class FlatCache {
 public:
  // `build`: of the program, see program_build(). Makes the folder, and removes what another build left there.
  static Result<std::unique_ptr<FlatCache>> open(const std::string& dir, const std::string& build, Env& env);

  // What was kept under `key`, whole and unchanged. Nothing: never kept, or not to be trusted; a damaged one is
  // removed, with a line `model_cache_damaged` in the log.
  std::optional<std::string> find(const Digest& key) const;
  // Atomic and durable. Where the disk takes it not, the log says so once, and nothing else happens.
  void keep(const Digest& key, std::string_view content);

 private:
  FlatCache(std::string dir, Digest build, Env& env) : dir_(std::move(dir)), build_(build), env_(env) {}
  std::string path_of(const Digest& key) const;

  std::string dir_;
  Digest build_;
  Env& env_;
  std::mutex mutex_;          // the two below
  std::set<Digest> writing_;  // keys that some thread writes now
  bool refused_ = false;
};

}  // namespace millrace::model
