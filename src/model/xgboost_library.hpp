// libxgboost, opened at run time, so that a role that needs no trees never maps it and a user may put another build
// (GPU) in its place. The C functions are called through a table of the types that <xgboost/c_api.h> declares.
#pragma once

#include <xgboost/c_api.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace millrace::model {

// clang-format off
#define MILLRACE_XGBOOST_FUNCTIONS(X)                                                                                 \
  X(XGBoostVersion)                                                                                                   \
  X(XGBuildInfo)                                                                                                      \
  X(XGBGetLastError)                                                                                                  \
  X(XGBSetGlobalConfig)                                                                                               \
  X(XGBRegisterLogCallback)                                                                                           \
  X(XGDMatrixCreateFromDense)                                                                                         \
  X(XGDMatrixSetInfoFromInterface) X(XGDMatrixSetStrFeatureInfo) X(XGDMatrixFree) X(XGDMatrixNumRow) X(XGProxyDMatrixCreate)                        \
      X(XGProxyDMatrixSetDataDense) X(XGQuantileDMatrixCreateFromCallback) X(XGBoosterCreate) X(XGBoosterFree)        \
          X(XGBoosterSetParam) X(XGBoosterUpdateOneIter) X(XGBoosterEvalOneIter) X(XGBoosterBoostedRounds)            \
              X(XGBoosterGetNumFeature) X(XGBoosterSlice) X(XGBoosterPredictFromDense) X(XGBoosterPredictFromDMatrix) \
                  X(XGBoosterLoadModelFromBuffer) X(XGBoosterSaveModelToBuffer) X(XGBoosterSerializeToBuffer)         \
                      X(XGBoosterUnserializeFromBuffer) X(XGBoosterFeatureScore) X(XGBoosterSaveJsonConfig)
// clang-format on

// Never unloaded: its OpenMP threads outlive every handle. Any thread may call; what a single object allows, XGBoost's
// own documentation says.
class XgboostLibrary {
 public:
  // An empty path means the loader's own search for libxgboost.so.3, then libxgboost.so. unavailable
  // `model.engine_missing` with the loader's words; failed_precondition `model.engine_version` for a major version that
  // this program was not built for.
  static Result<std::shared_ptr<const XgboostLibrary>> open(const std::string& path);

  const std::string& version() const { return version_; }  // "3.3.0"
  const std::string& build() const { return build_; }      // JSON: compiler, switches

  // `status` of a call to an Error: internal `model.engine` with XGBoost's own words (without its stack trace).
  Result<void> check(int status, std::string_view doing) const;

#define MILLRACE_DECLARE(name) decltype(&::name) name = nullptr;
  MILLRACE_XGBOOST_FUNCTIONS(MILLRACE_DECLARE)
#undef MILLRACE_DECLARE

 private:
  std::string version_;
  std::string build_;
};

using XgboostPtr = std::shared_ptr<const XgboostLibrary>;

// Owning handles.
class Booster {
 public:
  Booster() = default;
  Booster(XgboostPtr library, BoosterHandle handle) : library_(std::move(library)), handle_(handle) {}
  Booster(Booster&& other) noexcept
      : library_(std::move(other.library_)), handle_(std::exchange(other.handle_, nullptr)) {}
  Booster& operator=(Booster&& other) noexcept {
    std::swap(library_, other.library_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Booster() {
    if (handle_) library_->XGBoosterFree(handle_);
  }
  BoosterHandle get() const { return handle_; }

  // A booster that remembers its predictions on these matrices.
  static Result<Booster> create(XgboostPtr library, std::span<const DMatrixHandle> cached);
  Result<void> set(const std::string& name, const std::string& value);
  Result<std::string> save_ubj() const { return save("ubj"); }
  Result<std::string> save(const std::string& format) const;  // ubj, json

 private:
  XgboostPtr library_;
  BoosterHandle handle_ = nullptr;
};

class Matrix {
 public:
  Matrix() = default;
  Matrix(XgboostPtr library, DMatrixHandle handle) : library_(std::move(library)), handle_(handle) {}
  Matrix(Matrix&& other) noexcept
      : library_(std::move(other.library_)), handle_(std::exchange(other.handle_, nullptr)) {}
  Matrix& operator=(Matrix&& other) noexcept {
    std::swap(library_, other.library_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Matrix() {
    if (handle_) library_->XGDMatrixFree(handle_);
  }
  DMatrixHandle get() const { return handle_; }

  // Row-major floats, NaN missing.
  static Result<Matrix> dense(XgboostPtr library, std::span<const float> values, std::size_t rows, int nthread);

 private:
  XgboostPtr library_;
  DMatrixHandle handle_ = nullptr;
};

// NumPy's __array_interface__ as JSON, how XGBoost takes a row-major matrix of floats. Borrowed.
std::string array_interface(const float* data, std::size_t rows, std::size_t columns);
std::string array_interface(const float* data, std::size_t count);  // a vector

}  // namespace millrace::model
