// What `doctor --chaos` asks of the server that it kills, and the book of what that server acknowledged.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "cli/client.hpp"

namespace millrace::app {

// One thread at a time.
class ChaosClient {
 public:
  using Value = std::variant<std::string, double, bool>;

  ChaosClient(Env& env, std::string data_dir, std::function<void(int)> pause_ms)
      : env_(env), data_dir_(std::move(data_dir)), pause_ms_(std::move(pause_ms)) {}

  // Where the server is now. unavailable or not_found while it is not there.
  Result<void> find();
  bool there();
  bool ready();
  // Learns from the records what a row looks like. failed_precondition `chaos.no_model` when no version answers.
  Result<void> learn();

  // One request of a random kind: most predict, some label, move an alias, train or collect garbage. Only an error that
  // means "no answer" is returned; a refusal is an answer, and what should not have been refused is in failures().
  Result<void> act(Rng& rng);
  // No job runs and none is about to.
  Result<bool> at_rest();
  // What was acknowledged since forget(), asked for one by one; the first thing that is not there, or "".
  Result<std::string> missing();
  void forget();

  std::int64_t answered() const { return answered_; }
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  Result<void> predict(Rng& rng);
  Result<void> label(Rng& rng);
  Result<std::string> result_of(const std::string& job);
  // An answer, or why there is none; a refusal that may happen is an answer too.
  Result<std::optional<std::string>> ask(std::string_view method, const std::string& path, std::string body);

  Env& env_;
  std::string data_dir_;
  std::function<void(int)> pause_ms_;
  std::optional<cli::Client> client_;
  std::string model_;
  std::vector<std::string> rows_;  // JSON
  std::vector<std::pair<std::string, Value>> predicted_;
  std::vector<std::string> labelled_;
  std::int64_t answered_ = 0;
  std::vector<std::string> failures_;
};

}  // namespace millrace::app
