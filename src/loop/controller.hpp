// Keeps the loop turning on one server: a thread that looks again, about every second and whenever something changed,
// at what is and does what is missing. Level-triggered: a look too many changes nothing, a look missed is made up by
// the next.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/env.hpp"
#include "base/executor.hpp"
#include "loop/service.hpp"
#include "serve/predictor.hpp"
#include "train/worker.hpp"

namespace millrace::loop {

class Controller {
 public:
  Controller(Env& env, Service& service, serve::Predictor& predictor, serve::PredictionLog& log, train::Worker* worker);
  ~Controller();  // stop()

  // Something else to do at each look, under a name for status. Before start().
  void also(std::string what, std::function<Result<void>()> act);
  void start();
  void stop();
  void wake();  // something changed: look now; never blocks
  // What the last look found, for status: what the rules wait for, and what could not be looked at.
  std::vector<std::string> waiting() const;
  std::vector<std::string> troubles() const;

 private:
  void run();
  void look();
  void look_at_garbage();
  void write_batches();

  Env& env_;
  Service& service_;
  serve::Predictor& predictor_;
  serve::PredictionLog& log_;
  train::Worker* worker_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  bool stopping_ = false;
  std::vector<std::string> waiting_;
  std::vector<std::string> troubles_;
  std::map<std::string, std::string> failures_;  // of the last look, by part; only a new one is logged
  std::vector<std::pair<std::string, std::function<Result<void>()>>> also_;
  std::thread thread_;
  std::atomic<bool> collecting_ = false;
  std::atomic<bool> writing_batches_ = false;
  ThreadExecutor chores_{"chores", 4};
  SteadyPoint gave_memory_back_{};
};

}  // namespace millrace::loop
