#include "meta/testing/sim_vfs.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.hpp"

namespace millrace::meta {

namespace {

constexpr std::size_t path_bytes_max = 512;
constexpr std::size_t region_bytes = 32 * 1024;

struct Handle;

// What the connections to one file share: SQLite's five levels of lock, and the index of the write-ahead log.
struct Inode {
  int shared = 0;               // handles at SHARED or above
  Handle* reserved = nullptr;   // at RESERVED or above
  Handle* exclusive = nullptr;  // at PENDING or EXCLUSIVE
  std::vector<std::unique_ptr<std::array<char, region_bytes>>> regions;
  std::array<int, SQLITE_SHM_NLOCK> shm_shared{};
  std::array<Handle*, SQLITE_SHM_NLOCK> shm_exclusive{};
  int shm_users = 0;
};

}  // namespace

struct SimVfs::State {
  SimFs& fs;
  Clock& clock;
  Rng& rng;
  const SimVfsOptions options;
  std::string name;
  ::sqlite3_vfs vfs{};

  std::mutex mutex;  // guards what follows, and every Inode
  std::uint64_t boot = 0;
  std::map<std::string, std::weak_ptr<Inode>> inodes;
  std::uint64_t temporary_files = 0;

  std::shared_ptr<Inode> inode(const std::string& path) {
    const std::lock_guard lock(mutex);
    if (const auto now = fs.boot(); now != boot) {
      boot = now;
      inodes.clear();  // those of dead processes live on in their handles
    }
    auto& slot = inodes[path];
    auto found = slot.lock();
    if (!found) slot = found = std::make_shared<Inode>();
    return found;
  }

  // The promise of a name, as os_unix.c keeps it.
  Result<void> sync_dir_of(const std::string& path) {
    if (options.skip_sync_dir) return {};
    return fs.sync_dir(parent_path(path));
  }
};

namespace {

using State = SimVfs::State;

struct Handle {
  State& vfs;
  std::string path;
  std::unique_ptr<RandomFile> file;
  std::shared_ptr<Inode> inode;
  int lock = SQLITE_LOCK_NONE;
  bool sync_dir = false;  // with the next sync
  bool delete_on_close = false;
  bool uses_shm = false;
  unsigned shm_shared = 0, shm_exclusive = 0;  // bits
};

// SQLite gives the room for it.
struct File {
  ::sqlite3_file base;
  Handle* handle;
};

Handle& handle_of(::sqlite3_file* file) { return *reinterpret_cast<File*>(file)->handle; }
State& state_of(::sqlite3_vfs* vfs) { return *static_cast<State*>(vfs->pAppData); }

int code_of(const Result<void>& result, int otherwise) {
  if (result) return SQLITE_OK;
  return result.error().reason == "fs.disk_full" ? SQLITE_FULL : otherwise;
}

// ---- the shared memory of the write-ahead log ----

int shm_map(::sqlite3_file* file, int region, int bytes, int extend, void volatile** out) {
  auto& h = handle_of(file);
  const std::lock_guard lock(h.vfs.mutex);
  *out = nullptr;
  if (static_cast<std::size_t>(bytes) != region_bytes) return SQLITE_IOERR_SHMMAP;
  if (!std::exchange(h.uses_shm, true)) ++h.inode->shm_users;
  auto& regions = h.inode->regions;
  const auto index = static_cast<std::size_t>(region);
  while (extend != 0 && regions.size() <= index)
    regions.push_back(std::make_unique<std::array<char, region_bytes>>());  // all zero
  if (index < regions.size()) *out = regions[index]->data();
  return SQLITE_OK;
}

int shm_lock(::sqlite3_file* file, int offset, int n, int flags) {
  auto& h = handle_of(file);
  const std::lock_guard lock(h.vfs.mutex);
  auto& inode = *h.inode;
  for (int i = offset; i < offset + n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const unsigned bit = 1u << i;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      if ((h.shm_shared & bit) != 0) --inode.shm_shared[at];
      if ((h.shm_exclusive & bit) != 0) inode.shm_exclusive[at] = nullptr;
      h.shm_shared &= ~bit;
      h.shm_exclusive &= ~bit;
    } else {
      const auto* owner = inode.shm_exclusive[at];
      if (owner != nullptr && owner != &h) return SQLITE_BUSY;
      const int others = inode.shm_shared[at] - ((h.shm_shared & bit) != 0 ? 1 : 0);
      if ((flags & SQLITE_SHM_EXCLUSIVE) != 0 && others != 0) return SQLITE_BUSY;
    }
  }
  if ((flags & SQLITE_SHM_UNLOCK) != 0) return SQLITE_OK;
  for (int i = offset; i < offset + n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const unsigned bit = 1u << i;
    if ((flags & SQLITE_SHM_EXCLUSIVE) != 0) {
      inode.shm_exclusive[at] = &h;
      h.shm_exclusive |= bit;
    } else if ((h.shm_shared & bit) == 0) {
      ++inode.shm_shared[at];
      h.shm_shared |= bit;
    }
  }
  return SQLITE_OK;
}

void shm_barrier(::sqlite3_file* file) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::lock_guard lock(handle_of(file).vfs.mutex);
}

