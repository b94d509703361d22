// The moment that somebody wants to look back at. Pure.
#pragma once

#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::api {

// A time as base's parse_time takes it ("2026-11-20T09:40:00Z", "2026-11-20": its first moment, UTC), or a duration
// before `now`: "2h ago", "-2h". invalid_argument `api.bad_moment` for anything else, `api.moment_to_come` for one
// after `now`, `api.before_project` for one before `first`, when the project began to be.
Result<TimePoint> parse_moment(std::string_view text, TimePoint now, TimePoint first);

}  // namespace millrace::api
