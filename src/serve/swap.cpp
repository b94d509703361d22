#include "serve/swap.hpp"

#include <algorithm>

namespace millrace::serve {

namespace {

const VersionState* find(std::span<const VersionState> versions, std::int64_t version) {
  auto at = std::find_if(versions.begin(), versions.end(), [&](const auto& v) { return v.version == version; });
  return at == versions.end() ? nullptr : &*at;
}

bool should_load(const VersionState* state, SteadyPoint now) {
  return !state || (!state->loaded && (state->failures == 0 || now >= state->retry_at));
}

}  // namespace

std::optional<SwapAction> next_swap(std::span<const VersionState> versions, const WantedVersions& wanted,
                                    SteadyPoint now) {
  using Kind = SwapAction::Kind;
  if (wanted.current) {
    const auto* current = find(versions, *wanted.current);
    if (current && current->loaded) {
      if (!current->serving) return SwapAction{Kind::swap, *wanted.current};
    } else if (should_load(current, now)) {
      return SwapAction{Kind::load, *wanted.current};
    }
  }
  std::vector<std::int64_t> kept;  // besides current, the best first
  if (wanted.previous) kept.push_back(*wanted.previous);
  kept.insert(kept.end(), wanted.others.begin(), wanted.others.end());
  const auto answers = std::ranges::find(versions, true, &VersionState::serving);
  bool better = wanted.fall_back;  // than what answers, as far as it is among these
  if (answers != versions.end() && std::ranges::find(kept, answers->version) == kept.end()) better = false;
  for (const auto version : kept) {
    const auto* state = find(versions, version);
    if (state && state->serving) better = false;
    if (better && state && state->loaded) return SwapAction{Kind::swap, version};
    if (should_load(state, now)) return SwapAction{Kind::load, version};
  }
  for (const auto& state : versions) {
    const bool is_wanted = state.version == wanted.current || std::ranges::find(kept, state.version) != kept.end();
    if (!is_wanted && !state.serving) return SwapAction{Kind::unload, state.version};
  }
  return std::nullopt;
}

Duration load_backoff(int failures) { return std::chrono::seconds(std::min(60, 1 << std::clamp(failures - 1, 0, 6))); }

}  // namespace millrace::serve
