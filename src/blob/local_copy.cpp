// Blobs as they are stored, from one folder to another: sealed ones stay sealed, and nobody here needs their keys.
#include <algorithm>
#include <utility>

#include "base/fault.hpp"
#include "blob/local_internal.hpp"
#include "blob/seal_internal.hpp"

namespace millrace::blob {

Result<void> LocalStore::check_stored(const Digest& digest, const Object& object) {
  if (object.header.codec == codec_plain) return hash_whole(digest, object);
  auto done = check_sealed({*object.file, header_bytes, object.header.plain_size, digest});
  if (!done && done.error().code == Code::data_loss) return fail(quarantine(digest, object, done.error().message));
  return done;
}

Result<StoredBlob> LocalStore::stat_stored(const Digest& digest) {
  TRY(const auto object, find_stored(digest));
  return StoredBlob{{digest, object.header.plain_size}, object.header.key};
}

Result<StoredBlob> LocalStore::verify_stored(const Digest& digest) {
  TRY(const auto object, find_stored(digest));
  TRY_VOID(check_stored(digest, object));
  return StoredBlob{{digest, object.header.plain_size}, object.header.key};
}

Result<std::shared_ptr<const ReadableFile>> LocalStore::open_stored(const Digest& digest) {
  TRY(auto object, find_stored(digest));
  if (object.header.codec == codec_plain) {
    TRY_VOID(verify_once(digest, object));
  } else {
    TRY_VOID(check_stored(digest, object));
  }
  return std::move(object.file);
}

// A temporary file that goes unless it was given its name.
class LocalStore::StoredUpload {
 public:
  explicit StoredUpload(LocalStore& store)
      : store_(store), name_(store.ids_.make().text() + ".part"), path_(join_path(store.in("tmp"), name_)) {
    std::lock_guard lock(store_.mutex_);
    store_.uploads_.insert(name_);
  }
  ~StoredUpload() {
    if (!renamed_) (void)store_.env_.fs.remove(path_);
    std::lock_guard lock(store_.mutex_);
    store_.uploads_.erase(name_);
  }

  Result<void> write(const ReadableFile& stored, const std::function<Result<void>(std::uint64_t)>& copied) {
    TRY(auto file, store_.env_.fs.open_write(path_, WriteMode::create_new));
    std::vector<std::byte> piece(std::min<std::uint64_t>(piece_bytes_max, stored.size()));
    for (std::uint64_t at = 0; at < stored.size();) {
      TRY(const auto got, stored.read(at, piece));
      if (got == 0) break;
      TRY_VOID(file->append(std::span<const std::byte>(piece).first(got)));
      TRY_VOID(copied(got));
      at += got;
    }
    TRY_VOID(store_.env_.faults.reach("blob.write.before_sync"));
    TRY_VOID(file->sync());
    return store_.env_.faults.reach("blob.write.after_sync");
  }

  // What was written, looked at as any reader would.
  Result<void> check(const Digest& digest) {
    auto differs = [&](const std::string& why) {
      return fail(Code::invalid_argument, "blob.digest_differs",
                  "what came is not blob " + digest.hex() + ": " + why + "; nothing was stored");
    };
    TRY(const auto file, store_.env_.fs.open_read(path_));
    HeaderBytes bytes{};
    TRY(const auto got, file->read(0, bytes));
    const auto header = decode(std::span(bytes).first(got));
    if (!header) return differs(header.error().message);
    TRY_VOID(check_known(*header, digest));
    if (file->size() != stored_bytes(*header)) return differs("it has another size than its header says");
    if (header->codec == codec_sealed) {
      auto whole = check_sealed({*file, header_bytes, header->plain_size, digest});
      if (!whole && whole.error().code == Code::data_loss) return differs(whole.error().message);
      return whole;
    }
    Sha256 hash;
    std::vector<std::byte> piece(std::min<std::uint64_t>(piece_bytes_max, header->plain_size));
    for (std::uint64_t at = header_bytes; at < file->size();) {
      TRY(const auto some, file->read(at, piece));
      if (some == 0) break;
      hash.update(std::span<const std::byte>(piece).first(some));
      at += some;
    }
    const auto found = hash.finish();
    return found == digest ? Result<void>() : differs("its bytes have the digest " + found.hex());
  }

  Result<void> name(const Digest& digest) {
    const auto to = store_.object_path(digest);
    TRY_VOID(store_.make_object_dir(digest));
    TRY_VOID(store_.env_.faults.reach("blob.write.before_rename"));
    TRY_VOID(store_.env_.fs.rename(path_, to));
    renamed_ = true;
    TRY_VOID(store_.env_.faults.reach("blob.write.after_rename"));
    TRY_VOID(store_.env_.fs.sync_dir(parent_path(to)));
    return store_.env_.faults.reach("blob.write.after_folder_sync");
  }

 private:
  LocalStore& store_;
  std::string name_, path_;
  bool renamed_ = false;
};

Result<void> LocalStore::put_stored(const Digest& digest, const ReadableFile& stored,
                                    const std::function<Result<void>(std::uint64_t)>& copied) {
  StoredUpload upload(*this);
  TRY_VOID(upload.write(stored, copied));
  TRY_VOID(upload.check(digest));
  return upload.name(digest);
}

}  // namespace millrace::blob
