// Threads with a bounded queue. Threads start when work comes, never more than threads_max.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace millrace::net {

class Pool {
 public:
  // queue_max of 0: work is taken only when a thread is free (or may start).
  Pool(std::string name, int threads_max, int queue_max);
  ~Pool();  // join()
  // False when full or closed. The work must not throw.
  bool submit(std::function<void()> work);
  void close();  // no more work; what still waits is dropped
  void join();   // close(), then waits for the work that runs; not from the pool's own threads

 private:
  void run();
  const std::string name_;
  const std::size_t threads_max_, queue_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool closed_ = false;
};

}  // namespace millrace::net
