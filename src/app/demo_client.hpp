// What the demo's load generator needs of a server: images out, answers back, labels, moves. And its book of what
// happened.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/native/wire.hpp"
#include "base/env.hpp"
#include "base/http_client.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace millrace::app {

struct Image {
  std::vector<int> pixels;  // 64, 0 to 16
  int digit = 0;
};

// The 1,797 images of scikit-learn's digits.csv.gz. invalid_argument `demo.bad_data`.
Result<std::vector<Image>> read_digits(const std::string& path);
// CSV with a header: p0 .. p63, digit.
std::string images_csv(const std::vector<Image>& images, std::size_t from, std::size_t to);

struct Predicted {
  std::string id;
  std::string version;  // "digits:3"
  int digit = -1;
  double ms = 0;
};

// Thread-safe.
class DemoClient {
 public:
  DemoClient(Env& env, std::string url);
  Result<std::vector<Predicted>> predict(const std::vector<Image>& images, std::size_t from, std::size_t to);
  Result<void> label(const std::vector<std::pair<std::string, int>>& labels);  // prediction id, digit
  Result<api::Model> model();
  Result<api::Status> status();
  Result<std::string> start_training(const api::TrainRequest& request);  // the run's id
  Result<api::Run> run(const std::string& id);
  Result<api::MoveAnswer> rollback();
  Result<void> shut_down();

 private:
  Result<std::string> call(std::string_view method, const std::string& path, std::string body = {});
  Env& env_;
  std::string url_;
  std::unique_ptr<HttpClient> http_;
};

}  // namespace millrace::app
