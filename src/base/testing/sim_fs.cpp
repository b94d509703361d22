#include "base/testing/sim_fs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace millrace {
namespace {

constexpr std::size_t page_bytes = 4'096;

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const auto name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (!out.empty()) out.pop_back();
    } else {
      out.emplace_back(name);
    }
  }
  return out;
}

std::unexpected<Error> not_found(std::string_view path) {
  return fail(Code::not_found, "fs.not_found", fmt::format("{} does not exist", path));
}
std::unexpected<Error> is_dir(std::string_view path) {
  return fail(Code::failed_precondition, "fs.is_dir", fmt::format("{} is a folder", path));
}
std::unexpected<Error> io_error(std::string_view doing, std::string_view path) {
  return fail(Code::unavailable, "fs.io", fmt::format("cannot {} {}: input/output error (simulated)", doing, path));
}

// How a crash treats what was not synced. Pure chance would rarely lose or keep everything, which is what often
// happens.
enum Mood : unsigned { lose_all, keep_all, mixed, mixed_too };

bool coin(Rng& rng, unsigned mood) {
  if (mood == lose_all) return false;
  if (mood == keep_all) return true;
  return rng.below(2) == 0;
}

// An appended or rewritten file: `durable` was synced, `live` is what the process saw.
std::string torn(const std::string& durable, const std::string& live, Rng& rng, unsigned mood) {
  if (live == durable || mood == lose_all) return durable;
  if (mood == keep_all) return live;
  const std::size_t kept = live.starts_with(durable) ? durable.size() : 0;
  switch (rng.below(4)) {
    case 0:
      return durable;
    case 1:
      return live;
    default:
      break;
  }
  std::string out = live.substr(0, kept + rng.below(live.size() - kept + 1));
  for (std::size_t page = kept / page_bytes * page_bytes; page < out.size(); page += page_bytes) {
    if (rng.below(4) != 0) continue;  // the size reached the disk, this page did not
    const auto begin = std::max(page, kept), end = std::min(page + page_bytes, out.size());
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(begin), out.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  }
  return out;
}

std::string torn_pages(const std::string& durable, const std::string& live, Rng& rng, unsigned mood) {
  std::string out = durable;
  out.resize(live.size());
  for (std::size_t page = 0; page < live.size(); page += page_bytes) {
    const auto length = std::min(page_bytes, live.size() - page);
    if (coin(rng, mood)) std::memcpy(out.data() + page, live.data() + page, length);
  }
  return out;
}

}  // namespace

struct SimFs::Node {
  bool is_dir = false;
  TimePoint modified{};
  // A file: what readers see, what a crash leaves.
  std::string live, durable;
  bool mapped = false;
  bool lost = false;  // a sync failed: later ones say yes and write nothing
  // A folder.
  std::map<std::string, NodePtr, std::less<>> entries, durable_entries;
};

struct SimFs::Place {
  NodePtr dir;
  std::string name;
  NodePtr node;  // null: nothing there
};

struct SimFs::NameChange {
  NodePtr from;  // null: a new name
  std::string from_name;
  NodePtr to;  // null: a name removed
  std::string to_name;
  NodePtr node;

