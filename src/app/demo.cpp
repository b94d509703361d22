#include "app/demo.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <format>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "app/demo_client.hpp"
#include "app/local_commands.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/process.hpp"
#include "base/rng.hpp"
#include "cli/print.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::app {

namespace {

constexpr std::size_t first_train = 400, stream_end = 1400, holdout_end = 1797;
constexpr std::size_t labels_per_retrain = 100;

void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}
void pause_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// What was seen while the load ran. Guarded by `mutex`.
struct Book {
  std::mutex mutex;
  std::size_t sent = 0;      // requests that were answered
  std::size_t failed = 0;    // answered with an error, or not at all outside the outage
  std::size_t repeated = 0;  // sent again because the server was away
  double outage_ms = 0;
  double slowest_ms = 0;
  std::set<std::string> acknowledged;                 // prediction ids
  std::vector<std::pair<std::string, int>> to_label;  // waiting to be sent
  std::size_t labels_sent = 0;
  std::map<std::string, double> accuracy;  // on the last 397 images, by version
  std::vector<std::string> versions;       // in the order in which they answered
};

class Demo {
 public:
  Demo(const cli::DemoOptions& options, Env& env) : options_(options), env_(env), processes_(env.clock) {}

  Result<cli::Output> run() {
    auto path = options_.data.empty() ? "/data/digits.csv.gz" : options_.data;
    TRY(images_, read_digits(path));
    IdMaker ids(env_.clock, env_.rng);
    folder_ = join_path("/tmp", "millrace-demo-" + ids.make().text());
    TRY_VOID(env_.fs.make_dirs(folder_));
    TRY_VOID(write_file(env_.fs, join_path(folder_, "digits.csv"), images_csv(images_, 0, first_train)));
    TRY_VOID(write_file(env_.fs, join_path(folder_, "millrace.toml"), project_file()));
    auto result = drive();
    if (options_.keep && result) {
      say(std::format("\nthe server stays up: {}   folder {}   (end it with: millrace --server {} down)\n", url_,
                      folder_, url_));
      while (!interrupted() && !server_->poll()) pause_ms(200);
    }
    if (server_) {
      server_->terminate();
      while (!server_->wait(std::chrono::seconds(15))) server_->kill();
    }
    if (!result) {
      say("\nthe server's output:\n" + read_file(env_.fs, join_path(folder_, "up.out")).value_or("") + "\n");
      say(read_file(env_.fs, join_path(folder_, ".millrace/millrace.log")).value_or(""));
    }
    server_.reset();
    if (!options_.keep) (void)env_.fs.remove_all(folder_);
    return result;
  }

