// Named fault points: places on the way of a write where a test stops, kills or fails the process to see what survives.
// Unarmed, reach() is one branch. Names are <module>.<operation>.<moment>; app/fault_points.cpp lists them all, and a
// test compares that list with the sources.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace {

class Faults {
 public:
  Faults() = default;
  // "name=kill", "name=kill@3" (the third time it is reached), "name=stop" (SIGSTOP), "name=abort" (SIGABRT),
  // "name=hang" (reach() never returns), "name=error" (it returns unavailable `fault.injected`); several separated by
  // commas. Without @N it acts every time, with it only the N-th. "name=kill/once:PATH" acts only if the file PATH does
  // not exist yet and creates it first, so that a restarted process passes. In builds under the address sanitizer also
  // "name=overflow": reads a byte past the end of its memory, so that a test sees that such reports are seen.
  // "*=note:PATH" besides: every point that is reached, armed or not, adds the line "name process-id" to the file PATH.
  // invalid_argument `fault.bad_spec` for anything else.
  static Result<std::unique_ptr<Faults>> parse(std::string_view spec);
  // Forgets all plans and counts, then takes those of `spec`. Not while another thread may call reach().
  Result<void> arm(std::string_view spec);

  Result<void> reach(std::string_view name) {
    if (!armed_) [[likely]]
      return {};
    return act(name);
  }
  // How often each armed point was reached.
  std::map<std::string, std::uint64_t> reached() const;

 private:
  struct Plan {
    enum class Kind { kill, stop, abort, hang, error, overflow } kind = Kind::error;
    std::uint64_t at = 0;  // 0: every time
    std::string once_path;
    std::uint64_t seen = 0;
  };
  Result<void> act(std::string_view name);
  void note(std::string_view name) const;
  static Result<Plan> parse_plan(std::string_view what, std::string_view item);
  bool armed_ = false;
  std::string note_path_;
  mutable std::mutex mutex_;
  std::map<std::string, Plan, std::less<>> plans_;
};

}  // namespace millrace
