// The way of a blob to the disk: temporary name, header, sync, rename, folder sync.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fault.hpp"
#include "blob/local_internal.hpp"
#include "blob/seal_internal.hpp"

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
    if (!file_) {
      streamed_ = true;
      TRY_VOID(begin(size_unfinished));
    }
    TRY_VOID(write_buffer(false, {}));
    buffer_.clear();
    return ok();
  }

  Result<void> begin(std::uint64_t plain_size) {
    if (store_.config_.keys != nullptr) key_ = store_.config_.keys->fresh();
    if (key_) sealer_.emplace(key_->key);
    TRY(file_, env_.fs.open_write(path_, WriteMode::create_new));
    return file_->append(encode(header(plain_size)));
  }

  Header header(std::uint64_t plain_size) const {
    if (!key_) return {.plain_size = plain_size};
    return {.codec = codec_sealed, .key = key_->id, .plain_size = plain_size};
  }

  Result<void> write_buffer(bool last, const Digest& digest) {
    if (!sealer_) return file_->append(buffer_);
    sealed_.clear();
    sealer_->seal(buffer_, last, sealed_);
    if (last) sealer_->end(digest, sealed_);
    return file_->append(sealed_);
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
    if (!file_) TRY_VOID(begin(size_));
    TRY_VOID(write_buffer(true, info.digest));
    TRY_VOID(env_.faults.reach("blob.write.before_sync"));
    TRY_VOID(file_->sync());
    TRY_VOID(env_.faults.reach("blob.write.after_sync"));
    if (streamed_) TRY_VOID(finish_header());
    if (key_) TRY_VOID(store_.config_.keys->keep(*key_));  // before anybody can find what only it opens
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
  Result<void> finish_header() {
    TRY(auto mapped, env_.fs.open_mapped(path_, stored_bytes(header(size_))));
    const HeaderBytes bytes = encode(header(size_));
    std::memcpy(mapped->bytes().data(), bytes.data(), bytes.size());
    return mapped->sync(0, header_bytes);
  }

  LocalStore& store_;
  Env env_;
  std::string name_;
  std::string path_;
  std::unique_ptr<WritableFile> file_;  // null while everything fits into buffer_
  std::vector<std::byte> buffer_;
  std::optional<SealingKey> key_;  // where new blobs are sealed
  std::optional<Sealer> sealer_;
  std::vector<std::byte> sealed_;  // the buffer's
  Sha256 hash_;
  std::uint64_t size_ = 0;
  bool streamed_ = false;  // the file was begun before its size was known
  bool closed_ = false;
  bool renamed_ = false;
};
static_assert(piece_bytes_max % seal_piece_bytes == 0);  // a full buffer is whole pieces

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
    if (object.error().reason != "blob.sealed") return fail(object.error());
    object = find_stored(digest);
    if (!object) return std::nullopt;
    TRY(const auto state, config_.keys ? config_.keys->state(object->header.key) : Result<KeyState>(KeyState::locked));
    // Nothing opens that one any more, and here is the content: ours takes its place too.
    if (state == KeyState::destroyed || state == KeyState::absent) return std::nullopt;
    TRY_VOID(check_stored(digest, *object));  // who has the key finds it; we can only see that it is whole
  }
  TRY_VOID(env_.fs.sync_dir(object_dir(digest)));  // its writer may have died before doing so
  return BlobInfo{digest, object->header.plain_size};
}

}  // namespace millrace::blob
