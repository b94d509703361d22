// For tests only: the calendar of the running program, put ahead or made faster by the environment. The steady hand
// stays the machine's, so leases, deadlines and pauses take as long as ever.
//
//   MILLRACE_CLOCK_OFFSET=90s       ahead by that (any duration), or
//   MILLRACE_CLOCK_OFFSET=file:PATH by the microseconds in the file's 8 bytes, which may change while the program runs
//   MILLRACE_CALENDAR_SPEED=600     and so many times faster (1 to 100,000), counted from
//   MILLRACE_CALENDAR_SINCE=TIME    this real moment; without it from the start of the first process, which tells its
//                                   children, so that all of them agree
//
// With a speed the stamps of files are those of that calendar too.
#pragma once

#include <memory>

#include "base/clock.hpp"
#include "base/fs.hpp"

namespace millrace::app {

struct TestTime {
  std::unique_ptr<Clock> clock;
  std::unique_ptr<Fs> fs;
};

// The operating system's where none of these is set. invalid_argument with the variable's name.
Result<TestTime> time_from_environment();

}  // namespace millrace::app