 private:
  std::string project_file() const {
    return std::format(R"([project]
name = "digits"
[source.digits]
uri = "file:digits.csv"
[model]
target = {{ column = "digits.digit", type = "multiclass" }}
trainer = {{ name = "boosted-trees", learning_rate = 0.15, depth = 4, rounds = 120, seed = {} }}
[gates]
"accuracy" = ">= 0.5"
"accuracy - baseline.accuracy" = "> error"
"accuracy - current.accuracy" = ">= -0.02"
"latency.p99" = "<= 50ms"
[retrain]
when = ["new_labels >= {}"]
)",
                       options_.seed, labels_per_retrain);
  }

  Result<void> start_server() {
    ProcessSpec spec;
    spec.argv = self_program("millrace");
    for (auto word : {"up", "--listen", "127.0.0.1:0", "--restart"}) spec.argv.emplace_back(word);
    spec.cwd = folder_;
    spec.stdout_path = spec.stderr_path = join_path(folder_, "up.out");
    // The server dies by SIGKILL right after a training's checkpoint was recorded, once. A training records one or two,
    // so the fifth comes while images are sent and before the last training.
    spec.env["MILLRACE_FAULT"] = "loop.checkpoint.after_commit=kill@5/once:" + join_path(folder_, "killed");
    TRY(server_, processes_.spawn(spec));
    return {};
  }

  Result<void> find_server(int seconds) {
    auto address = join_path(folder_, ".millrace/address");
    for (int i = 0; i < seconds * 20; ++i) {
      if (interrupted()) return fail(Code::cancelled, "demo.interrupted", "interrupted");
      if (server_->poll()) return fail(Code::unavailable, "demo.server_gone", "the server ended");
      if (auto text = read_file(env_.fs, address)) {
        auto url = text->substr(0, text->find('\n'));
        DemoClient client(env_, url);
        if (client.status()) {
          std::lock_guard lock(url_mutex_);
          url_ = url;
          return {};
        }
      }
      pause_ms(50);
    }
    return fail(Code::deadline_exceeded, "demo.server_slow", "the server did not answer in time");
  }
  // Where the server is now: it comes back on another port.
  std::string url() {
    auto text = read_file(env_.fs, join_path(folder_, ".millrace/address"));
    std::lock_guard lock(url_mutex_);
    if (text && text->contains('\n')) url_ = text->substr(0, text->find('\n'));
    return url_;
  }

  template <class Done>
  Result<void> wait_for(const char* what, int seconds, Done done) {
    for (int i = 0; i < seconds * 10; ++i) {
      if (interrupted()) return fail(Code::cancelled, "demo.interrupted", "interrupted");
      if (done()) return {};
      pause_ms(100);
    }
    return fail(Code::deadline_exceeded, "demo.too_slow", std::format("waited {} s for {}", seconds, what));
  }

  // Sends images [from, to) at a steady rate; an image that got no answer because the server was away is sent again.
  void generate(std::size_t from, std::size_t to) {
    auto client = std::make_unique<DemoClient>(env_, url());
    auto began = env_.clock.steady();
    std::optional<SteadyPoint> away_since;
    for (auto i = from; i < to && !interrupted() && !give_up_; ++i) {
      auto due = began + std::chrono::duration_cast<Duration>(
                             std::chrono::duration<double>(static_cast<double>(i - from) / options_.rate));
      while (env_.clock.steady() < due) pause_ms(1);
      for (;;) {
        auto answer = client->predict(images_, i, i + 1);
        std::unique_lock lock(book_.mutex);
        if (answer) {
          if (away_since) {
            book_.outage_ms += std::chrono::duration<double, std::milli>(env_.clock.steady() - *away_since).count();
            away_since.reset();
          }
          ++book_.sent;
          book_.slowest_ms = std::max(book_.slowest_ms, answer->front().ms);
          book_.acknowledged.insert(answer->front().id);
          book_.to_label.emplace_back(answer->front().id, images_[i].digit);
          break;
        }
        bool away = answer.error().code == Code::unavailable && exists(env_.fs, join_path(folder_, "killed"));
        if (!away) {
          ++book_.failed;
          last_failure_ = answer.error().message;
          break;
        }
        ++book_.repeated;
        if (!away_since) away_since = env_.clock.steady();
        lock.unlock();
        pause_ms(20);
        if (find_server(30)) client = std::make_unique<DemoClient>(env_, url());
        if (interrupted() || give_up_) return;
      }
    }
  }

  // True labels arrive later, in small batches and in an order of their own.
  void send_labels(SeededRng& rng) {
    for (;;) {
      pause_ms(300);
      std::vector<std::pair<std::string, int>> batch;
      {
        std::lock_guard lock(book_.mutex);
        auto& waiting = book_.to_label;
        auto late = labels_all_ ? 0 : std::min<std::size_t>(waiting.size(), 20);  // the newest ones are not known yet
        auto ready = waiting.size() - late;
        for (std::size_t i = ready; i > 1; --i) std::swap(waiting[i - 1], waiting[rng.below(i)]);
        batch.assign(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(ready));
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(ready));
        if (batch.empty() && labels_all_) return;
      }
      if (batch.empty()) continue;
      for (;;) {
        DemoClient client(env_, url());
        auto sent = client.label(batch);
        if (sent) break;
        if (interrupted() || give_up_) return;
        pause_ms(100);  // the server is away: the same batch again; labels are taken once however often they are sent
      }
      std::lock_guard lock(book_.mutex);
      book_.labels_sent += batch.size();
    }
  }

  // Each version that answers is measured on images that no version ever trained on.
  void measure() {
    std::string seen;
    while (!measured_enough_ && !interrupted()) {
      DemoClient client(env_, url());
      auto model = client.model();
      if (model && model->current) {
        auto name = std::format("digits:{}", *model->current);
        if (name != seen) {
          auto answers = client.predict(images_, stream_end, holdout_end);
          if (answers && answers->front().version == name) {
            std::size_t right = 0;
            for (std::size_t i = 0; i < answers->size(); ++i)
              right += (*answers)[i].digit == images_[stream_end + i].digit;
            auto accuracy = static_cast<double>(right) / static_cast<double>(answers->size());
            std::lock_guard lock(book_.mutex);
            for (const auto& one : *answers) book_.acknowledged.insert(one.id);
            if (!book_.accuracy.contains(name)) {
              book_.versions.push_back(name);
              book_.accuracy[name] = accuracy;
              say(std::format(
                  "  {:10}  answers; accuracy on the last 397 images {:.4f}   ({} images sent, {} labels)\n", name,
                  accuracy, book_.sent, book_.labels_sent));
            }
            seen = name;
          }
        }
      }
      pause_ms(100);
    }
  }

  Result<cli::Output> drive();
  cli::Output verdict(bool refused, double rollback_ms, const std::set<std::string>& logged, std::int64_t joined,
                      std::size_t candidates);

  cli::DemoOptions options_;
  Env& env_;
  SystemProcesses processes_;
  std::unique_ptr<Process> server_;
  std::string folder_;
  std::mutex url_mutex_;
  std::string url_;
  std::vector<Image> images_;
  Book book_;
  std::string last_failure_;
  std::atomic<bool> labels_all_{false};
  std::atomic<bool> give_up_{false};
  std::atomic<bool> measured_enough_{false};
};

