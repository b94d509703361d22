#include "blob/local.hpp"

#include <algorithm>
#include <utility>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "blob/local_internal.hpp"
#include "blob/seal_internal.hpp"

namespace millrace::blob {
namespace {

// A bound, so that a store of any size costs little memory; what is forgotten is verified again.
constexpr std::size_t verified_max = 100'000;

// The plain bytes behind the header.
class PlainView final : public ReadableFile {
 public:
  PlainView(std::shared_ptr<const ReadableFile> file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size_) return std::size_t{0};
    const auto wanted = std::min<std::uint64_t>(out.size(), size_ - offset);
    return file_->read(header_bytes + offset, out.first(wanted));
  }
  std::uint64_t size() const override { return size_; }

 private:
  std::shared_ptr<const ReadableFile> file_;
  std::uint64_t size_;
};

std::unexpected<Error> absent(const Digest& digest, const std::string& dir, bool in_quarantine) {
  std::string message = "there is no blob " + digest.hex() + " in " + dir;
  message += in_quarantine
                 ? "; a damaged copy is in quarantine/: restore it from a backup or write the same content again"
                 : "; restore it from a backup, or write the same content again";
  return fail(Code::not_found, "blob.not_found", std::move(message));
}

bool is(const Error& error, Code code) { return error.code == code; }

}  // namespace

Result<std::unique_ptr<Store>> open_local(Env env, LocalConfig config) {
  auto store = std::make_unique<LocalStore>(env, std::move(config));
  TRY_VOID(store->prepare());
  return store;
}

LocalStore::LocalStore(Env env, LocalConfig config) : env_(env), config_(std::move(config)), ids_(env.clock, env.rng) {}

Result<void> LocalStore::prepare() {
  for (const char* folder : {"objects", "tmp", "pins", "trash", "quarantine"}) TRY_VOID(env_.fs.make_dirs(in(folder)));
  TRY_VOID(env_.faults.reach("blob.open.after_folders"));
  TRY_VOID(env_.fs.sync_dir(config_.dir));  // the folders may be those of a process that died just after making them
  TRY(auto leftovers, env_.fs.list(in("trash")));
  if (leftovers.empty()) return ok();
  auto lock = env_.fs.lock(in("gc.lock"), "putting back what an interrupted collection had set aside");
  if (lock) return restore_trash();
  if (is(lock.error(), Code::failed_precondition)) return ok();  // a living collection: it tidies up itself
  return fail(lock.error());
}

std::string LocalStore::object_dir(const Digest& digest) const {
  return join_path(in("objects"), digest.hex().substr(0, 2));
}
std::string LocalStore::object_path(const Digest& digest) const { return join_path(object_dir(digest), digest.hex()); }

Result<LocalStore::Object> LocalStore::find_stored(const Digest& digest) {
  // A collection sets a blob aside before it looks for a late pin or reference, and may put it back: look there too.
  for (const std::string& path : {object_path(digest), in("trash", digest), object_path(digest)}) {
    auto info = env_.fs.info(path);
    auto file = info ? env_.fs.open_read(path) : Result<std::unique_ptr<ReadableFile>>(fail(info.error()));
    if (!file) {
      if (is(file.error(), Code::not_found)) continue;
      return fail(file.error());
    }
    Object object{.file = std::move(*file), .path = path, .modified = info->modified, .stored_size = info->size};
    HeaderBytes bytes{};
    TRY(auto got, object.file->read(0, bytes));
    auto header = decode(std::span(bytes).first(got));
    if (!header) return fail(quarantine(digest, object, header.error().message));
    TRY_VOID(check_known(*header, digest));
    object.header = *header;
    if (object.file->size() != stored_bytes(*header)) {
      return fail(quarantine(digest, object,
                             "its header promises " + std::to_string(stored_bytes(*header) - header_bytes) +
                                 " bytes, " + std::to_string(object.file->size() - header_bytes) + " are there"));
    }
    return object;
  }
  return absent(digest, config_.dir, exists(env_.fs, in("quarantine", digest)));
}

