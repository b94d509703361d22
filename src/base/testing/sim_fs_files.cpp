#include <algorithm>
#include <cstring>

#include "base/testing/sim_fs_internal.hpp"

namespace millrace {

using sim::io_error;
using sim::is_dir;
using sim::not_found;
using sim::page_bytes;

void SimFs::Change::apply(std::string& to) const {
  if (resize) return to.resize(at);
  if (bytes.empty()) return;
  if (to.size() < at + bytes.size()) to.resize(at + bytes.size());
  bytes.copy(to.data() + at, bytes.size(), 0);
}

void SimFs::Node::change(Change made) {
  made.apply(live);
  if (random) changes.push_back(std::move(made));
}

// What an appender left unsynced is one change from now on.
void SimFs::Node::become_random() {
  if (std::exchange(random, true) || live == durable) return;
  const auto fate = lost ? Change::doubtful : Change::pending;
  changes = {{true, 0, {}, fate}, {false, 0, live, fate}};
}

void SimFs::Node::synced() {
  if (!random) {
    if (!lost) durable = live;
    return;
  }
  const bool doubts = std::ranges::any_of(changes, [](const Change& c) { return c.fate == Change::doubtful; });
  for (auto& change : changes) {
    if (!doubts) {
      change.apply(durable);
    } else if (change.fate == Change::pending) {
      change.fate = Change::certain;
      if (change.resize) continue;
      // The kernel writes whole pages: what a failed sync left in them goes along.
      const auto begin = change.at / page_bytes * page_bytes;
      const auto end = (change.at + change.bytes.size() + page_bytes - 1) / page_bytes * page_bytes;
      change.at = begin;
      change.bytes = begin < live.size() ? live.substr(begin, end - begin) : std::string();
    }
  }
  if (!doubts) changes.clear();
}

// Not when the caller died in it: then the pages wait for the next one.
void SimFs::Node::sync_failed(const Error& error) {
  if (error.reason != "fs.io") return;
  lost = !random;
  for (auto& change : changes) {
    if (change.fate == Change::pending) change.fate = Change::doubtful;
  }
}

class SimFs::Readable final : public ReadableFile {
 public:
  Readable(SimFs& fs, NodePtr node, std::string path)
      : fs_(fs), node_(std::move(node)), path_(std::move(path)), boot_(fs.boot_) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::lock_guard lock(fs_.mutex_);
    TRY_VOID(fs_.operation("read", path_, boot_));
    if (offset >= node_->live.size()) return 0;
    const auto length = std::min<std::size_t>(out.size(), node_->live.size() - offset);
    std::memcpy(out.data(), node_->live.data() + offset, length);
    return length;
  }
  std::uint64_t size() const override {
    std::lock_guard lock(fs_.mutex_);
    return node_->live.size();
  }

 private:
  SimFs& fs_;
  NodePtr node_;
  std::string path_;
  std::uint64_t boot_;
};

class SimFs::Writable final : public WritableFile {
 public:
  Writable(SimFs& fs, NodePtr node, std::string path)
      : fs_(fs), node_(std::move(node)), path_(std::move(path)), boot_(fs.boot_) {}

  Result<void> append(std::span<const std::byte> data) override {
    std::lock_guard lock(fs_.mutex_);
    if (broken_) return io_error("write (an earlier sync failed)", path_);
    TRY_VOID(fs_.operation("write", path_, boot_));
    TRY_VOID(fs_.room_for(data.size(), path_));
    node_->change({false, node_->live.size(), std::string(reinterpret_cast<const char*>(data.data()), data.size())});
    node_->modified = fs_.clock_.now();
    return {};
  }
  Result<void> sync() override {
    std::lock_guard lock(fs_.mutex_);
    if (broken_) return io_error("sync (an earlier sync failed)", path_);
    if (auto done = fs_.sync_operation("sync", path_, boot_); !done) {
      broken_ = true;
      node_->sync_failed(done.error());
      return done;
    }
    node_->synced();
    return {};
  }
  std::uint64_t size() const override {
    std::lock_guard lock(fs_.mutex_);
    return node_->live.size();
  }

 private:
  SimFs& fs_;
  NodePtr node_;
  std::string path_;
  std::uint64_t boot_;
  bool broken_ = false;
};

class SimFs::Random final : public RandomFile {
 public:
  Random(SimFs& fs, NodePtr node, std::string path)
      : fs_(fs), node_(std::move(node)), path_(std::move(path)), boot_(fs.boot_) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) override {
    std::lock_guard lock(fs_.mutex_);
    TRY_VOID(fs_.operation("read", path_, boot_));
    if (offset >= node_->live.size()) return 0;
    const auto length = std::min<std::size_t>(out.size(), node_->live.size() - offset);
    std::memcpy(out.data(), node_->live.data() + offset, length);
    return length;
  }

  Result<void> write(std::uint64_t offset, std::span<const std::byte> data) override {
    std::lock_guard lock(fs_.mutex_);
    std::string bytes(reinterpret_cast<const char*>(data.data()), data.size());
    const bool last = fs_.operations_ == fs_.die_at_ && boot_ == fs_.boot_;
    if (auto done = fs_.operation("write", path_, boot_); !done) {
      bytes.resize(bytes.size() / 2);
      if (last && fs_.room_for(growth(offset, bytes.size()), path_)) node_->change({false, offset, std::move(bytes)});
      return done;
    }
    TRY_VOID(fs_.room_for(growth(offset, bytes.size()), path_));
    node_->change({false, offset, std::move(bytes)});
    node_->modified = fs_.clock_.now();
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    std::lock_guard lock(fs_.mutex_);
    TRY_VOID(fs_.operation("truncate", path_, boot_));
    TRY_VOID(fs_.room_for(growth(size, 0), path_));
    node_->change({true, size, {}});
    return {};
  }

  Result<void> sync() override {
    std::lock_guard lock(fs_.mutex_);
    if (auto done = fs_.sync_operation("sync", path_, boot_); !done) {
      node_->sync_failed(done.error());
      return done;
    }
    node_->synced();
    return {};
  }

  Result<std::uint64_t> size() override {
    std::lock_guard lock(fs_.mutex_);
    TRY_VOID(fs_.operation("inspect", path_, boot_));
    return node_->live.size();
  }

 private:
  std::uint64_t growth(std::uint64_t offset, std::uint64_t length) const {
    const std::uint64_t end = offset + length, size = node_->live.size();
    return end > size ? end - size : 0;
  }

  SimFs& fs_;
  NodePtr node_;
  std::string path_;
  std::uint64_t boot_;
};

