#include "app/demo_client.hpp"

#include <zlib.h>

#include <charconv>
#include <format>

#include "base/error_codes.hpp"

namespace millrace::app {

Result<std::vector<Image>> read_digits(const std::string& path) {
  auto* file = gzopen(path.c_str(), "rb");
  if (!file)
    return fail(Code::not_found, "demo.no_data",
                std::format("there is no {}; name digits.csv.gz (of scikit-learn's package) with --data", path));
  std::string text;
  char buffer[65536];
  for (int got = 0; (got = gzread(file, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  gzclose(file);
  std::vector<Image> images;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    Image image;
    const char* p = text.data() + at;
    const char* stop = text.data() + end;
    while (p < stop) {
      double value = 0;
      auto [next, error] = std::from_chars(p, stop, value);
      if (error != std::errc()) break;
      image.pixels.push_back(static_cast<int>(value));
      p = next < stop && *next == ',' ? next + 1 : next;
      if (next == stop || *next != ',') break;
    }
    at = end + 1;
    if (image.pixels.empty()) continue;
    if (image.pixels.size() != 65)
      return fail(
          Code::invalid_argument, "demo.bad_data",
          std::format("{}: line {} has {} numbers instead of 65", path, images.size() + 1, image.pixels.size()));
    image.digit = image.pixels.back();
    image.pixels.pop_back();
    images.push_back(std::move(image));
  }
  if (images.size() != 1797)
    return fail(Code::invalid_argument, "demo.bad_data",
                std::format("{} holds {} images instead of 1797", path, images.size()));
  return images;
}

std::string images_csv(const std::vector<Image>& images, std::size_t from, std::size_t to) {
  std::string out;
  for (int i = 0; i < 64; ++i) out += std::format("p{},", i);
  out += "digit\n";
  for (auto i = from; i < to; ++i) {
    for (auto pixel : images[i].pixels) out += std::format("{},", pixel);
    out += std::format("{}\n", images[i].digit);
  }
  return out;
}

DemoClient::DemoClient(Env& env, std::string url) : env_(env), url_(std::move(url)), http_(make_http_client(env.fs)) {}

Result<std::string> DemoClient::call(std::string_view method, const std::string& path, std::string body) {
  HttpRequest request;
  request.method = method;
  request.url = url_ + path;
  request.body = std::move(body);
  if (method != "GET") request.headers.emplace_back("Content-Type", "application/json");
  request.deadline = std::chrono::seconds(20);
  TRY(auto response, http_->send(request));
  if (response.ok()) return std::move(response.body);
  auto error = api::parse_error(response.body);
  return fail(code_from_http(response.status), error ? error->error.reason : "demo.bad_answer",
              error ? error->error.message : std::format("status {}", response.status));
}

namespace {

std::string_view field(std::string_view text, std::string_view name) {
  auto at = text.find(std::format("\"{}\":\"", name));
  if (at == std::string_view::npos) return {};
  at += name.size() + 4;
  return text.substr(at, text.find('"', at) - at);
}

}  // namespace

Result<std::vector<Predicted>> DemoClient::predict(const std::vector<Image>& images, std::size_t from, std::size_t to) {
  std::string body = "[";
  for (auto i = from; i < to; ++i) {
    body += i > from ? ",{" : "{";
    for (std::size_t p = 0; p < 64; ++p) body += std::format("{}\"p{}\":{}", p ? "," : "", p, images[i].pixels[p]);
    body += '}';
  }
  auto began = env_.clock.steady();
  TRY(auto answer, call("POST", "/predict/digits", body + "]"));
  auto ms = std::chrono::duration<double, std::milli>(env_.clock.steady() - began).count();
  std::vector<Predicted> out;
  auto version = std::string(field(answer, "model"));
  for (std::size_t at = answer.find("\"prediction\""); at != std::string::npos;
       at = answer.find("\"prediction\"", at + 1)) {
    auto rest = std::string_view(answer).substr(at);
    Predicted one;
    one.version = version;
    one.id = field(rest, "id");
    auto digit = field(rest, "prediction");
    std::from_chars(digit.data(), digit.data() + digit.size(), one.digit);
    one.ms = ms;
    out.push_back(std::move(one));
  }
  if (out.size() != to - from)
    return fail(Code::data_loss, "demo.bad_answer",
                "the answer holds another number of predictions: " + answer.substr(0, 200));
  return out;
}

Result<void> DemoClient::label(const std::vector<std::pair<std::string, int>>& labels) {
  std::vector<api::Label> body;
  for (const auto& [id, digit] : labels) {
    api::Label one;
    one.prediction = id;
    one.value = std::to_string(digit);
    body.push_back(std::move(one));
  }
  TRY(auto answer, call("POST", "/labels/digits", api::render(body)));
  (void)answer;
  return {};
}

Result<api::Model> DemoClient::model() {
  TRY(auto body, call("GET", "/api/v1/models/digits"));
  return api::parse<api::Model>(body);
}

Result<api::Status> DemoClient::status() {
  TRY(auto body, call("GET", "/api/v1/status"));
  return api::parse<api::Status>(body);
}

Result<std::string> DemoClient::start_training(const api::TrainRequest& request) {
  TRY(auto body, call("POST", "/api/v1/train", api::render(request)));
  TRY(auto answer, api::parse<api::JobAnswer>(body));
  return answer.run;
}

Result<api::Run> DemoClient::run(const std::string& id) {
  TRY(auto body, call("GET", "/api/v1/runs/" + id));
  return api::parse<api::Run>(body);
}

Result<api::MoveAnswer> DemoClient::rollback() {
  TRY(auto body,
      call("POST", "/api/v1/models/digits/rollback", api::render(api::AcceptRequest{"demo: a step back under load"})));
  return api::parse<api::MoveAnswer>(body);
}

Result<void> DemoClient::shut_down() {
  TRY(auto body, call("POST", "/api/v1/shutdown", "{}"));
  (void)body;
  return {};
}

}  // namespace millrace::app
