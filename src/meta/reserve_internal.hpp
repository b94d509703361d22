// Room on the disk that is held back: a file of real blocks in the data folder, given up when something must be written
// although the disk is full. Nothing is in it.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "base/fs.hpp"

namespace millrace::meta {

// A start writes a few files before anybody can make room: on a full disk what was held back is theirs. By whoever has
// the folder's lock, before there is a Reserve.
void give_up_for_a_start(Fs& fs, const std::string& folder);

// Thread-safe.
class Reserve {
 public:
  // `bytes` 0: nothing is ever held back. Holds nothing more than is held already, until hold().
  Reserve(Fs& fs, const std::string& folder, std::int64_t bytes);

  // Holds what is missing: all of it where as much again stays free; where nothing is held, as much as leaves a half to
  // others. Cheap when nothing is missing; does nothing between give_up() and take_back().
  void hold();
  // Whether there was room that somebody can use now.
  bool give_up();
  // After that: what is left of it, before others eat it.
  void take_back();

 private:
  Fs& fs_;
  const std::string path_;
  const std::uint64_t bytes_;
  std::mutex mutex_;
  std::uint64_t held_ = 0;
  bool given_up_ = false;
  void make(std::uint64_t size);
};

}  // namespace millrace::meta
