#include "api/native/moment.hpp"

#include <format>

#include "base/text.hpp"

namespace millrace::api {

Result<TimePoint> parse_moment(std::string_view text, TimePoint now, TimePoint first) {
  constexpr std::string_view ago = " ago";
  const bool minus = text.starts_with('-');
  TimePoint at;
  if (minus || text.ends_with(ago)) {
    const auto back = parse_duration(minus ? text.substr(1) : text.substr(0, text.size() - ago.size()));
    if (!back)
      return fail(Code::invalid_argument, "api.bad_moment",
                  std::format("at '{}' is not a time: before 'ago', and after '-', stands a duration such as 90m, 2h, "
                              "3d",
                              printable(text.substr(0, 60))));
    // Further back than there is anything, also where the subtraction would overflow.
    at = *back > now.time_since_epoch() ? TimePoint() : now - *back;
  } else if (const auto moment = parse_time(text)) {
    at = *moment;
  } else {
    return fail(Code::invalid_argument, "api.bad_moment",
                std::format("at '{}' is not a time; write 2026-11-20T09:40:00Z, 2026-11-20, or how long ago: 2h ago",
                            printable(text.substr(0, 60))));
  }
  if (at > now)
    return fail(Code::invalid_argument, "api.moment_to_come",
                std::format("at {} is to come: it is {} now", format_time(at), format_time(now)));
  if (at < first)
    return fail(Code::invalid_argument, "api.before_project",
                std::format("at {} there was nothing yet: the first project file was applied at {}", format_time(at),
                            format_time(first)));
  return at;
}

}  // namespace millrace::api
