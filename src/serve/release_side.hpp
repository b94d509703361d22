// Which side of a release answers a request. Pure: the same release and key give the same side in every process, and a
// larger weight keeps all keys of a smaller one.
#pragma once

#include <string_view>

namespace millrace::serve {

// From 0 to 1, 1 excluded: FNV-1a (64 bits) of the release's id, a zero byte and the key, through SplitMix64's
// finaliser; its upper 53 bits as a fraction.
double release_side(std::string_view release, std::string_view key);

inline bool on_candidate(std::string_view release, std::string_view key, double weight) {
  return weight > 0 && release_side(release, key) < weight;
}

}  // namespace millrace::serve
