// Keeps wanted model versions in memory, swaps them without a failed request, answers predictions and logs them.
// Wanted versions come through an interface: the same process answers it directly, a remote predictor over the native
// API.
#pragma once

#include <atomic>
#include <condition_variable>
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
#include "serve/choice.hpp"
#include "serve/fallback.hpp"
#include "serve/last_words.hpp"
#include "serve/prediction_log.hpp"
#include "serve/statistics.hpp"
#include "serve/swap.hpp"
#include "serve/turn.hpp"

namespace millrace {
class Tracer;
}

namespace millrace::serve {

inline constexpr std::string_view kOnDisk = "serve.on_disk";  // see Predictor::hold()

// One content of a version. Where a number gets other content (a folder's file was replaced) that is loaded beside what
// answers, as another version would be.
struct VersionRef {
  std::int64_t number = 0;
  Digest artifact;
  bool operator==(const VersionRef&) const = default;
};
// A release under way: its candidate is in memory beside what takes traffic.
struct WantedRelease {
  std::string id;
  VersionRef candidate;
  double weight = 0;    // share of the requests that it answers, by release_side.hpp
  bool shadow = false;  // it answers what current answers once more, for the log alone
  bool operator==(const WantedRelease&) const = default;
};
struct WantedModel {
  std::string name;
  std::optional<VersionRef> current;
  std::optional<VersionRef> previous;
  bool refuse_unlogged = false;    // no answer without a line in the prediction log
  double log_share = 1;            // of the rows that get a line there
  std::vector<VersionRef> others;  // these answer by number, the best first
  bool fall_back = false;          // see WantedVersions
  bool pinned = false;             // never leaves memory for another model
  std::optional<WantedRelease> release;
  bool probation = false;          // current is: its lines say so
  std::optional<Watched> watched;  // on the disk before the version is loaded, and before it takes over
  Fallback fallback;
  TurnPolicy turns;
  BatchPolicy batching;
};

class WantedSource {
 public:
  virtual ~WantedSource() = default;
  virtual Result<std::vector<WantedModel>> wanted() = 0;
};

// Makes versions into proven models.
class VersionSource {
 public:
  virtual ~VersionSource() = default;
  // From any thread, several at once. Any error: that version is not served, and its message is in states().
  virtual Result<std::shared_ptr<const model::LoadedModel>> load(const std::string& model, const VersionRef& ref,
                                                                 const model::RuntimeOptions& options) = 0;
};
// Out of artifacts that are blobs.
class BlobVersions final : public VersionSource {
 public:
  explicit BlobVersions(blob::Store& blobs, std::uint64_t bytes_max = std::uint64_t{1} << 30)
      : blobs_(blobs), bytes_max_(bytes_max) {}
  Result<std::shared_ptr<const model::LoadedModel>> load(const std::string& model, const VersionRef& ref,
                                                         const model::RuntimeOptions& options) override;

