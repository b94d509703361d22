#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <optional>

#include "model/onnx_library_internal.hpp"

namespace millrace::model {
namespace {

// Debian's build greets its first session with hundreds of "Schema error: ... already registered" lines on standard
// error. This takes what is written there while it lives and passes on all other lines.
class QuietStderr {
 public:
  QuietStderr() : file_(memfd_create("stderr", MFD_CLOEXEC)) {
    if (file_ < 0) return;
    std::fflush(stderr);
    kept_ = dup(STDERR_FILENO);
    if (kept_ >= 0) dup2(file_, STDERR_FILENO);
  }
  ~QuietStderr() {
    if (file_ < 0) return;
    if (kept_ >= 0) {
      std::fflush(stderr);
      dup2(kept_, STDERR_FILENO);
      close(kept_);
      pass_on();
    }
    close(file_);
  }
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

 private:
  void pass_on() {
    std::string text;
    char piece[4096];
    lseek(file_, 0, SEEK_SET);
    for (ssize_t got; (got = read(file_, piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(got));
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
      const std::string_view line = std::string_view(text).substr(at, end - at);
      if (line != "\n" && line.find("Schema error") == std::string_view::npos) {
        if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
      }
      at = end;
    }
  }
  int file_ = -1;
  int kept_ = -1;
};

}  // namespace

Result<const OnnxLibrary*> OnnxLibrary::open(const std::string& path) {
  static std::mutex mutex;
  static const OnnxLibrary* library = nullptr;  // lives until the process ends: sessions of any thread use it
  const std::lock_guard lock(mutex);
  if (!library) {
    TRY(library, load(path));
  }
  if (library->path_ != path) {
    return fail(Code::failed_precondition, "model.engine_in_use",
                "this process already uses the ONNX Runtime at '" +
                    (library->path_.empty() ? "the usual place" : library->path_) + "'; restart it to use '" + path +
                    "'");
  }
  return library;
}

Result<const OnnxLibrary*> OnnxLibrary::load(const std::string& path) {
  void* handle = nullptr;
  if (path.empty()) {
    handle = dlopen("libonnxruntime.so.1.23", RTLD_NOW | RTLD_LOCAL);
    if (!handle) handle = dlopen("libonnxruntime.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) handle = dlopen("libonnxruntime.so", RTLD_NOW | RTLD_LOCAL);
  } else {
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (!handle) {
    const char* why = dlerror();
    return fail(Code::unavailable, "model.engine_missing",
                "ONNX Runtime can't be opened: " + std::string(why ? why : "unknown reason") +
                    "; install libonnxruntime or set engine.onnxruntime.library to its path");
  }
  const auto get_base = reinterpret_cast<decltype(&::OrtGetApiBase)>(dlsym(handle, "OrtGetApiBase"));
  const OrtApiBase* base = get_base ? get_base() : nullptr;
  const OrtApi* api = base ? base->GetApi(ORT_API_VERSION) : nullptr;
  if (!base) {
    return fail(Code::failed_precondition, "model.engine_version",
                path + " is no ONNX Runtime: it has no function OrtGetApiBase");
  }
  if (!api) {
    return fail(Code::failed_precondition, "model.engine_version",
                "this ONNX Runtime (" + std::string(base->GetVersionString()) + ") is too old; 1." +
                    std::to_string(ORT_API_VERSION) + " is needed");
  }
  Ort::InitApi(api);
  try {
    Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "millrace");
    env.DisableTelemetryEvents();
    return new OnnxLibrary(path, base, std::move(env));
  } catch (const std::exception& error) {
    return fail(Code::internal, "model.engine", "ONNX Runtime does not start: " + std::string(error.what()));
  }
}

Ort::Session OnnxLibrary::open_session(std::string_view file, const Ort::SessionOptions& settings) const {
  const std::lock_guard lock(first_session_);
  std::optional<QuietStderr> quiet;
  if (!opened_one_) quiet.emplace();
  Ort::Session session(env_, file.data(), file.size(), settings);
  opened_one_ = true;
  return session;
}

}  // namespace millrace::model
