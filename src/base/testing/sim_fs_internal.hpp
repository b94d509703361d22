// What the parts of SimFs share: sim_fs.cpp holds names and faults, sim_fs_files.cpp open files, sim_fs_crash.cpp what
// a crash leaves.
#pragma once

#include <fmt/format.h>

#include <map>
#include <vector>

#include "base/testing/sim_fs.hpp"

namespace millrace {

namespace sim {

inline constexpr std::size_t page_bytes = 4'096;
inline constexpr std::size_t sector_bytes = 512;

inline std::unexpected<Error> not_found(std::string_view path) {
  return fail(Code::not_found, "fs.not_found", fmt::format("{} does not exist", path));
}
inline std::unexpected<Error> is_dir(std::string_view path) {
  return fail(Code::failed_precondition, "fs.is_dir", fmt::format("{} is a folder", path));
}
inline std::unexpected<Error> io_error(std::string_view doing, std::string_view path) {
  return fail(Code::unavailable, "fs.io", fmt::format("cannot {} {}: input/output error (simulated)", doing, path));
}

}  // namespace sim

// One write or resize of a randomly written file that its last good sync does not cover.
struct SimFs::Change {
  // doubtful: a sync of it failed, and a later one says nothing about it. certain: synced after a doubtful one.
  enum Fate { pending, doubtful, certain };
  bool resize = false;
  std::uint64_t at = 0;  // where the bytes go, or the new size
  std::string bytes;
  Fate fate = pending;

  void apply(std::string& to) const;
};

struct SimFs::Node {
  bool is_dir = false;
  TimePoint modified{};
  // A file: what readers see, what a crash leaves at least.
  std::string live, durable;
  bool mapped = false;
  bool lost = false;            // a sync failed: later ones say yes and write nothing
  bool random = false;          // written anywhere: what is not synced is kept change by change, not in `lost`
  std::vector<Change> changes;  // in order
  // A folder.
  std::map<std::string, NodePtr, std::less<>> entries, durable_entries;

  void change(Change made);  // to `live`
  void become_random();
  void synced();
  void sync_failed(const Error& error);
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

}  // namespace millrace
