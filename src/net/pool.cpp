#include <pthread.h>

#include <utility>

#include "net/pool_internal.hpp"

namespace millrace::net {

Pool::Pool(std::string name, int threads_max, int queue_max)
    : name_(std::move(name)),
      threads_max_(static_cast<std::size_t>(threads_max)),
      queue_max_(static_cast<std::size_t>(queue_max)) {}

Pool::~Pool() { join(); }

void Pool::join() {
  close();
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

bool Pool::submit(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  if (closed_) return false;
  bool may_start = threads_.size() < threads_max_;
  std::size_t spare = idle_ + (may_start ? 1 : 0);
  if (queue_.size() >= queue_max_ + spare) return false;
  queue_.push_back(std::move(work));
  if (queue_.size() > idle_ && may_start) {
    threads_.emplace_back([this] { run(); });
    pthread_setname_np(threads_.back().native_handle(), name_.c_str());
  }
  wake_.notify_one();
  return true;
}

void Pool::close() {
  std::deque<std::function<void()>> dropped;  // destroyed outside of the lock
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(queue_);
  }
  wake_.notify_all();
}

void Pool::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [&] { return closed_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds goes before the lock is taken again
    lock.lock();
  }
}

}  // namespace millrace::net