int shm_unmap(::sqlite3_file* file, int) {
  auto& h = handle_of(file);
  shm_lock(file, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK);
  const std::lock_guard lock(h.vfs.mutex);
  if (std::exchange(h.uses_shm, false) && --h.inode->shm_users == 0) h.inode->regions.clear();
  return SQLITE_OK;
}

// ---- locks ----

int unlock(::sqlite3_file* file, int level) {
  auto& h = handle_of(file);
  const std::lock_guard lock(h.vfs.mutex);
  if (h.lock <= level) return SQLITE_OK;
  auto& inode = *h.inode;
  if (inode.exclusive == &h) inode.exclusive = nullptr;
  if (inode.reserved == &h) inode.reserved = nullptr;
  if (level == SQLITE_LOCK_NONE) --inode.shared;
  h.lock = level;
  return SQLITE_OK;
}

int lock(::sqlite3_file* file, int level) {
  auto& h = handle_of(file);
  const std::lock_guard guard(h.vfs.mutex);
  if (h.lock >= level) return SQLITE_OK;
  auto& inode = *h.inode;
  if (inode.exclusive != nullptr && inode.exclusive != &h) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_SHARED) {
    ++inode.shared;
    h.lock = level;
    return SQLITE_OK;
  }
  if (inode.reserved != nullptr && inode.reserved != &h) return SQLITE_BUSY;
  if (level == SQLITE_LOCK_EXCLUSIVE) {
    inode.exclusive = &h;  // no new readers from here on, also when the present ones are still to be waited for
    h.lock = std::max(h.lock, SQLITE_LOCK_PENDING);
    if (inode.shared > 1) return SQLITE_BUSY;
  }
  inode.reserved = &h;
  h.lock = level;
  return SQLITE_OK;
}

int check_reserved_lock(::sqlite3_file* file, int* out) {
  auto& h = handle_of(file);
  const std::lock_guard lock(h.vfs.mutex);
  *out = h.inode->reserved != nullptr || h.inode->exclusive != nullptr;
  return SQLITE_OK;
}

// ---- one file ----

int close(::sqlite3_file* file) {
  auto& h = handle_of(file);
  shm_unmap(file, 0);
  unlock(file, SQLITE_LOCK_NONE);
  if (h.delete_on_close) (void)h.vfs.fs.remove(h.path);
  delete reinterpret_cast<File*>(file)->handle;
  file->pMethods = nullptr;
  return SQLITE_OK;
}

int read(::sqlite3_file* file, void* out, int bytes, ::sqlite3_int64 offset) {
  const std::span<std::byte> all(static_cast<std::byte*>(out), static_cast<std::size_t>(bytes));
  const auto got = handle_of(file).file->read(static_cast<std::uint64_t>(offset), all);
  if (!got) return SQLITE_IOERR_READ;
  if (*got == all.size()) return SQLITE_OK;
  std::ranges::fill(all.subspan(*got), std::byte{0});
  return SQLITE_IOERR_SHORT_READ;
}

int write(::sqlite3_file* file, const void* data, int bytes, ::sqlite3_int64 offset) {
  const std::span<const std::byte> all(static_cast<const std::byte*>(data), static_cast<std::size_t>(bytes));
  return code_of(handle_of(file).file->write(static_cast<std::uint64_t>(offset), all), SQLITE_IOERR_WRITE);
}

int truncate(::sqlite3_file* file, ::sqlite3_int64 size) {
  return code_of(handle_of(file).file->truncate(static_cast<std::uint64_t>(size)), SQLITE_IOERR_TRUNCATE);
}

int sync(::sqlite3_file* file, int) {
  auto& h = handle_of(file);
  if (h.vfs.options.skip_sync) return SQLITE_OK;
  if (auto done = h.file->sync(); !done) return SQLITE_IOERR_FSYNC;
  if (std::exchange(h.sync_dir, false)) (void)h.vfs.sync_dir_of(h.path);  // os_unix.c does not look either
  return SQLITE_OK;
}

int file_size(::sqlite3_file* file, ::sqlite3_int64* out) {
  const auto size = handle_of(file).file->size();
  if (!size) return SQLITE_IOERR_FSTAT;
  *out = static_cast<::sqlite3_int64>(*size);
  return SQLITE_OK;
}

int file_control(::sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }

int sector_size(::sqlite3_file* file) { return handle_of(file).vfs.options.powersafe_overwrite ? 4096 : 512; }

