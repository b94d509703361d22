#include "loop/controller.hpp"

#include "base/log.hpp"
#include "base/memory.hpp"

namespace millrace::loop {

namespace {

constexpr auto look_every = std::chrono::milliseconds(1000);
// Each training and swap leaves holes in the heaps of the threads that took part, 0.1 to 0.2 MB of them, which nothing
// but this gives back.
constexpr auto give_memory_back_every = std::chrono::minutes(1);

}  // namespace

Controller::Controller(Env& env, Service& service, serve::Predictor& predictor, serve::PredictionLog& log,
                       train::Worker* worker)
    : env_(env), service_(service), predictor_(predictor), log_(log), worker_(worker) {}

Controller::~Controller() { stop(); }

void Controller::also(std::string what, std::function<Result<void>()> act) {
  also_.emplace_back(std::move(what), std::move(act));
}

void Controller::start() {
  thread_ = std::thread([this] { run(); });
}

void Controller::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Controller::wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

std::vector<std::string> Controller::waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_;
}

std::vector<std::string> Controller::troubles() const {
  std::lock_guard lock(mutex_);
  return troubles_;
}

void Controller::run() {
  for (;;) {
    look();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, look_every, [&] { return stopping_ || woken_; });
    if (stopping_) return;
    woken_ = false;
  }
}

// On a thread of its own: it may take minutes, and the loop goes on meanwhile.
void Controller::look_at_garbage() {
  if (collecting_ || !service_.garbage_is_due()) return;
  collecting_ = true;
  auto posted = chores_.post([this] {
    if (auto done = service_.collect_garbage(false); !done && done.error().reason != "blob.gc_running")
      env_.log.warn("gc_failed", {{"reason", done.error().reason}, {"error", done.error().message}});
    collecting_ = false;
  });
  if (!posted) collecting_ = false;
}

// Copies files, so beside the loop too.
void Controller::write_batches() {
  if (writing_batches_.exchange(true)) return;
  auto posted = chores_.post([this] {
    if (auto done = service_.write_batches(); !done)
      env_.log.warn("batch_not_written", {{"reason", done.error().reason}, {"error", done.error().message}});
    writing_batches_ = false;
  });
  if (!posted) writing_batches_ = false;
}

// Each part is tried whatever became of the one before; what fails is tried again at the next look.
void Controller::look() {
  std::map<std::string, std::string> failures;
  auto attempt = [&](const std::string& what, const Result<void>& done) {
    if (done) return;
    failures[what] = done.error().message;
    if (auto before = failures_.find(what); before != failures_.end() && before->second == done.error().message) return;
    env_.log.warn("look_failed", {{"what", what}, {"reason", done.error().reason}, {"error", done.error().message}});
  };
  auto& store = service_.store();
  store.hold_back_room();
  const auto stopped = store.stopped();
  attempt("records", stopped ? Result<void>(fail(*stopped)) : Result<void>());
  attempt("log", log_.sync());
  auto expired = service_.jobs().expire();
  attempt("leases", expired ? Result<void>() : Result<void>(fail(expired.error())));
  attempt("pipelines", service_.look_at_pipelines());
  attempt("serving", predictor_.reconcile());
  attempt("releases", service_.look_at_releases(predictor_));
  if (auto project = service_.project(); project) {
    for (const auto& source : project->sources) {
      auto done = service_.ingest_if_changed(source.name);
      attempt("source " + source.name, done ? Result<void>() : Result<void>(fail(done.error())));
    }
    auto decision = service_.look_at_rules();
    attempt("rules", decision ? Result<void>() : Result<void>(fail(decision.error())));
    std::lock_guard lock(mutex_);
    waiting_ = decision ? decision->waiting : std::vector<std::string>();
  }
  if (service_.project()) {
    attempt("batches", service_.look_at_batches());
    if (service_.batches_to_write()) write_batches();
    attempt("live", service_.look_at_live());
    attempt("retention", service_.look_at_retention());
    attempt("rolling the log", service_.look_at_log());
  }
  for (const auto& [what, act] : also_) attempt(what, act());
  look_at_garbage();
  if (const auto now = env_.clock.steady(); now - gave_memory_back_ >= give_memory_back_every) {
    gave_memory_back_ = now;
    return_free_memory();
  }
  {
    std::lock_guard lock(mutex_);
    troubles_.clear();
    for (const auto& [what, message] : failures) troubles_.push_back(what + ": " + message);
  }
  failures_ = std::move(failures);
  if (worker_) worker_->wake();
}

}  // namespace millrace::loop
