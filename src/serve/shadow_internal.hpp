// Answers of a release's candidate beside the live ones, for the prediction log alone: a bounded queue and one thread
// of low priority. What finds no room is dropped and counted; whoever offers never waits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/ids.hpp"
#include "model/loaded.hpp"
#include "serve/last_words.hpp"
#include "serve/prediction_log.hpp"
#include "serve/statistics.hpp"

namespace millrace::serve {

// One request's rows, once more.
struct ShadowTask {
  std::shared_ptr<const model::LoadedModel> model;
  std::shared_ptr<VersionStatistics> statistics;
  PredictionLog::Handle log;
  std::int64_t version = 0;
  std::vector<table::Row> rows;  // in the order of the model's inputs
  std::vector<std::string> keys;
  std::vector<Id> live;        // predictions that were answered
  std::vector<bool> unlogged;  // rows whose live line is not in the log have none here either; empty: none
};

class Shadow {
 public:
  static constexpr std::size_t kTasks_max = 256;
  static constexpr std::size_t kRows_max = 4096;  // of all tasks that wait

  // No thread before the first task. `log` and `words` may be nullptr.
  Shadow(Env& env, PredictionLog* log, LastWords* words);
  // A candidate that hangs is left behind: it touches nothing of ours any more when it comes back.
  ~Shadow();
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;

  // Whether a task of so many rows would find room; cheap. False where it would be dropped.
  bool has_room(std::size_t rows) const;
  // False: dropped. Never blocks.
  bool offer(ShadowTask task);

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state);
  static void answer(State& state, const ShadowTask& task);
  std::shared_ptr<State> state_;
};

}  // namespace millrace::serve
