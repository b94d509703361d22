// Keeps wanted model versions in memory, swaps them without a failed request, answers predictions and logs them.
// Wanted versions come through an interface: the same process answers it directly, a remote predictor over the native
// API.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "blob/blob.hpp"
#include "model/loaded.hpp"
#include "serve/prediction_log.hpp"
#include "serve/swap.hpp"

namespace millrace::serve {

struct VersionRef {
  std::int64_t number = 0;
  Digest artifact;
};
struct WantedModel {
  std::string name;
  std::optional<VersionRef> current;
  std::optional<VersionRef> previous;
  bool refuse_unlogged = false;  // no answer without a line in the prediction log
  double log_share = 1;          // of the rows that get a line there
};

class WantedSource {
 public:
  virtual ~WantedSource() = default;
  virtual Result<std::vector<WantedModel>> wanted() = 0;
};

enum class RowFormat { json, csv };

struct PredictRequest {
  std::string_view model;
  std::string_view body;
  RowFormat format = RowFormat::json;
  std::optional<std::int64_t> version;  // current or previous by number; absent: what takes traffic
};

// What is wrong with a request, for the answer's own fields; empty where the error is not about a place in the body.
using model::Problem;

// Rows answered and logged, by row.
struct Answered {
  std::vector<model::Answer> answers;
  std::vector<Id> ids;
  std::vector<bool> unlogged;  // rows without a line: it could not be kept, or is outside of the share; empty: none
};

class Predictor {
 public:
  struct Config {
    model::RuntimeOptions runtime;
    std::uint64_t artifact_bytes_max = std::uint64_t{1} << 30;
  };
  struct ModelState {
    std::string name;
    std::optional<std::int64_t> serving;
    std::vector<VersionState> versions;
    std::string error;  // why the wanted version does not serve; "" when it does
    std::uint64_t requests = 0;
    std::uint64_t rows = 0;
    std::uint64_t unseen = 0;       // categories that training had not seen
    std::uint64_t not_logged = 0;   // rows answered whose line the prediction log could not keep
    std::uint64_t not_sampled = 0;  // rows outside of the share that gets lines
  };
  // Of the newest row whose line could not be kept, whether it was answered or refused.
  struct Unlogged {
    TimePoint at{};
    std::string why;
    bool lasts = false;  // nothing was kept since
  };

  Predictor(const Config& config, Env& env, WantedSource& wanted, blob::Store& blobs, PredictionLog& log);
  ~Predictor();

  // Looks what is wanted and does all of it that can be done now: fetch, verify, load, prove by golden rows, swap. The
  // old version answers meanwhile and finishes its requests. One at a time; a second caller waits. An error is only
  // that the wanted versions could not be read: a version that does not load is in states(), tried again later, and
  // what serves goes on.
  Result<void> reconcile();
  // When reconcile() has something to do though nobody changed a wish: a failed load is due again.
  std::optional<SteadyPoint> next_retry() const;
  // There are models, and each had a version that answers. Stays so: while a newer version is loaded, and when it can't
  // be, the one before it answers; whether a model that joins later answers is in states().
  bool ready() const;
  std::vector<ModelState> states() const;

  // The answer's JSON text: one row:
  // {"prediction":..,"probability":..,"probabilities":{..},"model":"churn:3","id":"..", "took_ms":..}; several:
  // {"predictions":[{.. "id":..},..],"model":..,"took_ms":..}. Logged before it is returned; a row outside of
  // the share that gets lines has "logged":false; so has one whose line the disk does not take, and where its model
  // wants no such answers the request is refused: unavailable `serve.not_logged`. No SQL, no queue, no system call.
  // Thread-safe. not_found `serve.no_model`, `serve.not_loaded`; unavailable `serve.not_ready`; the row errors of
  // model/rows.hpp, with `problem` filled.
  Result<std::string> predict(const PredictRequest& request, Problem* problem);

  // The same in two steps, for protocols that read rows and write answers in their own way.
  class Held;
  // What takes traffic, or the version asked for. Errors as predict().
  Result<Held> hold(std::string_view model, std::optional<std::int64_t> version) const;
  std::vector<std::string> names() const;  // of all models here, in order. No lock
  // Computes, logs, counts; row errors as predict(). `rows` are as the held model's own parser makes them.
  Result<Answered> answer(const Held& held, const model::ParsedRows& rows);

  std::optional<Unlogged> unlogged() const;

  // The loaded version; nullptr when it is not in memory. It may have let go what explanations need: who wants those
  // loads the version once more, with these options.
  std::shared_ptr<const model::LoadedModel> loaded(std::string_view model, std::int64_t version) const;
  const model::RuntimeOptions& runtime_options() const { return config_.runtime; }

 private:
  struct Served;   // one loaded version
  struct Known;    // what is known of one model: loads, failures, counters
  struct Routed;   // one model in it
  struct Routing;  // immutable snapshot that requests read

  Result<std::shared_ptr<const Served>> load(const std::string& name, const VersionRef& ref, double log_share);
  void share_log(Known& known, double share);
  void act(Known& known, const WantedModel& wanted);
  void publish();

  Config config_;
  Env& env_;
  WantedSource& wanted_;
  blob::Store& blobs_;
  PredictionLog& log_;
  IdMaker ids_;
  std::atomic<std::shared_ptr<const Routing>> routing_;
  mutable std::mutex mutex_;  // known_
  std::map<std::string, std::unique_ptr<Known>, std::less<>> known_;
  std::atomic<bool> ready_ = false;
  std::atomic<bool> unlogged_lasts_ = false;
  std::optional<Unlogged> unlogged_;  // guarded by mutex_
  void line_missed(const std::string& model, const Error& why);
  void line_kept();
  std::mutex reconcile_mutex_;
};

// A loaded version; it stays in memory while this lives.
class Predictor::Held {
 public:
  const model::LoadedModel& model() const;
  std::int64_t version() const;
  const std::string& name_and_version() const;  // "churn:3"
  std::vector<std::int64_t> versions() const;   // of this model, those in memory at that moment, in order

 private:
  friend class Predictor;
  using Of = std::pair<const std::string, Routed>;
  Held(std::shared_ptr<const Routing> routing, const Of* of, const Served* served)
      : routing_(std::move(routing)), of_(of), served_(served) {}
  std::shared_ptr<const Routing> routing_;
  const Of* of_;  // the model in it
  const Served* served_;
};

}  // namespace millrace::serve