Result<LocalStore::Object> LocalStore::find(const Digest& digest) {
  TRY(auto object, find_stored(digest));
  TRY_VOID(check_readable(object.header, digest, config_.keys));
  if (object.header.codec == codec_plain) return object;
  TRY(object.key, config_.keys->key(object.header.key));
  return object;
}

Result<void> LocalStore::read_plain(const Digest& digest, const Object& object,
                                    const std::function<void(std::span<const std::byte>)>& take) {
  const auto size = object.header.plain_size;
  if (object.key) {
    auto done = read_sealed({*object.file, header_bytes, size, digest}, *object.key, take);
    if (!done && is(done.error(), Code::data_loss)) return fail(quarantine(digest, object, done.error().message));
    return done;
  }
  std::vector<std::byte> piece(std::min<std::uint64_t>(piece_bytes_max, size));
  for (std::uint64_t at = 0; at < size;) {
    const auto wanted = std::min<std::uint64_t>(piece.size(), size - at);
    TRY(auto got, object.file->read(header_bytes + at, std::span(piece).first(wanted)));
    if (got == 0) return fail(quarantine(digest, object, "it ends after " + std::to_string(at) + " bytes"));
    take(std::span(piece).first(got));
    at += got;
  }
  return ok();
}

Result<void> LocalStore::hash_whole(const Digest& digest, const Object& object) {
  Sha256 hash;
  TRY_VOID(read_plain(digest, object, [&](std::span<const std::byte> some) { hash.update(some); }));
  const Digest found = hash.finish();
  if (found != digest) return fail(quarantine(digest, object, "its bytes have the digest " + found.hex()));
  remember(digest, object);
  return ok();
}

void LocalStore::remember(const Digest& digest, const Object& object) {
  std::lock_guard lock(mutex_);
  if (verified_.size() >= verified_max) verified_.clear();
  verified_.insert_or_assign(digest, Verified{object.modified, object.stored_size});
}

Result<void> LocalStore::verify_once(const Digest& digest, const Object& object) {
  {
    std::unique_lock lock(mutex_);
    // Whoever comes second waits for the first instead of reading gigabytes twice.
    verified_one_.wait(lock, [&] { return !verifying_.contains(digest); });
    const auto known = verified_.find(digest);
    if (known != verified_.end() && known->second.modified == object.modified &&
        known->second.stored_size == object.stored_size) {
      return ok();
    }
    verifying_.insert(digest);
  }
  auto result = hash_whole(digest, object);
  {
    std::lock_guard lock(mutex_);
    verifying_.erase(digest);
  }
  verified_one_.notify_all();
  return result;
}

Result<LocalStore::Object> LocalStore::find_verified(const Digest& digest) {
  TRY(auto object, find(digest));
  TRY_VOID(verify_once(digest, object));
  return object;
}

Error LocalStore::quarantine(const Digest& digest, const Object& object, const std::string& why) {
  Error error{Code::data_loss, "blob.corrupt", "blob " + digest.hex() + " at " + object.path + " is damaged: " + why};
  std::string to = in("quarantine", digest);
  for (int n = 2; exists(env_.fs, to); ++n) to = in("quarantine", digest) + "." + std::to_string(n);
  auto moved = env_.faults.reach("blob.quarantine.before_move");
  if (moved) moved = env_.fs.rename(object.path, to);
  if (moved) {
    // Written anew between our look and the move? Then the good copy goes back.
    const auto info = env_.fs.info(to);
    if (info && (info->modified != object.modified || info->size != object.stored_size)) {
      if (env_.fs.rename(to, object_path(digest))) return error;
    }
    (void)env_.faults.reach("blob.quarantine.after_move");
    const std::string note =
        error.message + "\nmoved here at " + format_time(env_.clock.now()) +
        "\nRestore the blob from a backup, or write the same content again; then delete both files.\n";
    (void)write_file(env_.fs, to + ".txt", note);  // the log has it too
    (void)env_.fs.sync_dir(object_dir(digest));
    (void)env_.fs.sync_dir(in("quarantine"));
    error.message += "; it was moved to " + to;
  } else if (moved.error().code != Code::not_found) {
    error.message += "; it could not be moved to quarantine (" + moved.error().message + ")";
  }
  error.message += ". Restore it from a backup, or write the same content again";
  env_.log.error("blob_corrupt", {{"digest", digest.hex()}, {"path", object.path}, {"why", why}, {"moved_to", to}});
  return error;
}

