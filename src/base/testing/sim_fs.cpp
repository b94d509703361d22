#include <algorithm>

#include "base/testing/sim_fs_internal.hpp"

namespace millrace {

using sim::io_error;
using sim::is_dir;
using sim::not_found;

namespace {

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

}  // namespace

SimFs::SimFs(Clock& clock) : clock_(clock), root_(std::make_shared<Node>()) { root_->is_dir = true; }
SimFs::~SimFs() = default;

void SimFs::fail_at(std::uint64_t n) {
  std::lock_guard lock(mutex_);
  fail_at_ = operations_ + n;
}
void SimFs::die_at(std::uint64_t n) {
  std::lock_guard lock(mutex_);
  die_at_ = operations_ + n;
}
void SimFs::fail_after_sync(std::uint64_t n) {
  std::lock_guard lock(mutex_);
  fail_after_sync_ = syncs_ + n;
}
void SimFs::die_after_sync(std::uint64_t n) {
  std::lock_guard lock(mutex_);
  die_after_sync_ = syncs_ + n;
}
void SimFs::set_capacity(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}
void SimFs::clear_faults() {
  std::lock_guard lock(mutex_);
  fail_at_ = die_at_ = fail_after_sync_ = die_after_sync_ = never;
  capacity_ = std::uint64_t{1} << 50;
}
void SimFs::set_sector_damage(bool on) {
  std::lock_guard lock(mutex_);
  sector_damage_ = on;
}
std::uint64_t SimFs::boot() const {
  std::lock_guard lock(mutex_);
  return boot_;
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

Result<void> SimFs::sync_operation(std::string_view doing, std::string_view path, std::uint64_t opened_in) {
  const auto number = syncs_++;
  if (number == die_after_sync_) die_at_ = operations_ + 1;
  if (number == fail_after_sync_) fail_at_ = operations_ + 1;
  return operation(doing, path, opened_in);
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
  TRY_VOID(sync_operation("sync the folder", dir, boot_));
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
