// What a component may touch of the outside world, handed to it at construction. Owned by main or by a test; outlives
// everything that holds it.
#pragma once

namespace millrace {

class Clock;
class Fs;
class Rng;
class Faults;
class Log;

struct Env {
  Fs& fs;
  Clock& clock;
  Rng& rng;
  Faults& faults;
  Log& log;
};

}  // namespace millrace