 private:
  blob::Store& blobs_;
  std::uint64_t bytes_max_;
};

class Shadow;

enum class RowFormat { json, csv };

struct PredictRequest {
  std::string_view model;
  std::string_view body;
  RowFormat format = RowFormat::json;
  std::optional<std::int64_t> version;  // by number; absent: what takes traffic
  Turn turn;                            // see hold() and admit()
  Choice choice = {};                   // where `version` names none
  // Gets the version that answered in place of the one asked: Held::fell_back(). Null: nobody wants to know.
  std::optional<std::int64_t>* fell_back_to = nullptr;
};

// What is wrong with a request, for the answer's own fields; empty where the error is not about a place in the body.
using model::Problem;

// Rows answered and logged, by row.
struct Answered {
  std::vector<model::Answer> answers;
  std::vector<Id> ids;
  std::vector<bool> unlogged;  // rows without a line: it could not be kept, or is outside of the share; empty: none
  bool fallback = false;       // of another version than the one asked, or of none: Held says which
};

// Tensors answered, for a model that takes tensors (model::Manifest::tensors).
struct AnsweredTensors {
  model::TensorAnswer answer;
  Id id;  // of the request
};

class Predictor {
 public:
  struct Config {
    model::RuntimeOptions runtime;
    // Of loaded models, as they say themselves; 0: no bound. Above it the one that was asked for longest ago leaves
    // memory, and comes back when it is asked for: hold() says how.
    std::uint64_t memory_bytes_max = 0;
    Duration wait_max = std::chrono::seconds(10);  // of a request for a model that is on its way into memory
    int load_threads = 1;                          // of reconcile(), where several models are to be loaded
    bool drop_unnamed = false;  // a model that wanted() names no more is let go; else it stays as it is
    // Ready when each model answered or failed once and one answers; else when each answered once.
    bool ready_with_failures = false;
    std::size_t queue_max = 64;       // requests of one model that wait or are computed off the event loops
    std::size_t concurrency = 0;      // of them, computed at once, where the model does not say; 0: no bound
    std::size_t batch_waiters = 6;    // of a model with batching, on the pool at once: each has a thread of it
    Tracer* tracer = nullptr;         // of loads and swaps; outlives the predictor
    LastWords* last_words = nullptr;  // where that is noted, of one model; outlives the predictor
  };
  struct ModelState {
    std::string name;
    std::optional<std::int64_t> serving;
    std::vector<VersionState> versions;
    std::string error;  // why the wanted version does not serve; "" when it does
    std::uint64_t requests = 0;
    std::uint64_t rows = 0;
    std::uint64_t unseen = 0;          // categories that training had not seen
    std::uint64_t not_logged = 0;      // rows answered whose line the prediction log could not keep
    std::uint64_t not_sampled = 0;     // rows outside of the share that gets lines
    std::uint64_t loads = 0;           // into memory that succeeded
    std::uint64_t bytes = 0;           // in memory now, all versions
    std::uint64_t shadow_dropped = 0;  // requests that a shadow had no room for
  };
  struct Memory {
    std::uint64_t bytes = 0;                // of loaded models
    std::uint64_t loads = 0;                // that brought back a model that had left
    std::uint64_t leaves = 0;               // models that left for others
    std::size_t resident = 0, on_disk = 0;  // versions
  };
  // Of the newest row whose line could not be kept, whether it was answered or refused.
  struct Unlogged {
    TimePoint at{};
    std::string why;
    bool lasts = false;  // nothing was kept since
  };

  Predictor(const Config& config, Env& env, WantedSource& wanted, VersionSource& versions, PredictionLog* log);
  // `log` nullptr: no lines are kept, and no answer says that it has none.
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
  Memory memory() const;

  // The answer's JSON text: one row:
  // {"prediction":..,"probability":..,"probabilities":{..},"model":"churn:3","id":"..", "took_ms":..}; several:
  // {"predictions":[{.. "id":..},..],"model":..,"took_ms":..}. Logged before it is returned; a row whose line the
  // disk does not take, or that is outside of the share that gets lines, has "logged":false, and where its model wants
  // no such answers the request is refused: unavailable `serve.not_logged`. No SQL, no queue, no system call.
  // Thread-safe. not_found `serve.no_model`, `serve.not_loaded`; unavailable `serve.not_ready`; the row errors of
  // model/rows.hpp, with `problem` filled.
  Result<std::string> predict(const PredictRequest& request, Problem* problem);

