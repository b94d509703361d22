#include "base/executor.hpp"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace millrace {

Result<void> InlineExecutor::post(std::function<void()> work) {
  work();
  return {};
}

struct ThreadExecutor::State {
  std::string name;
  std::size_t waiting_max;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> waiting;
  bool stopping = false;
  std::thread thread;

  void run() {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stopping || !waiting.empty(); });
      if (waiting.empty()) return;
      auto work = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }
};

ThreadExecutor::ThreadExecutor(const std::string& name, std::size_t waiting_max)
    : state_(new State{name, waiting_max}) {
  state_->thread = std::thread([this] { state_->run(); });
}

ThreadExecutor::~ThreadExecutor() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_one();
  state_->thread.join();
}

Result<void> ThreadExecutor::post(std::function<void()> work) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->waiting.size() >= state_->waiting_max)
      return fail(Code::resource_exhausted, "base.executor_full",
                  std::to_string(state_->waiting.size()) + " pieces of work wait for " + state_->name +
                      " already; try again in a moment");
    state_->waiting.push_back(std::move(work));
  }
  state_->changed.notify_one();
  return {};
}

}  // namespace millrace