  void make_durable() const {
    if (from) {
      const auto old = from->durable_entries.find(from_name);
      if (old != from->durable_entries.end() && old->second == node) from->durable_entries.erase(old);
    }
    if (to) to->durable_entries[to_name] = node;
  }
};

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
    node_->live.append(reinterpret_cast<const char*>(data.data()), data.size());
    node_->modified = fs_.clock_.now();
    return {};
  }
  Result<void> sync() override {
    std::lock_guard lock(fs_.mutex_);
    if (broken_) return io_error("sync (an earlier sync failed)", path_);
    if (auto done = fs_.operation("sync", path_, boot_); !done) {
      broken_ = node_->lost = true;
      return done;
    }
    if (!node_->lost) node_->durable = node_->live;
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
    if (auto done = fs_.operation("sync", path_, boot_); !done) {
      node_->lost = true;
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

SimFs::SimFs(Clock& clock) : clock_(clock), root_(std::make_shared<Node>()) { root_->is_dir = true; }
SimFs::~SimFs() = default;

void SimFs::crash(Rng& rng) {
  std::lock_guard lock(mutex_);
  const auto mood = static_cast<unsigned>(rng.below(4));
  for (const auto& change : pending_) {
    if (coin(rng, mood)) change.make_durable();
  }
  restart(survivor(*root_, rng, mood));
}

void SimFs::kill() {
  std::lock_guard lock(mutex_);
  // Same disk, new handles: what is not durable stays not durable.
  ++boot_;
  locked_.clear();
  fail_at_ = die_at_ = never;
}

void SimFs::restart(const NodePtr& root) {
  root_ = root;
  pending_.clear();
  locked_.clear();
  ++boot_;
  fail_at_ = die_at_ = never;
}

SimFs::NodePtr SimFs::survivor(const Node& node, Rng& rng, unsigned mood) {
  auto out = std::make_shared<Node>();
  out->is_dir = node.is_dir;
  out->modified = node.modified;
  out->mapped = node.mapped;
  if (node.is_dir) {
    for (const auto& [name, child] : node.durable_entries) out->entries.emplace(name, survivor(*child, rng, mood));
    out->durable_entries = out->entries;
  } else {
    out->live = node.mapped ? torn_pages(node.durable, node.live, rng, mood) : torn(node.durable, node.live, rng, mood);
    out->durable = out->live;
  }
  return out;
}

void SimFs::fail_at(std::uint64_t n) {
  std::lock_guard lock(mutex_);
  fail_at_ = operations_ + n;
}
void SimFs::die_at(std::uint64_t n) {
  std::lock_guard lock(mutex_);
  die_at_ = operations_ + n;
}
void SimFs::set_capacity(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}
void SimFs::clear_faults() {
  std::lock_guard lock(mutex_);
  fail_at_ = die_at_ = never;
  capacity_ = std::uint64_t{1} << 50;
}
std::uint64_t SimFs::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

Result<void> SimFs::operation(std::string_view doing, std::string_view path) { return operation(doing, path, boot_); }

Result<void> SimFs::operation(std::string_view doing, std::string_view path, std::uint64_t opened_in) {
  const auto number = operations_++;
  if (opened_in != boot_ || number >= die_at_) {
    return fail(Code::unavailable, "fs.crashed",
                fmt::format("cannot {} {}: the machine crashed (simulated)", doing, path));
  }
  if (number == fail_at_) return io_error(doing, path);
  return {};
}

std::uint64_t SimFs::used_bytes(const Node& node) {
  std::uint64_t sum = node.live.size();
  for (const auto& [name, child] : node.entries) sum += used_bytes(*child);
  return sum;
}

Result<void> SimFs::room_for(std::uint64_t bytes, std::string_view path) {
  if (capacity_ >> 50 != 0) return {};
  if (const auto used = used_bytes(*root_); used + bytes <= capacity_) return {};
  return fail(Code::resource_exhausted, "fs.disk_full",
              fmt::format("cannot write {}: no space left (simulated)", path));
}

SimFs::NodePtr SimFs::find(std::string_view path) const {
  auto node = root_;
  for (const auto& name : components(path)) {
    const auto next = node->entries.find(name);
    if (next == node->entries.end()) return nullptr;
    node = next->second;
  }
  return node;
}

Result<SimFs::Place> SimFs::place(std::string_view path) const {
  auto names = components(path);
  if (names.empty()) return is_dir(path);
  auto dir = root_;
  for (std::size_t i = 0; i + 1 < names.size(); ++i) {
    const auto next = dir->entries.find(names[i]);
    if (next == dir->entries.end() || !next->second->is_dir) return not_found(path);
    dir = next->second;
  }
  const auto found = dir->entries.find(names.back());
  return Place{dir, names.back(), found == dir->entries.end() ? nullptr : found->second};
}

SimFs::NodePtr SimFs::make_file(const Place& at) {
  auto node = std::make_shared<Node>();
  node->modified = clock_.now();
  at.dir->entries[at.name] = node;
  pending_.push_back({nullptr, {}, at.dir, at.name, node});
  return node;
}

void SimFs::unlink(const Place& at) {
  at.dir->entries.erase(at.name);
  pending_.push_back({at.dir, at.name, nullptr, {}, at.node});
}

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
    at.node->live.clear();
    at.node->lost = false;
  }
  return std::make_unique<Writable>(*this, at.node, path);
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

Result<FileInfo> SimFs::info(const std::string& path) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("inspect", path));
  const auto node = find(path);
  if (!node) return not_found(path);
  const auto names = components(path);
  return FileInfo{names.empty() ? "" : names.back(), node->is_dir, node->live.size(), node->modified};
}

