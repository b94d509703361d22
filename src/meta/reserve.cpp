#include <algorithm>

#include "meta/reserve_internal.hpp"

namespace millrace::meta {

namespace {

constexpr std::uint64_t reserve_step = 4096, reserve_least = 64u << 10;  // less is not worth a file

}  // namespace

void give_up_for_a_start(Fs& fs, const std::string& folder) {
  constexpr std::uint64_t enough = 1u << 20;
  if (const auto free = fs.free_bytes(folder); free && *free < enough) (void)fs.remove(join_path(folder, "reserve"));
}

Reserve::Reserve(Fs& fs, const std::string& folder, std::int64_t bytes)
    : fs_(fs),
      path_(join_path(folder, "reserve")),
      bytes_(static_cast<std::uint64_t>(std::max<std::int64_t>(0, bytes))) {
  if (bytes_ == 0) return;
  if (const auto there = fs_.info(path_)) held_ = there->size;
}

void Reserve::hold() {
  const std::lock_guard lock(mutex_);
  if (given_up_ || held_ == bytes_) return;
  const auto free = fs_.free_bytes(parent_path(path_)).value_or(0);
  if (held_ == 0) return make(std::min(bytes_, free / 2));  // a half: what came free is for the others too
  if (held_ < bytes_ && free < 2 * bytes_) return;
  if (!fs_.remove(path_)) return;
  held_ = 0;
  make(bytes_);
}

// What is said to be free may be taken meanwhile: then a little less, twice that, and so on, so that what is left to
// others is not more than what was taken.
void Reserve::make(std::uint64_t size) {
  if (size < bytes_) size = size / reserve_step * reserve_step;
  for (std::uint64_t less = reserve_step; size > 0 && size >= std::min(reserve_least, bytes_); less *= 2) {
    if (fs_.open_mapped(path_, size)) {
      held_ = size;
      return;
    }
    size = (size - std::min(size, less)) / reserve_step * reserve_step;
  }
}

bool Reserve::give_up() {
  const std::lock_guard lock(mutex_);
  if (held_ == 0 || !fs_.remove(path_)) return false;
  held_ = 0;
  given_up_ = true;
  return true;
}

void Reserve::take_back() {
  const std::lock_guard lock(mutex_);
  given_up_ = false;
  make(std::min(bytes_, fs_.free_bytes(parent_path(path_)).value_or(0)));
}

}  // namespace millrace::meta