// Threads that end with the demo, also when it ends early.
struct Ending {
  std::function<void()> stop;
  ~Ending() { stop(); }
};

Result<cli::Output> Demo::drive() {
  catch_signals();
  say("millrace demo: 1,797 real 8x8 digit images; trains on the first 400, serves, learns from labels as they "
      "arrive\n");
  TRY_VOID(start_server());
  TRY_VOID(find_server(30));
  say(std::format("  server     {}\n", url_));
  TRY_VOID(wait_for("the first version", 60, [&] {
    DemoClient client(env_, url());
    auto model = client.model();
    return model && model->current.has_value();
  }));
  SeededRng rng(options_.seed);
  std::thread measuring([&] { measure(); }), labelling([&] { send_labels(rng); }), generating;
  Ending ending{[&] {
    give_up_ = measured_enough_ = labels_all_ = true;
    for (auto* thread : {&generating, &labelling, &measuring}) {
      if (thread->joinable()) thread->join();
    }
  }};
  TRY_VOID(wait_for("the first measurement", 20, [&] {
    std::lock_guard lock(book_.mutex);
    return !book_.accuracy.empty();
  }));
  generating = std::thread([&] { generate(first_train, stream_end); });
  generating.join();
  labels_all_ = true;
  labelling.join();
  // Whatever the rules still ask for runs to its end.
  auto idle = [&] {
    DemoClient client(env_, url());
    auto status = client.status();
    return status && status->running.empty() && status->models.size() == 1 &&
           std::none_of(status->waiting.begin(), status->waiting.end(), [](const auto& line) {
             return line.contains("under way") || line.contains("assemble") || line.contains("live");
           });
  };
  TRY_VOID(wait_for("the last retraining", 60, idle));
  pause_ms(1500);
  TRY_VOID(wait_for("the last retraining", 60, idle));

  // Every label that was sent finds its prediction, also across the kill.
  (void)wait_for("the labels to be joined", 30, [&] {
    DemoClient asking(env_, url());
    auto status = asking.status();
    std::lock_guard lock(book_.mutex);
    return status && status->models.size() == 1 &&
           status->models.front().labels_joined == static_cast<std::int64_t>(book_.labels_sent);
  });
  DemoClient client(env_, url());
  say("  a candidate from shuffled labels is trained ...\n");
  TRY(auto before, client.model());
  auto begun = client.start_training({false, true, "demo: shuffled labels"});
  TRY_VOID(wait_for("a moment without a training", 60, [&] {  // the rules may have begun one just now
    if (begun || begun.error().reason != "loop.run_under_way") return true;
    if (auto model = client.model()) before = *std::move(model);
    begun = client.start_training({false, true, "demo: shuffled labels"});
    return begun.has_value();
  }));
  TRY(auto run, std::move(begun));
  TRY_VOID(wait_for("the shuffled candidate", 60, [&] {
    auto state = client.run(run);
    return state && (state->state == "finished" || state->state == "failed");
  }));
  TRY(auto shuffled, client.run(run));
  TRY(auto after, client.model());
  bool refused = shuffled.state == "finished" && shuffled.verdict == "failed" && after.current == before.current;
  say(std::format("  {:10}  {}\n", shuffled.version, refused ? "refused by its gates, as it must be" : "NOT refused"));

  say("  rolling back under load ...\n");
  std::thread more([&] { generate(first_train, first_train + static_cast<std::size_t>(options_.rate * 2)); });
  pause_ms(500);
  auto began = env_.clock.steady();
  auto moved = client.rollback();
  auto rollback_ms = std::chrono::duration<double, std::milli>(env_.clock.steady() - began).count();
  more.join();
  if (!moved) return fail(std::move(moved).error());
  say(std::format("  digits:{:<4} answers again after {:.0f} ms\n", moved->current, rollback_ms));
  TRY(auto status, client.status());
  measured_enough_ = true;
  measuring.join();

  std::set<std::string> logged;
  TRY_VOID(serve::read_prediction_log(env_.fs, join_path(folder_, ".millrace/log"),
                                      [&](const auto&, serve::LoggedPrediction&& line) -> Result<void> {
                                        logged.insert(line.id.text());
                                        return {};
                                      }));
  TRY(auto labels, client.model());
  auto joined = status.models.empty() ? 0 : status.models.front().labels_joined;
  return verdict(refused, rollback_ms, logged, joined, labels.versions.size());
}