Result<std::shared_ptr<const ReadableFile>> LocalStore::open(const Digest& digest) {
  TRY(auto object, find_verified(digest));
  const auto size = object.header.plain_size;
  if (object.key) return sealed_view(std::move(object.file), header_bytes, size, *object.key);
  return std::make_shared<const PlainView>(std::move(object.file), size);
}

Result<std::string> LocalStore::read(const Digest& digest, std::uint64_t size_max) {
  TRY(auto object, find(digest));
  if (object.header.plain_size > size_max) {
    return fail(Code::resource_exhausted, "blob.too_large",
                "blob " + digest.hex() + " has " + std::to_string(object.header.plain_size) + " bytes, at most " +
                    std::to_string(size_max) + " are read into memory here; open() it instead");
  }
  std::string content;
  content.reserve(object.header.plain_size);
  TRY_VOID(read_plain(digest, object, [&](std::span<const std::byte> some) {
    content.append(reinterpret_cast<const char*>(some.data()), some.size());
  }));
  const Digest found = sha256(content);
  if (found != digest) return fail(quarantine(digest, object, "its bytes have the digest " + found.hex()));
  remember(digest, object);
  return content;
}

Result<BlobInfo> LocalStore::verify(const Digest& digest) {
  TRY(auto object, find(digest));
  TRY_VOID(hash_whole(digest, object));
  return BlobInfo{digest, object.header.plain_size};
}

Result<BlobInfo> LocalStore::stat(const Digest& digest) {
  TRY(auto object, find(digest));
  return BlobInfo{digest, object.header.plain_size};
}

Result<std::optional<LocalFile>> LocalStore::local_file(const Digest& digest) {
  TRY(auto object, find_verified(digest));
  if (object.key) return std::nullopt;
  return LocalFile{object.path, header_bytes, object.header.plain_size};
}

StoredBlob LocalStore::stored_of(const Digest& digest, const std::string& path, const FileInfo& file) {
  const StoredBlob as_plain{{digest, file.size < header_bytes ? 0 : file.size - header_bytes}, {}};
  if (config_.keys == nullptr) return as_plain;  // nothing is sealed here, or it can't be read
  HeaderBytes bytes{};
  const auto opened = env_.fs.open_read(path);
  const auto got = opened ? (*opened)->read(0, bytes) : Result<std::size_t>(fail(opened.error()));
  const auto header = got ? decode(std::span(bytes).first(*got)) : Result<Header>(fail(got.error()));
  if (!header || header->codec != codec_sealed) return as_plain;
  return {{digest, header->plain_size}, header->key};
}

Result<void> LocalStore::each(const std::function<Result<void>(const BlobInfo&)>& visit) {
  TRY(auto folders, env_.fs.list(in("objects")));
  for (const FileInfo& folder : folders) {
    if (!folder.is_dir) continue;
    const auto path = join_path(in("objects"), folder.name);
    TRY(auto files, env_.fs.list(path));
    for (const FileInfo& file : files) {
      auto digest = Digest::parse(file.name);
      if (!digest) continue;  // not ours
      TRY_VOID(visit(stored_of(*digest, join_path(path, file.name), file).info));
    }
  }
  return ok();
}

Result<void> LocalStore::remove(const Digest& digest) {
  auto removed = env_.fs.remove(object_path(digest));
  if (!removed) return is(removed.error(), Code::not_found) ? ok() : removed;
  return env_.fs.sync_dir(object_dir(digest));
}

}  // namespace millrace::blob
