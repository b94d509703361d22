#include "sim/expect_blobs.hpp"

namespace millrace::simulator {

void ExpectBlobs::stored(const std::string& content, TimePoint now) {
  auto& known = known_[sha256(content)];
  known = {content, true, now};
}

void ExpectBlobs::perhaps_stored(const std::string& content) {
  auto& known = known_[sha256(content)];
  if (known.content.empty()) known.content = content;
}

void ExpectBlobs::collected(const std::set<Digest>& needed, TimePoint now, Duration grace) {
  for (auto& [digest, known] : known_) {
    if (known.since > now - grace) continue;
    known.since = {};  // its grace is over, and does not begin anew when the clock is set back
    if (!needed.contains(digest)) known.must = false;
  }
}

const std::string* ExpectBlobs::content(const Digest& digest) const {
  const auto found = known_.find(digest);
  return found == known_.end() ? nullptr : &found->second.content;
}

std::optional<Digest> ExpectBlobs::some_old(std::uint64_t draw) const {
  std::vector<Digest> old;
  for (const auto& [digest, known] : known_) {
    if (!known.must && known.content.size() < 100'000) old.push_back(digest);
  }
  if (old.empty()) return std::nullopt;
  return old[draw % old.size()];
}

std::optional<Digest> ExpectBlobs::some_present(std::uint64_t draw) const {
  std::vector<Digest> present;
  for (const auto& [digest, known] : known_) {
    if (known.must && known.content.size() < 100'000) present.push_back(digest);
  }
  if (present.empty()) return std::nullopt;
  return present[draw % present.size()];
}

std::vector<Digest> ExpectBlobs::digests() const {
  std::vector<Digest> out;
  for (const auto& [digest, known] : known_) out.push_back(digest);
  return out;
}

std::string ExpectBlobs::compare(blob::Store& store) {
  const auto listed = store.list();
  if (!listed) return "blobs: they can't be listed: " + listed.error().message;
  std::set<Digest> there;
  for (const auto& info : *listed) {
    const auto known = known_.find(info.digest);
    there.insert(info.digest);
    const auto read = store.read(info.digest, 1u << 30);
    if (!read) return "blobs: " + read.error().reason + ": " + read.error().message;
    if (known == known_.end()) {
      known_[info.digest].content = *read;
    } else if (*read != known->second.content) {
      return "blobs: another content under " + info.digest.hex();
    }
  }
  for (const auto& [digest, known] : known_) {
    if (known.must && !there.contains(digest))
      return "blobs: acknowledged, and it is gone: " + digest.hex() + " (" + known.content.substr(0, 40) + ")";
  }
  return {};
}

}  // namespace millrace::simulator
