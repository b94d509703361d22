// Between the server and the file that is opened at run time (millrace-grpc.so, made of grpc_library.cpp): plain C++,
// both built together. Nothing that throws crosses it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/grpc.hpp"

namespace millrace::net {

struct GrpcWiring {
  const GrpcConfig& config;
  const std::vector<GrpcMethod>& methods;
  std::string address;  // held by a socket that shares its port
  // `authorization` is the metadata of that name, "" where there is none.
  std::function<Result<void>(const GrpcMethod&, std::string_view authorization)> authorize;
  // A message that came compressed, by "gzip" or "deflate"; within the bound.
  std::function<Result<std::string>(std::string_view message, std::string_view coding)> inflate;
  // Has work done on the pool when its turn comes; where there is no room, or the server stops, it is destroyed.
  std::function<void(std::shared_ptr<Lane>, SteadyPoint came, std::move_only_function<void()>)> compute;
  Clock& clock;
  // The method's handler; `traceparent` is the metadata of that name, "" where there is none.
  std::function<Result<std::string>(const GrpcMethod&, std::string_view message, std::string_view traceparent,
                                    GrpcCall&)>
      call;
};

class GrpcLibrary {
 public:
  virtual ~GrpcLibrary() = default;  // after stop()
  virtual Result<void> start() = 0;
  virtual bool stop(Duration deadline) = 0;  // as GrpcServer::stop()
};

// What the file exports, under this name. `wiring` outlives what it returns.
inline constexpr const char* kGrpcLibraryFunction = "millrace_grpc_library";
using GrpcLibraryFunction = GrpcLibrary* (*)(const GrpcWiring& wiring);

}  // namespace millrace::net