  // The same in two steps, for protocols that read rows and write answers in their own way.
  class Held;
  // What takes traffic, or the version asked for. Errors as predict().
  // A version that left memory: unavailable `serve.on_disk`; with `may_wait` it is loaded first, once however many
  // wait, each at most Config::wait_max: then unavailable `serve.load_waits`.
  Result<Held> hold(std::string_view model, std::optional<std::int64_t> version) const;
  Result<Held> hold(std::string_view model, std::optional<std::int64_t> version, bool may_wait);
  // The same, and where `choice` names no version a release may still give the request to its candidate: rows(). A
  // version that is not there: not_found `serve.not_loaded`, `serve.no_candidate`, naming those that are.
  Result<Held> hold(std::string_view model, const Choice& choice, bool may_wait);
  // The request's rows as the held version's own `read` gives them (Result<model::ParsedRows>(const
  // model::LoadedModel&), perhaps called twice). During a release the first row's key decides, or the prediction's id
  // where it has none, which version answers the whole request, and `held` and `measure` become that one's. Rows that
  // what takes traffic can read and the candidate can't are answered by the former, and count as failures of the
  // latter.
  template <class Read>
  Result<model::ParsedRows> rows(Held& held, Measure& measure, Read&& read);
  std::vector<std::string> names() const;  // of all models here, in order. No lock
  // Computes, logs, counts; row errors as predict(). `rows` are as the held model's own parser makes them. Where the
  // version fails by its own fault, and the request named none, its model's fallback answers: `held` and `measure`
  // become that one's.
  Result<Answered> answer(Held& held, const model::ParsedRows& rows, Measure& measure);
  // The same for a model that takes tensors: `inputs` as model::check_tensors() gives them, `outputs` by their places
  // in the signature. Counted as answer() counts; the prediction log holds rows, so no line is kept. Errors of
  // model::TensorModel::run().
  Result<AnsweredTensors> answer_tensors(const Held& held, std::span<const model::TensorView> inputs,
                                         std::span<const std::size_t> outputs, Measure& measure);
  // A bare model's matrix (model::Manifest::bare_outputs): `features` of `rows`, NaN missing, none infinite; the
  // outputs, FP32 [rows, outputs], as answer() gives them. Only where no log is kept (keeps_log()): its lines hold
  // rows.
  Result<AnsweredTensors> answer_matrix(const Held& held, std::span<const float> features, std::size_t rows,
                                        Measure& measure);
  bool keeps_log() const { return log_; }
  // Rows of a model that takes tensors, and rows besides (model::row_inputs()): all outputs, of all rows at once, or of
  // one after the other where the model takes one. invalid_argument `serve.not_by_row`: it takes no rows.
  Result<std::vector<AnsweredTensors>> answer_tensor_rows(const Held& held, const model::ParsedRows& rows,
                                                          Measure& measure);
  // Whether a request may be computed now, where it is; not where it may go with others (BatchPolicy). One that would
  // take longer than kOnLoopMax, by what the last ones took for their size, is too long for an event loop: it gets a
  // place in its model's queue and unavailable `serve.on_disk`; the caller answers with the error, and is asked again
  // on a pool, when its model's lane lets it. Where Config::queue_max have such a place: unavailable
  // `serve.overloaded`.
  Result<void> admit(const Held& held, const Turn& turn) const;
  static constexpr Duration kOnLoopMax = std::chrono::microseconds(500);
  static constexpr std::size_t kOnLoopBytesMax = 64u << 10;  // while nothing is known of a model that takes rows
  // For one request: made before its rows are read, told of the answer that is written. `held` outlives it.
  Measure measure(const Held& held, const Turn& turn = {}) const;
  std::vector<ModelReport> statistics() const;  // by name. No lock

  std::optional<Unlogged> unlogged() const;

  // The loaded version; nullptr when it is not in memory. It may have let go what explanations need: who wants those
  // loads the version once more, with these options.
  std::shared_ptr<const model::LoadedModel> loaded(std::string_view model, std::int64_t version) const;
  const model::RuntimeOptions& runtime_options() const { return config_.runtime; }

 private:
  struct Served;   // one loaded version
  struct Entry;    // one version: its state, and the loaded version while it is in memory
  struct Known;    // what is known of one model: its versions, failures, counters
  struct Routed;   // one model in it
  struct Routing;  // immutable snapshot that requests read

  Result<std::shared_ptr<const Served>> load(const std::string& name, const VersionRef& ref, double log_share,
                                             std::shared_ptr<VersionStatistics> statistics);
  void share_log(Known& known, double share);
  void set_turns(Known& known, const TurnPolicy& turns, const BatchPolicy& batching);
  void act(Known& known, const WantedModel& wanted);
  void act_load(Known& known, const VersionRef& ref, std::int64_t key);
  void let_go(Known& known, std::int64_t key);
  void drop_unnamed(const std::vector<WantedModel>& wanted);
  Result<void> bring(std::string_view name, std::optional<std::int64_t> version);
  void make_room(std::uint64_t bytes, std::vector<std::shared_ptr<const Served>>& left);
  void publish(Known& known);          // with mutex_
  void unpublish(const Known& known);  // with mutex_
  void put(std::string_view name, std::shared_ptr<const Routed> routed);

