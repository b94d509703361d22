#include "train/checkpoint_internal.hpp"

#include <cstdint>

#include "base/digest.hpp"
#include "base/json.hpp"

namespace millrace::train {
namespace stored {

struct StoredHead {
  int format = 1;
  int rounds = 0;
  int best_round = -1;
  double best_score = 0;
  std::string identity;
  std::uint64_t snapshot_bytes = 0;
  std::string snapshot_digest;
};

}  // namespace stored

using namespace stored;

std::string render_checkpoint(const Checkpoint& c) {
  return json::render(StoredHead{.rounds = c.rounds,
                                 .best_round = c.best_round,
                                 .best_score = c.best_score,
                                 .identity = c.identity,
                                 .snapshot_bytes = c.snapshot.size(),
                                 .snapshot_digest = sha256(c.snapshot).hex()}) +
         "\n" + c.snapshot;
}

std::optional<Checkpoint> parse_checkpoint(std::string_view bytes) {
  const auto line = bytes.find('\n');
  if (line == std::string_view::npos) return std::nullopt;
  auto head = json::parse<StoredHead>(bytes.substr(0, line), "checkpoint");
  const std::string_view snapshot = bytes.substr(line + 1);
  if (!head || head->format != 1 || head->rounds < 1 || snapshot.size() != head->snapshot_bytes ||
      sha256(snapshot).hex() != head->snapshot_digest) {
    return std::nullopt;
  }
  return Checkpoint{head->rounds, head->best_round, head->best_score, std::move(head->identity), std::string(snapshot)};
}

}  // namespace millrace::train
