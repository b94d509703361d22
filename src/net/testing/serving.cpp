#include "net/testing/serving.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "base/digest.hpp"

namespace millrace::net {

namespace {

// Digests what it gets. The name says how it behaves: "full" fails at a million bytes, "unfinished" at the end.
class DigestSink final : public UploadSink {
 public:
  DigestSink(Serving& serving, std::string name) : serving_(serving), name_(std::move(name)) {}
  Result<void> append(std::span<const std::byte> piece) override {
    digest_.update(piece);
    bytes_ += piece.size();
    if (name_ == "full" && bytes_ > 1'000'000) return fail(Code::resource_exhausted, "test.full", "full");
    return ok();
  }
  Result<Response> finish() override {
    if (name_ == "unfinished") return fail(Code::failed_precondition, "test.unfinished", "unfinished");
    serving_.uploads.add("finish " + name_);
    return text_response(std::to_string(bytes_) + " " + digest_.finish().hex());
  }
  void abort(const Error& why) override { serving_.uploads.add("abort " + name_ + " " + why.reason); }

 private:
  Serving& serving_;
  const std::string name_;
  Sha256 digest_;
  std::uint64_t bytes_ = 0;
};

// "count": three lines and the end. "fail": a line, then an error. "forever": a line each time.
class Lines final : public Follower {
 public:
  Lines(Serving& serving, std::string name) : serving_(serving), name_(std::move(name)) { serving_.followers++; }
  ~Lines() override { serving_.followers--; }
  Result<std::optional<std::string>> next() override {
    ++calls_;
    if (name_ == "fail" && calls_ == 2) return fail(Code::data_loss, "test.lost", "lost");
    if (name_ == "count" && calls_ > 5) return std::optional<std::string>{};
    if (name_ == "count" && calls_ % 2 == 0) return "";  // nothing new
    return "{\"line\":" + std::to_string(calls_) + "}\n";
  }

 private:
  Serving& serving_;
  const std::string name_;
  int calls_ = 0;
};

std::unique_ptr<Serving> the_serving;

class StopAtTheEnd : public ::testing::Environment {
  void TearDown() override { the_serving.reset(); }
};
[[maybe_unused]] const auto* const registered = ::testing::AddGlobalTestEnvironment(new StopAtTheEnd);

}  // namespace

void Uploads::add(const std::string& line) {
  std::lock_guard lock(mutex_);
  lines_.push_back(line);
  changed_.notify_all();
}

bool Uploads::wait_for(const std::string& line) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(20),
                           [&] { return std::ranges::find(lines_, line) != lines_.end(); });
}

Serving& Serving::instance() {
  if (!the_serving) the_serving = std::make_unique<Serving>();
  return *the_serving;
}

Serving::Serving() {
  Config config{.port = 0, .io_threads = 2, .pool_threads = 4, .pool_queue_max = 64, .temp_dir = dir.path("tmp")};
  config.upload_bytes_max = 1u << 30;
  auto opened = Server::open(config, env, &metrics);
  if (!opened) throw std::runtime_error(opened.error().message);
  server = std::move(*opened);
  auto echo = [](const Request& request) {
    return text_response(std::string(request.method) + " " + request.path_parameter("name") + " " +
                         std::string(request.body));
  };
  server->fast("GET", "/fast/{name}", echo);
  server->fast("POST", "/fast/{name}", echo, {.body_bytes_max = 1000});
  server->pooled("GET", "/pooled/{name}", echo);
  server->pooled("POST", "/pooled/{name}", echo, {.body_bytes_max = 4u << 20});
  server->error_shape("/shaped", [](const Error& error) { return "<" + error.reason + ">"; });
  server->fast("POST", "/shaped/{name}", echo, {.body_bytes_max = 1000, .inflate = true});
  server->fast("POST", "/waits/{name}",
               [](const Request& request) {
                 if (request.path_parameter("name") == "no") return text_response("did not wait");
                 if (!request.may_wait) return error_response({Code::unavailable, "test.would_wait", "on a loop"});
                 return text_response("waited with " + std::string(request.body));
               },
               {.pool_on = "test.would_wait", .inflate = true});
  server->pooled("GET", "/throws", [](const Request&) -> Response { throw std::runtime_error("boom"); });
  server->fast("GET", "/id", [](const Request& request) { return text_response(request.id); });
  server->pooled("GET", "/file/{name}", [this](const Request& request) {
    auto path = dir.path(request.path_parameter("name"));
    auto info = fs.info(path);
    return file_response(request, path, info ? info->size : 10, "application/octet-stream", "v1");
  });
  auto upload = [this](const Request& request) -> Result<std::unique_ptr<UploadSink>> {
    if (request.path_parameter("name") == "refused") return fail(Code::already_exists, "test.refused", "refused");
    return std::make_unique<DigestSink>(*this, request.path_parameter("name"));
  };
  server->upload("PUT", "/upload/{name}", upload);
  server->upload("PUT", "/small/{name}", upload, {.body_bytes_max = 100'000});
  server->follow("GET", "/follow/{name}",
                 [this](const Request& request) -> Result<std::unique_ptr<Follower>> {
                   if (request.path_parameter("name") == "nothing")
                     return fail(Code::not_found, "test.nothing", "nothing");
                   return std::make_unique<Lines>(*this, request.path_parameter("name"));
                 },
                 {.poll = std::chrono::milliseconds(1)});
  if (auto started = server->start(); !started) throw std::runtime_error(started.error().message);
  port = server->addresses().front().port;
}

}  // namespace millrace::net