  Config config_;
  Env& env_;
  WantedSource& wanted_;
  VersionSource& versions_;
  PredictionLog* log_;
  IdMaker ids_;
  std::atomic<std::shared_ptr<const Routing>> routing_;
  mutable std::mutex mutex_;  // known_, memory_, what is in them
  std::condition_variable brought_;
  std::map<std::string, std::shared_ptr<Known>, std::less<>> known_;
  Memory memory_;
  std::atomic<bool> ready_ = false;
  std::atomic<bool> names_known_ = false;  // wanted() has answered once
  std::atomic<bool> unlogged_lasts_ = false;
  std::atomic<std::uint64_t> let_go_bytes_ = 0;  // since free memory was given back
  std::optional<Unlogged> unlogged_;             // guarded by mutex_
  void line_missed(const std::string& model, const Error& why);
  void line_kept();
  void cast_shadow(const Held& held, const model::ParsedRows& rows, const Answered& answered);
  std::unique_ptr<Shadow> shadow_;
  static std::string loaded_text(const Routed& routed);  // "3, 2"
  static void compare_inputs(Routed& routed);
  Result<std::vector<model::Answer>> compute(const Held& held, const std::vector<table::Row>& rows, const Id& id,
                                             model::EncodeStats& stats, Measure& measure);
  bool batches(const Held& held) const;
  Result<std::vector<model::Answer>> compute_rows(const Held& held, const std::vector<table::Row>& rows,
                                                  model::EncodeStats& stats, Measure& measure);
  Result<void> compute_matrix(const Held& held, std::span<const float> features, std::size_t rows,
                              std::vector<float>& outputs, Measure& measure);
  Result<model::TensorAnswer> compute_tensors(const Held& held, std::span<const model::TensorView> inputs,
                                              std::span<const std::size_t> outputs, std::size_t rows, Measure& measure);
  template <class Part, class Alone, class Together>
  void in_batch(const Held& held, Part& part, Measure& measure, const Alone& alone, const Together& together);
  struct StoodIn;
  std::optional<StoodIn> stand_in(Held& held, const model::ParsedRows& rows, Measure& measure,
                                  model::EncodeStats& stats, const Error& why);
  void make_constant(const Known& known, Routed& routed);
  Result<void> watch(const std::vector<WantedModel>& wanted);
  Result<model::ParsedRows> settle(Held& held, Measure& measure, model::ParsedRows rows,
                                   const std::function<Result<model::ParsedRows>(const model::LoadedModel&)>& read);
  Result<std::string> predict_tensors(const Held& held, const PredictRequest& request, Problem* problem);
  std::mutex reconcile_mutex_;
};

// A loaded version; it stays in memory while this lives.
class Predictor::Held {
 public:
  const model::LoadedModel& model() const;
  std::int64_t version() const;
  const std::string& name_and_version() const;  // "churn:3"
  std::vector<std::int64_t> versions() const;   // of this model, those in memory at that moment, in order
  Why why() const { return why_; }
  // answer() made it of what answers in place of the version asked: the version before, or version() 0, a constant.
  bool fell_back() const { return why_ == Why::fallback; }
  bool undecided() const;  // rows() may make another version of it

 private:
  friend class Predictor;
  Held(std::shared_ptr<const Routing> routing, const Routed* of, const Served* served)
      : routing_(std::move(routing)), of_(of), served_(served) {}
  std::shared_ptr<const Routing> routing_;
  const Routed* of_;  // the model in it
  const Served* served_;
  Why why_ = Why::current;
  bool by_traffic_ = false;     // nobody named a version
  bool candidate_ = false;      // of a release
  std::optional<Id> first_id_;  // of its first row's prediction, where that had to be known early
};

template <class Read>
Result<model::ParsedRows> Predictor::rows(Held& held, Measure& measure, Read&& read) {
  TRY(auto rows, read(held.model()));
  if (!held.undecided()) return rows;
  return settle(held, measure, std::move(rows), std::forward<Read>(read));
}

}  // namespace millrace::serve
