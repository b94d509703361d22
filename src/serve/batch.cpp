#include "serve/batch.hpp"

#include <algorithm>
#include <vector>

namespace millrace::serve {

NextBatch next_batch(std::span<const WaitingRows> waiting, std::size_t running, std::size_t running_max,
                     const BatchPolicy& policy, SteadyPoint now) {
  if (waiting.empty() || running >= running_max) return {};
  // The first requests that have at most so many rows together, one at least; and how many those are.
  const auto within = [&](std::size_t rows_max) {
    std::pair<std::size_t, std::size_t> out{1, waiting.front().rows};
    while (out.first < waiting.size() && out.second + waiting[out.first].rows <= rows_max)
      out.second += waiting[out.first++].rows;
    return out;
  };
  const auto [requests, rows] = within(policy.rows_max);
  if (running == 0 || requests < waiting.size() || rows >= policy.rows_max) return {requests, {}};
  std::size_t preferred = 0;
  for (const auto size : policy.preferred) {
    if (size <= rows) preferred = std::max(preferred, size);
  }
  if (preferred > 0) return {within(preferred).first, {}};
  const auto until = waiting.front().came + policy.delay_max;
  if (now >= until) return {requests, {}};
  return {0, until};
}

void BatchHistogram::add(std::size_t rows) {
  const auto at = std::ranges::lower_bound(kBatchBounds, rows) - kBatchBounds.begin();
  buckets_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  rows_.fetch_add(rows, std::memory_order_relaxed);
}

BatchCounts BatchHistogram::counts() const {
  BatchCounts out;
  for (std::size_t i = 0; i < buckets_.size(); ++i) out.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  out.rows = rows_.load(std::memory_order_relaxed);
  return out;
}

std::size_t Batcher::waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_.size();
}

// Without the lock while it computes.
void Batcher::compute(std::unique_lock<std::mutex>& lock, std::span<Part* const> parts, const Part& mine, Clock& clock,
                      const Compute& compute) {
  ++running_;
  busy_.store(true, std::memory_order_relaxed);
  if (!waiting_.empty()) waiting_.front()->changed.notify_one();  // perhaps more may begin
  lock.unlock();
  const auto began = clock.steady();
  std::size_t rows = 0;
  for (const auto* part : parts) rows += part->rows;
  compute(parts);
  for (auto* part : parts) {
    part->together = parts.size();
    part->rows_together = rows;
    part->joined = part != parts.front();
    part->began = began;
  }
  lock.lock();
  --running_;
  busy_.store(running_ > 0 || !waiting_.empty(), std::memory_order_relaxed);
  for (auto* part : parts) {
    part->state = Part::State::done;
    if (part != &mine) part->changed.notify_one();
  }
  if (!waiting_.empty()) waiting_.front()->changed.notify_one();
}

void Batcher::run(Part& part, const BatchPolicy& policy, std::size_t running_max, Clock& clock,
                  const Compute& compute) {
  std::unique_lock lock(mutex_);
  if (!part.may_wait || (running_ == 0 && waiting_.empty())) {
    Part* const alone[] = {&part};
    return this->compute(lock, alone, part, clock, compute);
  }
  part.came = clock.steady();
  waiting_.push_back(&part);
  busy_.store(true, std::memory_order_relaxed);
  while (part.state != Part::State::done) {
    if (part.state == Part::State::taken) {
      part.changed.wait(lock);
      continue;
    }
    std::vector<Part*> same;
    std::vector<WaitingRows> rows;
    for (auto* one : waiting_) {
      if (one->kind != waiting_.front()->kind) continue;
      same.push_back(one);
      rows.push_back({one->rows, one->came});
    }
    const auto now = clock.steady();
    const auto next = next_batch(rows, running_, running_max, policy, now);
    // Who finds that others are to be computed leaves that to the first of them: `compute` is of their kind.
    const bool mine = part.kind == waiting_.front()->kind;
    if (next.requests == 0 || !mine) {
      if (next.requests > 0) waiting_.front()->changed.notify_one();
      if (next.look_again)
        part.changed.wait_for(lock, *next.look_again - now);
      else
        part.changed.wait(lock);
      continue;
    }
    same.resize(next.requests);
    for (auto* one : same) one->state = Part::State::taken;
    std::erase_if(waiting_, [](const Part* one) { return one->state != Part::State::waits; });
    this->compute(lock, same, part, clock, compute);
  }
}

}  // namespace millrace::serve
