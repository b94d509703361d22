// libonnxruntime, opened at run time. One per process: its C++ wrapper keeps the table of functions in a global.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime/onnxruntime_cxx_api.h>

#include <mutex>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::model {

class OnnxLibrary {
 public:
  // An empty path means the loader's own search. The first successful call decides which library this process uses;
  // another path later is failed_precondition `model.engine_in_use`. unavailable `model.engine_missing`;
  // failed_precondition `model.engine_version`. Never unloaded. Thread-safe.
  static Result<const OnnxLibrary*> open(const std::string& path);

  const std::string& version() const { return version_; }
  const std::string& build() const { return build_; }
  // Throws Ort::Exception.
  Ort::Session open_session(std::string_view file, const Ort::SessionOptions& settings) const;

 private:
  OnnxLibrary(std::string path, const OrtApiBase* base, Ort::Env env)
      : path_(std::move(path)),
        version_(base->GetVersionString()),
        build_(Ort::GetBuildInfoString()),
        env_(std::move(env)) {}
  static Result<const OnnxLibrary*> load(const std::string& path);
  std::string path_, version_, build_;
  Ort::Env env_;
  mutable std::mutex first_session_;
  mutable bool opened_one_ = false;
};

}  // namespace millrace::model
