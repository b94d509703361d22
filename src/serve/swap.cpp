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
  if (wanted.previous && should_load(find(versions, *wanted.previous), now)) {
    return SwapAction{Kind::load, *wanted.previous};
  }
  for (const auto& state : versions) {
    bool is_wanted = state.version == wanted.current || state.version == wanted.previous;
    if (!is_wanted && !state.serving) return SwapAction{Kind::unload, state.version};
  }
  return std::nullopt;
}

Duration load_backoff(int failures) { return std::chrono::seconds(std::min(60, 1 << std::clamp(failures - 1, 0, 6))); }

}  // namespace millrace::serve