cli::Output Demo::verdict(bool refused, double rollback_ms, const std::set<std::string>& logged, std::int64_t joined,
                          std::size_t candidates) {
  std::lock_guard lock(book_.mutex);
  auto missing = std::count_if(book_.acknowledged.begin(), book_.acknowledged.end(),
                               [&](const auto& id) { return !logged.contains(id); });
  double first = book_.versions.empty() ? 0 : book_.accuracy[book_.versions.front()];
  double last = book_.versions.empty() ? 0 : book_.accuracy[book_.versions.back()];
  double worst_step = 0;
  for (std::size_t i = 1; i < book_.versions.size(); ++i)
    worst_step = std::min(worst_step, book_.accuracy[book_.versions[i]] - book_.accuracy[book_.versions[i - 1]]);
  bool killed = exists(env_.fs, join_path(folder_, "killed"));
  bool all = true;
  cli::Table table({"checked", "seen", ""});
  auto line = [&](const std::string& what, const std::string& seen, bool held) {
    all = all && held;
    table.add({what, seen, held ? "ok" : "FAILED"});
  };
  line("requests answered", std::format("{}", book_.sent), book_.sent >= stream_end - first_train);
  line("requests failed outside the outage",
       std::format("{}{}", book_.failed, book_.failed ? ": " + last_failure_ : ""), book_.failed == 0);
  line("acknowledged predictions missing in the log", std::format("{} of {}", missing, book_.acknowledged.size()),
       missing == 0);
  line("labels sent", std::format("{}", book_.labels_sent), book_.labels_sent >= stream_end - first_train);
  line("labels joined with their predictions", std::format("{} of {}", joined, book_.labels_sent),
       joined == static_cast<std::int64_t>(book_.labels_sent));
  line("versions that answered", std::format("{} of {} candidates", book_.versions.size(), candidates),
       book_.versions.size() >= 3);
  line("accuracy on the last 397, first -> last", std::format("{:.4f} -> {:.4f}", first, last), last >= first + 0.08);
  line("largest step down between versions", std::format("{:+.4f}", worst_step), worst_step >= -0.02);
  line("candidate from shuffled labels", refused ? "refused" : "let through", refused);
  line("killed by SIGKILL after a checkpoint", killed ? "yes, and came back by itself" : "no", killed);
  line("outage as the generator saw it",
       std::format("{:.0f} ms, {} requests repeated", book_.outage_ms, book_.repeated), book_.outage_ms < 30000);
  line("slowest answer", std::format("{:.1f} ms", book_.slowest_ms), true);
  line("rollback under load", std::format("{:.0f} ms", rollback_ms), rollback_ms < 1000);
  return {"\n" + table.text() + (all ? "\nall of it held\n" : "\nNOT all of it held\n"), all ? 0 : 1};
}

}  // namespace

Result<cli::Output> demo_digits(const cli::DemoOptions& options, Env& env) { return Demo(options, env).run(); }

}  // namespace millrace::app
