// A boosted-trees training in the middle: one line of JSON, then XGBoost's own snapshot (XGBoosterSerializeToBuffer,
// the one form from which it goes on to the same bytes).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace::train {

struct Checkpoint {
  int rounds = 0;       // done
  int best_round = -1;  // 0-based; -1: none yet
  double best_score = 0;
  std::string identity;  // digest of all that decides the result; another training's checkpoint is not taken up
  std::string snapshot;
};

std::string render_checkpoint(const Checkpoint& checkpoint);
// nullopt when the bytes are no whole checkpoint.
std::optional<Checkpoint> parse_checkpoint(std::string_view bytes);

}  // namespace millrace::train