int device_characteristics(::sqlite3_file* file) {
  return handle_of(file).vfs.options.powersafe_overwrite ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

// ---- the file system ----

constexpr ::sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close,
    .xRead = read,
    .xWrite = write,
    .xTruncate = truncate,
    .xSync = sync,
    .xFileSize = file_size,
    .xLock = lock,
    .xUnlock = unlock,
    .xCheckReservedLock = check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int open(::sqlite3_vfs* vfs, ::sqlite3_filename name, ::sqlite3_file* file, int flags, int* out_flags) {
  auto& state = state_of(vfs);
  file->pMethods = nullptr;
  std::string path;
  if (name != nullptr) {
    path = name;
  } else {
    const std::lock_guard lock(state.mutex);
    path = "sqlite-temporary-" + std::to_string(++state.temporary_files);
  }
  const bool create = (flags & SQLITE_OPEN_CREATE) != 0;
  if (create && (flags & SQLITE_OPEN_EXCLUSIVE) != 0 && exists(state.fs, path)) return SQLITE_CANTOPEN;
  auto opened = state.fs.open_random(path, create);
  if (!opened) return SQLITE_CANTOPEN;
  auto made = std::make_unique<Handle>(Handle{state, path, std::move(*opened), state.inode(path)});
  made->sync_dir = create && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL)) != 0;
  made->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  reinterpret_cast<File*>(file)->handle = made.release();
  file->pMethods = &methods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int remove(::sqlite3_vfs* vfs, const char* name, int sync_dir) {
  auto& state = state_of(vfs);
  if (auto removed = state.fs.remove(name); !removed)
    return removed.error().code == Code::not_found ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
  if (sync_dir == 0) return SQLITE_OK;
  return state.sync_dir_of(name) ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

int access(::sqlite3_vfs* vfs, const char* name, int what, int* out) {
  const auto info = state_of(vfs).fs.info(name);
  if (!info && info.error().code != Code::not_found) return SQLITE_IOERR_ACCESS;
  *out = info && (what != SQLITE_ACCESS_EXISTS || info->is_dir || info->size > 0);
  return SQLITE_OK;
}

int full_path(::sqlite3_vfs*, const char* name, int room, char* out) {
  const std::size_t size = std::strlen(name) + 1;
  if (size > static_cast<std::size_t>(room)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, size);
  return SQLITE_OK;
}

int randomness(::sqlite3_vfs* vfs, int bytes, char* out) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<char>(state_of(vfs).rng.next());
  return bytes;
}

int sleep(::sqlite3_vfs* vfs, int us) {
  if (const auto& nap = state_of(vfs).options.sleep) nap(Duration(us));
  return us;
}

int current_time_ms(::sqlite3_vfs* vfs, ::sqlite3_int64* out) {
  constexpr ::sqlite3_int64 julian_1970_ms = 210'866'760'000'000;
  *out = julian_1970_ms + state_of(vfs).clock.now().time_since_epoch().count() / 1000;
  return SQLITE_OK;
}

int current_time_days(::sqlite3_vfs* vfs, double* out) {
  ::sqlite3_int64 ms = 0;
  current_time_ms(vfs, &ms);
  *out = static_cast<double>(ms) / 86'400'000.0;
  return SQLITE_OK;
}

int last_error(::sqlite3_vfs*, int, char*) { return 0; }

void seed_sqlite(int seed) { sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed, static_cast<::sqlite3*>(nullptr)); }

}  // namespace

SimVfs::SimVfs(SimFs& fs, Clock& clock, Rng& rng, SimVfsOptions options)
    : state_(new State{fs, clock, rng, std::move(options), {}, {}, {}, fs.boot(), {}, 0}) {
  static std::atomic<std::uint64_t> made = 0;
  state_->name = "millrace-sim-" + std::to_string(++made);
  auto& vfs = state_->vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(File);
  vfs.mxPathname = path_bytes_max;
  vfs.zName = state_->name.c_str();
  vfs.pAppData = state_.get();
  vfs.xOpen = open;
  vfs.xDelete = remove;
  vfs.xAccess = access;
  vfs.xFullPathname = full_path;
  vfs.xRandomness = randomness;
  vfs.xSleep = sleep;
  vfs.xCurrentTime = current_time_days;
  vfs.xGetLastError = last_error;
  vfs.xCurrentTimeInt64 = current_time_ms;
  check(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK, "SQLite takes the simulated file layer");
  seed_sqlite(static_cast<int>(rng.next() >> 34) + 1);  // 0 would be the operating system's randomness
}

SimVfs::~SimVfs() {
  sqlite3_vfs_unregister(&state_->vfs);
  seed_sqlite(0);
}

const std::string& SimVfs::name() const { return state_->name; }

}  // namespace millrace::meta
