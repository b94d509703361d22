// The way of a blob to the disk: temporary name, header, sync, rename, folder sync.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fault.hpp"
#include "blob/local_internal.hpp"

namespace millrace::blob {

// Up to one piece is kept in memory: a small blob is one write, and none at all when its content is stored already.
class LocalWriter final : public Writer {
 public:
  LocalWriter(LocalStore& store, std::string name)
      : store_(store), env_(store.env_), name_(std::move(name)), path_(join_path(store.in("tmp"), name_)) {}

  ~LocalWriter() override {
    if (file_) {
      file_.reset();
      if (!renamed_) (void)env_.fs.remove(path_);  // best effort: a collection removes what stays
    }
    std::lock_guard lock(store_.mutex_);
    store_.uploads_.erase(name_);
  }

  Result<void> append(std::span<const std::byte> data) override {
    TRY_VOID(check_open());
    auto result = take(data);
    if (!result) closed_ = true;
    return result;
  }

 private:
  Result<void> check_open() const {
    if (!closed_) return ok();
    return fail(Code::failed_precondition, "blob.writer_closed",
                "this upload was committed or has failed; start another one");
  }

  Result<void> take(std::span<const std::byte> data) {
    hash_.update(data);
    size_ += data.size();
    while (!data.empty()) {
      if (buffer_.size() == piece_bytes_max) TRY_VOID(flush());
      const auto n = std::min(data.size(), piece_bytes_max - buffer_.size());
      buffer_.insert(buffer_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(n));
      data = data.subspan(n);
    }
    return ok();
  }

  Result<void> flush() {
    if (!file_) TRY_VOID(begin({.plain_size = size_unfinished}));
    TRY_VOID(file_->append(buffer_));
    buffer_.clear();
    return ok();
  }

  Result<void> begin(const Header& header) {
    TRY(file_, env_.fs.open_write(path_, WriteMode::create_new));
    return file_->append(encode(header));
  }

  Result<BlobInfo> finish(const std::optional<Digest>& expected) override {
    TRY_VOID(check_open());
    closed_ = true;
    const BlobInfo info{hash_.finish(), size_};
    if (expected && *expected != info.digest) {
      return fail(Code::invalid_argument, "blob.digest_differs",
                  "the content has the digest " + info.digest.hex() + ", expected was " + expected->hex() +
                      "; nothing was stored: send it again");
    }
    TRY(auto stored, store_.adopt_existing(info.digest));
    if (stored) return *stored;

    const std::string to = store_.object_path(info.digest);
    if (file_) {
      TRY_VOID(flush());
    } else {
      TRY_VOID(begin({.plain_size = size_}));
      TRY_VOID(file_->append(buffer_));
    }
    TRY_VOID(env_.faults.reach("blob.write.before_sync"));
    TRY_VOID(file_->sync());
    TRY_VOID(env_.faults.reach("blob.write.after_sync"));
    if (size_ > buffer_.size()) TRY_VOID(seal_header());
    TRY_VOID(store_.make_object_dir(info.digest));
    TRY_VOID(env_.faults.reach("blob.write.before_rename"));
    TRY_VOID(env_.fs.rename(path_, to));
    renamed_ = true;
    TRY_VOID(env_.faults.reach("blob.write.after_rename"));
    // Who comes with the same content must not take the file for durable because a later sync of the folder says yes.
    const auto named = env_.fs.sync_dir(parent_path(to));
    store_.doubt(info.digest, !named);
    TRY_VOID(named);
    TRY_VOID(env_.faults.reach("blob.write.after_folder_sync"));
    return info;
  }

  // A streamed blob's size is known only now. Files are append-only but through a mapping; only the first page is
  // touched.
  Result<void> seal_header() {
    TRY(auto mapped, env_.fs.open_mapped(path_, header_bytes + size_));
    const HeaderBytes bytes = encode({.plain_size = size_});
    std::memcpy(mapped->bytes().data(), bytes.data(), bytes.size());
    return mapped->sync(0, header_bytes);
  }

  LocalStore& store_;
  Env env_;
  std::string name_;
  std::string path_;
  std::unique_ptr<WritableFile> file_;  // null while everything fits into buffer_
  std::vector<std::byte> buffer_;
  Sha256 hash_;
  std::uint64_t size_ = 0;
  bool closed_ = false;
  bool renamed_ = false;
};

Result<std::unique_ptr<Writer>> LocalStore::create() {
  std::string name = ids_.make().text() + ".part";
  {
    std::lock_guard lock(mutex_);
    uploads_.insert(name);
  }
  return std::make_unique<LocalWriter>(*this, std::move(name));
}

Result<void> LocalStore::renew_pin(const Digest& digest) {
  // The file's age is what counts; truncating renews it. Durable, since its blob may be referenced after a power cut.
  TRY(auto file, env_.fs.open_write(in("pins", digest), WriteMode::truncate));
  TRY_VOID(file->append(millrace::as_bytes("pinned " + format_time(env_.clock.now()) + "\n")));
  TRY_VOID(env_.faults.reach("blob.pin.before_sync"));
  TRY_VOID(file->sync());
  TRY_VOID(env_.fs.sync_dir(in("pins")));
  return env_.faults.reach("blob.pin.after_folder_sync");
}

Result<void> LocalStore::pin(const Digest& digest) {
  // First the pin, then the look: a collection does it the other way round (it sets the blob aside, then looks for a
  // pin), so either it sees the pin or we see that the blob is not in its place.
  TRY_VOID(renew_pin(digest));
  if (!exists(env_.fs, object_path(digest))) {
    auto rescued = env_.fs.rename(in("trash", digest), object_path(digest));
    if (rescued) return env_.fs.sync_dir(object_dir(digest));
    if (rescued.error().code != Code::not_found) return rescued;
  }
  TRY_VOID(find(digest));
  return env_.fs.sync_dir(object_dir(digest));  // its writer may have died before doing so
}

Result<void> LocalStore::make_object_dir(const Digest& digest) {
  std::atomic<bool>& known = object_dir_known_[digest.bytes[0]];
  if (known) return ok();
  TRY_VOID(env_.fs.make_dirs(object_dir(digest)));
  TRY_VOID(env_.faults.reach("blob.folder.after_make"));
  TRY_VOID(env_.fs.sync_dir(in("objects")));  // also when another process made it and died before it did this
  known = true;
  return ok();
}

void LocalStore::doubt(const Digest& digest, bool doubtful) {
  std::lock_guard lock(mutex_);
  if (doubtful)
    doubtful_.insert(digest);
  else
    doubtful_.erase(digest);
}

Result<std::optional<BlobInfo>> LocalStore::adopt_existing(const Digest& digest) {
  if (!exists(env_.fs, object_path(digest))) return std::nullopt;
  {
    std::lock_guard lock(mutex_);
    if (doubtful_.contains(digest)) return std::nullopt;
  }
  TRY_VOID(renew_pin(digest));
  auto object =
      exists(env_.fs, object_path(digest)) ? find_verified(digest) : Result<Object>(fail(Code::not_found, "", ""));
  if (!object) {
    // Gone meanwhile, or damaged and now in quarantine: our copy takes its place.
    if (object.error().code == Code::not_found || object.error().code == Code::data_loss) return std::nullopt;
    return fail(object.error());
  }
  TRY_VOID(env_.fs.sync_dir(object_dir(digest)));  // its writer may have died before doing so
  return BlobInfo{digest, object->plain_size};
}

}  // namespace millrace::blob
