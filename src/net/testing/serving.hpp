// One real server on a free port for all tests of this program: the HTTP library starts once in a process. Made when
// the first test asks, stopped at the end.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/metrics.hpp"
#include "base/testing/real_env.hpp"
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

struct Serving : RealEnv {
  static Serving& instance();

  Metrics metrics;
  Uploads uploads;
  std::atomic<int> followers{0};
  std::unique_ptr<Server> server;
  int port = 0;

  Serving();
};

}  // namespace millrace::net
