// A time zone by its IANA name, and the two ways between its wall clock and UTC.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace::flow {

using LocalTime = std::chrono::local_time<Duration>;  // what a clock on the wall shows

// A value; cheap to copy. "UTC" needs no time zone data; the first other zone of a process reads them (about 5 ms).
class Zone {
 public:
  Zone() = default;  // UTC
  // invalid_argument `flow.unknown_zone` with the nearest known name; failed_precondition `flow.no_zone_data` when this
  // machine has no time zone data (package tzdata).
  static Result<Zone> find(std::string_view name);

  std::string name() const;
  LocalTime local(TimePoint time) const;

  // The moments at which the wall clock shows `time`: one; none in the hour that is skipped in spring, and then `gap`
  // says so and `first` is the moment of the jump; two in the hour that is repeated in autumn.
  struct Moments {
    TimePoint first{};
    TimePoint second{};
    bool gap = false;
    bool twice = false;
  };
  Moments moments(LocalTime time) const;

 private:
  const std::chrono::time_zone* zone_ = nullptr;  // of the process-wide data, which live for ever; null: UTC
};

}  // namespace millrace::flow
