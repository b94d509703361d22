// What a client asks for when it loads a model: nothing more, or files to be put into the folder first, as Triton's
// clients send them ("file:1/model.onnx"). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::api::v2 {

struct SentFile {
  std::string path;  // below the model's folder: "1/model.onnx"
  std::string bytes;
};

struct LoadRequest {
  std::string model;
  bool load = true;             // false: unload
  std::vector<SentFile> files;  // of a load
};

// The body of POST /v2/repository/models/MODEL/load: {"parameters":{"file:1/model.onnx":"BASE64",..}}, or nothing.
// `config` and other parameters are passed over: a model file says itself what it is. invalid_argument `api.bad_json`,
// `v2.bad_file`.
Result<std::vector<SentFile>> parse_load_files(std::string_view body);

// RepositoryModelLoadRequest and RepositoryModelUnloadRequest; files are bytes as they are. Also `api.bad_protobuf`.
Result<LoadRequest> parse_grpc_load(std::string_view message, bool load);

// RFC 4648 with padding; nothing else in between. nullopt: it is none.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace millrace::api::v2