class SimFs::Mapped final : public MappedFile {
 public:
  Mapped(SimFs& fs, NodePtr node, std::string path)
      : fs_(fs), node_(std::move(node)), path_(std::move(path)), boot_(fs.boot_) {}

  std::span<std::byte> bytes() override { return std::as_writable_bytes(std::span(node_->live)); }

  Result<void> sync(std::uint64_t offset, std::uint64_t length) override {
    std::lock_guard lock(fs_.mutex_);
    auto& live = node_->live;
    auto& durable = node_->durable;
    if (offset > live.size() || length > live.size() - offset) return io_error("sync past the end of", path_);
    if (auto done = fs_.sync_operation("sync", path_, boot_); !done) {
      node_->sync_failed(done.error());
      return done;
    }
    if (node_->lost) return io_error("sync (an earlier sync failed)", path_);
    const auto begin = offset / page_bytes * page_bytes;
    const auto end = std::min<std::uint64_t>((offset + length + page_bytes - 1) / page_bytes * page_bytes, live.size());
    std::memcpy(durable.data() + begin, live.data() + begin, end - begin);
    return {};
  }

 private:
  SimFs& fs_;
  NodePtr node_;
  std::string path_;
  std::uint64_t boot_;
};

class SimFs::Lock final : public FileLock {
 public:
  Lock(SimFs& fs, NodePtr node) : fs_(fs), node_(std::move(node)), boot_(fs.boot_) {}
  ~Lock() override {
    std::lock_guard lock(fs_.mutex_);
    if (boot_ != fs_.boot_) return;  // gone with its process
    node_->live.clear();
    fs_.locked_.erase(node_.get());
  }

 private:
  SimFs& fs_;
  NodePtr node_;
  std::uint64_t boot_;
};

Result<std::unique_ptr<ReadableFile>> SimFs::open_read(const std::string& path) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("open", path));
  const auto node = find(path);
  if (!node) return not_found(path);
  if (node->is_dir) return is_dir(path);
  return std::make_unique<Readable>(*this, node, path);
}

Result<std::unique_ptr<WritableFile>> SimFs::open_write(const std::string& path, WriteMode mode) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("open for writing", path));
  TRY(auto at, place(path));
  if (at.node && mode == WriteMode::create_new) {
    return fail(Code::already_exists, "fs.exists", fmt::format("{} exists already", path));
  }
  if (at.node && at.node->is_dir) return is_dir(path);
  if (!at.node) at.node = make_file(at);
  if (mode == WriteMode::truncate) {
    at.node->change({true, 0, {}});
    at.node->lost = false;
  }
  return std::make_unique<Writable>(*this, at.node, path);
}

Result<std::unique_ptr<RandomFile>> SimFs::open_random(const std::string& path, bool create) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("open for random writes", path));
  TRY(auto at, place(path));
  if (at.node && at.node->is_dir) return is_dir(path);
  if (!at.node) {
    if (!create) return not_found(path);
    at.node = make_file(at);
  }
  at.node->become_random();
  return std::make_unique<Random>(*this, at.node, path);
}

Result<std::unique_ptr<MappedFile>> SimFs::open_mapped(const std::string& path, std::uint64_t size) {
  std::lock_guard lock(mutex_);
  if (size == 0) return io_error("map zero bytes of", path);
  TRY_VOID(operation("map", path));
  TRY(auto at, place(path));
  if (at.node && at.node->is_dir) return is_dir(path);
  if (!at.node || at.node->live.empty()) {
    TRY_VOID(room_for(size, path));
    if (!at.node) at.node = make_file(at);
    at.node->live.assign(size, '\0');
    at.node->durable = at.node->live;
  } else if (at.node->live.size() != size) {
    return fail(Code::failed_precondition, "fs.size_differs", fmt::format("{} has another size", path));
  }
  at.node->mapped = true;
  at.node->durable.resize(size);
  return std::make_unique<Mapped>(*this, at.node, path);
}

Result<std::unique_ptr<FileLock>> SimFs::lock(const std::string& path, const std::string& holder) {
  std::lock_guard guard(mutex_);
  TRY_VOID(operation("lock", path));
  TRY(auto at, place(path));
  if (at.node && at.node->is_dir) return is_dir(path);
  if (!at.node) at.node = make_file(at);
  if (!locked_.insert(at.node.get()).second) {
    return fail(Code::failed_precondition, "fs.locked", fmt::format("{} is in use by {}", path, at.node->live));
  }
  at.node->live = holder;
  return std::make_unique<Lock>(*this, at.node);
}

}  // namespace millrace
