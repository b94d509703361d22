#include "model/xgboost_library.hpp"

#include <dlfcn.h>
#include <xgboost/version_config.h>

namespace millrace::model {
namespace {

// XGBoost's messages end with a stack trace; people want the first lines.
std::string without_trace(std::string text) {
  if (const auto at = text.find("\nStack trace"); at != std::string::npos) text.resize(at);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

Result<std::shared_ptr<const XgboostLibrary>> XgboostLibrary::open(const std::string& path) {
  void* handle = nullptr;
  if (path.empty()) {
    handle = dlopen("libxgboost.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!handle) handle = dlopen("libxgboost.so", RTLD_NOW | RTLD_LOCAL);
  } else {
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (!handle) {
    const char* why = dlerror();
    return fail(Code::unavailable, "model.engine_missing",
                "XGBoost can't be opened: " + std::string(why ? why : "unknown reason") +
                    "; install libxgboost 3 or set engine.xgboost.library to its path");
  }
  auto library = std::make_shared<XgboostLibrary>();
  std::string missing;
#define MILLRACE_LOAD(name)                                                        \
  library->name = reinterpret_cast<decltype(library->name)>(dlsym(handle, #name)); \
  if (!library->name && missing.empty()) missing = #name;
  MILLRACE_XGBOOST_FUNCTIONS(MILLRACE_LOAD)
#undef MILLRACE_LOAD
  if (!missing.empty()) {
    return fail(Code::failed_precondition, "model.engine_version",
                (path.empty() ? "this XGBoost library" : path) +
                    " is no XGBoost that this program knows: it has no function " + missing);
  }
  int major = 0, minor = 0, patch = 0;
  library->XGBoostVersion(&major, &minor, &patch);
  library->version_ = std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
  if (major != XGBOOST_VER_MAJOR) {
    return fail(
        Code::failed_precondition, "model.engine_version",
        "this is XGBoost " + library->version_ + "; version " + std::to_string(XGBOOST_VER_MAJOR) + " is needed");
  }
  const char* build = nullptr;
  TRY_VOID(library->check(library->XGBuildInfo(&build), "reading the build of XGBoost"));
  library->build_ = build;
  return library;
}

Result<void> XgboostLibrary::check(int status, std::string_view doing) const {
  if (status == 0) return {};
  const std::string why = without_trace(XGBGetLastError());
  if (why.contains("bad_alloc") || why.contains("Failed to allocate")) {
    return fail(Code::resource_exhausted, "model.engine_memory", std::string(doing) + ": there is not enough memory");
  }
  return fail(Code::internal, "model.engine", std::string(doing) + ": " + why);
}

Result<Booster> Booster::create(XgboostPtr library, std::span<const DMatrixHandle> cached) {
  BoosterHandle handle = nullptr;
  TRY_VOID(library->check(library->XGBoosterCreate(cached.data(), cached.size(), &handle), "making a booster"));
  return Booster(std::move(library), handle);
}

Result<void> Booster::set(const std::string& name, const std::string& value) {
  return library_->check(library_->XGBoosterSetParam(handle_, name.c_str(), value.c_str()), "setting " + name);
}

Result<std::string> Booster::save(const std::string& format) const {
  bst_ulong length = 0;
  const char* bytes = nullptr;
  const std::string config = R"({"format":")" + format + R"("})";
  TRY_VOID(library_->check(library_->XGBoosterSaveModelToBuffer(handle_, config.c_str(), &length, &bytes),
                           "saving the trees"));
  return std::string(bytes, length);
}

Result<Matrix> Matrix::dense(XgboostPtr library, std::span<const float> values, std::size_t rows, int nthread) {
  DMatrixHandle handle = nullptr;
  const std::string data = array_interface(values.data(), rows, rows == 0 ? 0 : values.size() / rows);
  const std::string config = R"({"missing":NaN,"nthread":)" + std::to_string(nthread) + "}";
  TRY_VOID(library->check(library->XGDMatrixCreateFromDense(data.c_str(), config.c_str(), &handle), "making a matrix"));
  return Matrix(std::move(library), handle);
}

std::string array_interface(const float* data, std::size_t rows, std::size_t columns) {
  return R"({"data":[)" + std::to_string(reinterpret_cast<std::uintptr_t>(data)) + R"(,true],"shape":[)" +
         std::to_string(rows) + "," + std::to_string(columns) + R"(],"typestr":"<f4","version":3})";
}

std::string array_interface(const float* data, std::size_t count) {
  return R"({"data":[)" + std::to_string(reinterpret_cast<std::uintptr_t>(data)) + R"(,true],"shape":[)" +
         std::to_string(count) + R"(],"typestr":"<f4","version":3})";
}

}  // namespace millrace::model
