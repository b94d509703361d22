#include "app/sealing.hpp"

#include <cstdlib>
#include <format>

#include "base/fs.hpp"

namespace millrace::app {

std::string master_key_from_environment() {
  const char* path = std::getenv(master_key_variable);
  return path == nullptr ? "" : path;
}

Result<std::unique_ptr<blob::Keys>> open_keys(const std::string& data_dir, const std::string& master_key, Env& env) {
  blob::KeysFile file{join_path(data_dir, blob::keys_name), std::nullopt};
  if (master_key.empty()) return std::make_unique<blob::Keys>(env, file);
  auto master = blob::read_master_key(env.fs, master_key);
  if (!master && master.error().code == Code::not_found) {
    TRY(const auto seen, blob::Keys(env, file).look());
    if (seen.held == 0) return fail(master.error());
    return fail(Code::not_found, "blob.no_master_key",
                std::format("the master key {} is not there, and {} blobs of {} are sealed with it; bring it back: a "
                            "new one opens none of them. Without `seal` in the profile a server starts and goes on "
                            "with what is not sealed",
                            master_key, seen.held, data_dir));
  }
  if (!master) return fail(master.error());
  file.master = std::move(*master);
  auto keys = std::make_unique<blob::Keys>(env, std::move(file));
  TRY_VOID(keys->check_master());
  return keys;
}

}  // namespace millrace::app
