#include <algorithm>
#include <cstring>

#include "base/testing/sim_fs_internal.hpp"

namespace millrace {

using sim::page_bytes;
using sim::sector_bytes;

namespace {

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

// Bytes that stood in the disk's buffers when the power went.
std::string garbage(std::size_t size, Rng& rng) {
  std::string out(size, '\0');
  for (auto& byte : out) byte = static_cast<char>(rng.next());
  return out;
}

void put(std::string& to, std::size_t at, std::string_view bytes) {
  if (to.size() < at + bytes.size()) to.resize(at + bytes.size());
  bytes.copy(to.data() + at, bytes.size(), 0);
}

// One page of one write that was not synced.
void land(std::string& out, std::size_t at, std::string_view bytes, Rng& rng, unsigned mood, bool sector_damage) {
  if (mood == keep_all) return put(out, at, bytes);
  const auto end = at + bytes.size();
  switch (mood == lose_all ? 3 : rng.below(8)) {
    case 0:
    case 1:
    case 2:
      return put(out, at, bytes);
    case 3:
    case 4:
      return;
    case 5:  // the size reached the disk, the bytes did not
      if (out.size() < end) out.resize(end);
      return;
    case 6:  // some sectors of it
      for (auto sector = at; sector < end;) {
        const auto next = std::min(end, (sector / sector_bytes + 1) * sector_bytes);
        if (rng.below(2) == 0) put(out, sector, bytes.substr(sector - at, next - sector));
        sector = next;
      }
      return;
    default: {  // the power went while one sector was being written
      put(out, at, bytes);
      auto begin = (at + rng.below(bytes.size())) / sector_bytes * sector_bytes;
      auto stop = std::min(begin + sector_bytes, out.size());
      if (!sector_damage) {
        begin = std::max(begin, at);
        stop = std::min(stop, end);
      }
      put(out, begin, garbage(stop - begin, rng));
    }
  }
}

}  // namespace

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

// A randomly written file: each unsynced resize and each page of each unsynced write got there or not, each by chance.
std::string SimFs::scattered(const Node& node, Rng& rng, unsigned mood) const {
  std::string out = node.durable;
  for (const auto& change : node.changes) {
    if (change.fate == Change::certain) {
      change.apply(out);
    } else if (change.resize) {
      if (coin(rng, mood)) change.apply(out);
    } else {
      for (std::size_t done = 0; done < change.bytes.size();) {
        const auto at = change.at + done;
        const auto length = std::min(change.bytes.size() - done, (at / page_bytes + 1) * page_bytes - at);
        land(out, at, std::string_view(change.bytes).substr(done, length), rng, mood, sector_damage_);
        done += length;
      }
    }
  }
  return out;
}

SimFs::NodePtr SimFs::survivor(const Node& node, Rng& rng, unsigned mood) const {
  auto out = std::make_shared<Node>();
  out->is_dir = node.is_dir;
  out->modified = node.modified;
  out->mapped = node.mapped;
  if (node.is_dir) {
    for (const auto& [name, child] : node.durable_entries) out->entries.emplace(name, survivor(*child, rng, mood));
    out->durable_entries = out->entries;
  } else {
    out->live = node.random   ? scattered(node, rng, mood)
                : node.mapped ? torn_pages(node.durable, node.live, rng, mood)
                              : torn(node.durable, node.live, rng, mood);
    out->durable = out->live;
  }
  return out;
}

}  // namespace millrace
