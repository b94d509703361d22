// One real server on a free port for all tests of this program: the HTTP library starts once in a process. Made when
// the first test asks, stopped at the end.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"
#include "net/server.hpp"

namespace millrace::net {

// What became of the uploads, by name.
class Uploads {
 public:
  void add(const std::string& line);
  bool wait_for(const std::string& line);  // false after 20 seconds

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

struct Serving {
  static Serving& instance();

  TempDir dir;
  RealFs fs;
  SystemClock clock;
  SystemRng rng;
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env{fs, clock, rng, faults, *log};
  Metrics metrics;
  Uploads uploads;
  std::atomic<int> followers{0};
  std::unique_ptr<Server> server;
  int port = 0;

  Serving();
};

}  // namespace millrace::net
