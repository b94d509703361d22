// Promise: a blob whose commit was answered is there, whole, for as long as something names it or its grace runs; what
// is there is whole, whoever asked for it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "blob/blob.hpp"

namespace millrace::simulator {

class ExpectBlobs {
 public:
  // It was written or pinned at `now`, or perhaps it was.
  void stored(const std::string& content, TimePoint now);
  void perhaps_stored(const std::string& content);
  // A collection runs at `now`: what nobody needs and is older than the grace may go. What is needed stays until nobody
  // needs it; its grace is over from now on, for its pin goes.
  void collected(const std::set<Digest>& needed, TimePoint now, Duration grace);

  const std::string* content(const Digest& digest) const;
  // One that need not be there any more, or is old; by a drawn number.
  std::optional<Digest> some_old(std::uint64_t draw) const;
  // A small one that must be there.
  std::optional<Digest> some_present(std::uint64_t draw) const;
  std::vector<Digest> digests() const;
  bool ever_there(const Digest& digest) const { return known_.contains(digest); }

  // Everything that the store has, read whole, also what the modules wrote for themselves; the first thing that is
  // wrong, or "".
  std::string compare(blob::Store& store);

 private:
  struct Known {
    std::string content;
    bool must = false;
    TimePoint since{};
  };
  std::map<Digest, Known> known_;
};

}  // namespace millrace::simulator