Result<std::vector<FileInfo>> SimFs::list(const std::string& dir) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("list", dir));
  const auto node = find(dir);
  if (!node || !node->is_dir) return not_found(dir);
  std::vector<FileInfo> out;
  for (const auto& [name, child] : node->entries) {
    out.push_back({name, child->is_dir, child->live.size(), child->modified});
  }
  return out;
}

Result<void> SimFs::make_dirs(const std::string& dir) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("make the folder", dir));
  auto node = root_;
  const auto names = components(dir);
  for (const auto& name : names) {
    auto& next = node->entries[name];
    if (!next) {
      next = std::make_shared<Node>();
      next->is_dir = true;
      next->modified = clock_.now();
      node->durable_entries[name] = next;
      // Syncing the parent, as the real one does, covers its other names too.
      sync_names(*node);
    }
    if (!next->is_dir && &name != &names.back()) return not_found(dir);
    if (!next->is_dir) return fail(Code::already_exists, "fs.exists", fmt::format("{} is not a folder", dir));
    node = next;
  }
  return {};
}

Result<void> SimFs::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("rename", from));
  TRY(const auto source, place(from));
  TRY(const auto target, place(to));
  if (!source.node) return not_found(from);
  if (source.node == target.node) return {};
  if (target.node) {
    if (target.node->is_dir && !source.node->is_dir) return is_dir(to);
    if (!target.node->is_dir && source.node->is_dir) return not_found(to);
    if (!target.node->entries.empty()) {
      return fail(Code::failed_precondition, "fs.not_empty", fmt::format("{} is not empty", to));
    }
  }
  source.dir->entries.erase(source.name);
  target.dir->entries[target.name] = source.node;
  pending_.push_back({source.dir, source.name, target.dir, target.name, source.node});
  return {};
}

Result<void> SimFs::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("remove", path));
  TRY(const auto at, place(path));
  if (!at.node) return not_found(path);
  if (!at.node->entries.empty()) {
    return fail(Code::failed_precondition, "fs.not_empty", fmt::format("{} is not empty", path));
  }
  unlink(at);
  return {};
}

Result<void> SimFs::remove_all(const std::string& path) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("remove", path));
  const auto at = place(path);
  if (!at || !at->node) return {};
  // Depth first, as the real one: a crash may leave any part of it.
  const auto empty = [this](const auto& self, const NodePtr& dir) -> void {
    const auto entries = dir->entries;
    for (const auto& [name, child] : entries) {
      self(self, child);
      unlink({dir, name, child});
    }
  };
  empty(empty, at->node);
  unlink(*at);
  return {};
}

void SimFs::sync_names(const Node& dir) {
  std::erase_if(pending_, [&](const NameChange& change) {
    const auto& decides = change.to ? change.to : change.from;
    if (decides.get() != &dir) return false;
    change.make_durable();
    return true;
  });
}

Result<void> SimFs::sync_dir(const std::string& dir) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("sync the folder", dir));
  const auto node = find(dir);
  if (!node || !node->is_dir) return not_found(dir);
  sync_names(*node);
  return {};
}

Result<std::uint64_t> SimFs::free_bytes(const std::string& path) {
  std::lock_guard lock(mutex_);
  TRY_VOID(operation("inspect the disk of", path));
  const auto used = used_bytes(*root_);
  return used < capacity_ ? capacity_ - used : 0;
}

}  // namespace millrace
