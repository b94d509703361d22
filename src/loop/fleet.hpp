// Predictors on other machines, as the server sees them: which wish is the newest, who was heard of, and what they
// said. A wish is what serve::WantedSource answers at one moment; each change of it gets the next number.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"
#include "serve/predictor.hpp"

namespace millrace::loop {

struct NumberedWish {
  std::int64_t number = 0;
  std::string digest;  // of its content
  std::vector<serve::WantedModel> models;
};
// The same wishes give the same digest.
std::string wish_digest(const std::vector<serve::WantedModel>& models);

struct FleetVersion {
  std::int64_t version = 0;
  bool loaded = false;
  std::string error;
  std::int64_t asked = 0, broke = 0;  // since it was loaded there
};
struct FleetModel {
  std::string name;
  std::optional<std::int64_t> serving;
  std::string error;
  std::vector<FleetVersion> versions;
  std::int64_t requests = 0, rows = 0, not_logged = 0;
};
// What its earlier process died of. Its release knows the requests.
struct FleetDeath {
  std::string model, release;
  std::int64_t signal = 0;
  std::string name;
  std::int64_t version = 0;
  std::string at;
};
struct FleetReport {
  std::string name, address, grpc, program, process;
  std::int64_t wish = 0;
  std::string wish_digest;
  bool ready = false;
  std::vector<FleetModel> models;
  std::int64_t unshipped_bytes = 0, unshipped_bytes_max = 0;
  std::string trouble;
  std::optional<FleetDeath> death;
};
// Stored records of this program's, one JSON object.
std::string render_report(const FleetReport& report);
Result<FleetReport> parse_fleet_report(std::string_view text);

struct FleetPredictor {
  std::string id;
  FleetReport report;
  TimePoint heard{};
  bool connected = false;  // heard of within kConnected
  bool reached = false;    // serves by the newest wish
};

// Requests of one version that predictors reported since this process began.
struct FleetCounts {
  std::int64_t asked = 0, broke = 0;
};
// What the connected predictors say of a version.
struct FleetSeen {
  int connected = 0;
  int loaded = 0;      // of those: it is in memory there
  int serving = 0;     // it takes traffic there
  std::string error;   // why it is not in memory, of one where it failed
  FleetCounts counts;  // of all that were ever connected
};

// Thread-safe.
class Fleet {
 public:
  static constexpr Duration kConnected = std::chrono::seconds(15);
  static constexpr Duration kForgotten = std::chrono::days(30);
  static constexpr std::size_t kPredictorsMax = 1000;

  // `wanted` outlives it.
  static Result<std::unique_ptr<Fleet>> open(Env& env, meta::Store& store, serve::WantedSource& wanted);

  // Looks what is wanted now, and gives it a number where it is another wish than before: durable when it returns.
  Result<std::shared_ptr<const NumberedWish>> look();
  // As of the last look; nullptr before the first.
  std::shared_ptr<const NumberedWish> newest() const;

  // A sign of life of one that has reported before.
  void waits(std::string_view id);
  // resource_exhausted `loop.too_many_predictors`.
  Result<void> hear(const std::string& id, FleetReport report);
  bool knows(std::string_view id) const;
  std::vector<FleetPredictor> list() const;          // by name
  std::vector<std::string> behind() const;           // names of those connected that do not serve by the newest wish
  std::vector<std::string> wait(Duration patience);  // until nobody is behind, or as long; who is then
  FleetSeen seen(std::string_view model, std::int64_t version) const;
  // Whether an artifact is of the newest wish: predictors get nothing else.
  bool wants(const Digest& artifact) const;

 private:
  struct Known {
    FleetReport report;
    TimePoint heard{};
    std::optional<SteadyPoint> heard_here;  // by this process
    SteadyPoint kept{};
    std::string kept_text;
  };
  Fleet(Env& env, meta::Store& store, serve::WantedSource& wanted) : env_(env), store_(store), wanted_(wanted) {}
  bool connected(const Known& known) const;
  bool reached(const Known& known) const;
  void count(const Known* before, const FleetReport& report);
  std::vector<std::string> behind_locked() const;

  Env& env_;
  meta::Store& store_;
  serve::WantedSource& wanted_;
  std::mutex look_mutex_;
  mutable std::mutex mutex_;  // all below
  std::condition_variable heard_;
  std::shared_ptr<const NumberedWish> newest_;
  std::map<std::string, Known, std::less<>> known_;
  std::map<std::pair<std::string, std::int64_t>, FleetCounts, std::less<>> counts_;
};

}  // namespace millrace::loop
