#include "model/flat_cache.hpp"

#include <cstring>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "model/trees_engine_internal.hpp"

namespace millrace::model {

namespace {

// magic, build, key, SHA-256 of the content, content.
constexpr std::string_view kMagic = "millrace flat 1\n";
constexpr std::size_t kDigest = sizeof(Digest::bytes);
constexpr std::size_t kHead = kMagic.size() + 3 * kDigest;
constexpr std::uint64_t kBytesMax = std::uint64_t{1} << 30;
constexpr std::string_view kEnding = ".flat";

std::string_view text_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

}  // namespace

Result<std::unique_ptr<FlatCache>> FlatCache::open(const std::string& dir, const std::string& build, Env& env) {
  TRY_VOID(env.fs.make_dirs(dir));
  // Trees are proven with the kernels of this machine's processor.
  const auto of = sha256(build + "\n" + trees_kernels().name);
  std::unique_ptr<FlatCache> cache(new FlatCache(dir, of, env));
  TRY(const auto files, env.fs.list(dir));
  const auto mine = "-" + of.hex().substr(0, 16) + std::string(kEnding);
  for (const auto& file : files) {
    const bool ours = file.name.ends_with(kEnding) || file.name.ends_with(std::string(kEnding) + ".tmp");
    if (ours && !file.name.ends_with(mine)) (void)env.fs.remove(join_path(dir, file.name));
  }
  return cache;
}

std::string FlatCache::path_of(const Digest& key) const {
  return join_path(dir_, key.hex() + "-" + build_.hex().substr(0, 16) + std::string(kEnding));
}

std::optional<std::string> FlatCache::find(const Digest& key) const {
  const auto path = path_of(key);
  auto read = read_file(env_.fs, path, kBytesMax);
  if (!read) return std::nullopt;
  std::string_view rest = *read;
  const auto next = [&](std::size_t bytes) {
    const auto out = rest.substr(0, bytes);
    rest.remove_prefix(out.size());
    return out;
  };
  if (next(kMagic.size()) == kMagic && next(kDigest) == text_of(build_) && next(kDigest) == text_of(key)) {
    const auto sum = next(kDigest);
    if (sum == text_of(sha256(rest))) return std::string(rest);
  }
  env_.log.warn("model_cache_damaged", {{"path", path}});
  (void)env_.fs.remove(path);
  return std::nullopt;
}

void FlatCache::keep(const Digest& key, std::string_view content) {
  {
    std::lock_guard lock(mutex_);
    if (!writing_.insert(key).second) return;
  }
  std::string bytes;
  bytes.reserve(kHead + content.size());
  bytes += kMagic;
  bytes += text_of(build_);
  bytes += text_of(key);
  bytes += text_of(sha256(content));
  bytes += content;
  auto kept = env_.faults.reach("model.cache.before_write");
  if (kept) kept = write_file(env_.fs, path_of(key), bytes);
  if (kept) kept = env_.faults.reach("model.cache.after_write");
  std::lock_guard lock(mutex_);
  writing_.erase(key);
  if (!kept && !std::exchange(refused_, true))
    env_.log.warn("model_cache_not_written", {{"path", path_of(key)}, {"error", kept.error().message}});
  if (kept) refused_ = false;
}

}  // namespace millrace::model
