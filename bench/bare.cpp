// The lower bounds that `./dev bench serving` measures beside us: the same libraries and the same engine with nothing
// of a predict server around them.
//   millrace_bench_bare http PORT MODEL.ubj   Drogon: GET /hello; POST /rows: float32 rows after as many bytes as
//                                             Inference-Header-Content-Length says, answered by float32
//   millrace_bench_bare grpc PORT             the gRPC library's callback service: any message, answered by 64 bytes
#include <drogon/drogon.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/bare.hpp"
#include "must.hpp"

namespace {

using namespace millrace;

constexpr std::string_view kHead = R"({"model_name":"m","outputs":[]})";

std::string read_all(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

drogon::HttpResponsePtr bytes(std::string body) {
  auto response = drogon::HttpResponse::newHttpResponse();
  response->setContentTypeCode(drogon::CT_APPLICATION_OCTET_STREAM);
  response->setBody(std::move(body));
  return response;
}

void serve_http(std::uint16_t port, const char* file) {
  using Answer = std::function<void(const drogon::HttpResponsePtr&)>;
  const auto content = read_all(file);
  const auto model = must(model::load_bare({.name = "m", .bytes = content, .golden = ""}, {}));
  const auto width = model->manifest().inputs.size();
  auto& app = drogon::app();
  app.registerHandler("/hello", [](const drogon::HttpRequestPtr&, Answer&& answer) { answer(bytes("hello")); },
                      {drogon::Get});
  app.registerHandler("/rows",
                      [&](const drogon::HttpRequestPtr& request, Answer&& answer) {
                        const auto body = request->body().substr(static_cast<std::size_t>(
                            std::stoul(request->getHeader("inference-header-content-length"))));
                        std::vector<float> features(body.size() / sizeof(float)), out;
                        std::memcpy(features.data(), body.data(), features.size() * sizeof(float));
                        must(model->runtime().predict(features, features.size() / width, out));
                        std::string text(kHead);
                        text.append(reinterpret_cast<const char*>(out.data()), out.size() * sizeof(float));
                        answer(bytes(std::move(text)));
                      },
                      {drogon::Post});
  app.setLogLevel(trantor::Logger::kError).setClientMaxBodySize(16u << 20).addListener("127.0.0.1", port);
  app.setThreadNum(2).run();
}

// Reads one message, answers it, ends the call: what generated code does for a unary method, without its messages.
class Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  Reactor() { StartRead(&in_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::INTERNAL, "no message"));
    grpc::Slice slice(std::string(64, 'x'));
    out_ = grpc::ByteBuffer(&slice, 1);
    StartWriteAndFinish(&out_, {}, grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer in_, out_;
};

class Service final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override { return new Reactor; }
};

void serve_grpc(std::uint16_t port) {
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials());
  builder.RegisterCallbackGenericService(&service);
  builder.BuildAndStart()->Wait();
}

}  // namespace

int main(int count, char** words) {
  const std::string_view what = count > 2 ? words[1] : "";
  if (what == "http" && count == 4) {
    serve_http(static_cast<std::uint16_t>(std::stoi(words[2])), words[3]);
  } else if (what == "grpc" && count == 3) {
    serve_grpc(static_cast<std::uint16_t>(std::stoi(words[2])));
  } else {
    std::cerr << "usage: millrace_bench_bare http PORT MODEL.ubj | grpc PORT\n";
    return 2;
  }
  return 0;
}
