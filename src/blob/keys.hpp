// The keys of sealed blobs: one file beside the records, shared by all processes that have the folder. Each sealed blob
// has a key of its own; the file holds it wrapped by the master key, which lies somewhere else. A key that was
// destroyed leaves a record of that, and nothing brings it back: neither an older file that is merged in nor a backup.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/aead.hpp"
#include "base/env.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"

namespace millrace::blob {

inline constexpr std::string_view keys_name = "keys";  // in a data folder, and in a backup folder

// Tells one master key from another without telling it.
using MasterMark = std::array<std::uint8_t, 8>;

struct MasterKey {
  AeadKey key;
  MasterMark mark{};
  std::string path;  // where it was read
};

// From a file with 64 hexadecimal digits. not_found `blob.no_master_key`, failed_precondition
// `blob.master_key_exposed` when others may read the file, invalid_argument `blob.bad_master_key`; each message says
// what to do.
Result<MasterKey> read_master_key(Fs& fs, const std::string& path);

struct KeysFile {
  std::string path;                 // of the file; beside it a lock and, for an instant, a new version
  std::optional<MasterKey> master;  // none: nothing is sealed, and sealed blobs can't be read
};

// What is in a keys file, for people and for doctor.
struct KeysSummary {
  bool there = false;
  std::uint64_t held = 0;     // that the master key opens, or any where none is here
  std::uint64_t foreign = 0;  // wrapped by another master key
  std::uint64_t destroyed = 0;
  std::string problem;  // empty: it is whole, or ends with a record that was only begun
  bool torn = false;    // ends with one that is not whole
};

// Thread-safe; any number of processes may use one file. What another process added or destroyed is seen by the next
// call. Errors besides those of the file system: failed_precondition `blob.keys_format` (written by a newer program).
class Keys final : public KeyRing {
 public:
  Keys(Env env, KeysFile file);
  ~Keys() override;

  Result<KeyState> state(const Id& id) override;
  Result<AeadKey> key(const Id& id) override;
  std::optional<SealingKey> fresh() override;
  Result<void> keep(const SealingKey& key) override;
  Result<void> forget(const std::set<Id>& ids) override;  // records of destroyed ones stay

  // Destroys keys, also such as are not here yet: the file is written anew without them, durably. `cause` is recorded
  // with the moment. Those that were destroyed before stay as they are.
  Result<void> destroy(std::span<const Id> ids, const std::string& cause);
  // Adds what is in another such file: all of it, or of the keys `only` those, and always what was destroyed. Destroyed
  // stays destroyed, and nothing goes. Whether anything changed. `other` missing: nothing to add.
  Result<bool> take_from(const std::string& other, const std::set<Id>* only = nullptr);
  // The file anew with all that is whole in it.
  Result<void> write_anew();

  Result<KeysSummary> look();
  // failed_precondition `blob.other_master_key` when there are keys and the master key opens none of them.
  Result<void> check_master();

 private:
  struct State;
  Result<void> refresh();                         // mutex_ held
  Result<std::unique_ptr<FileLock>> lock_file();  // among processes; waits for others, ten seconds at most
  Result<void> replace();                         // the file by the table; both locks held
  Result<void> append(const std::string& slot);   // both locks held

  Env env_;
  KeysFile file_;
  IdMaker ids_;
  std::mutex mutex_;  // guards what follows, also while the file is read
  std::unique_ptr<State> state_;
};

}  // namespace millrace::blob
