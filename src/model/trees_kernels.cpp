// The same source for each kind of processor: the compiler makes other instructions of it.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "model/trees_engine_internal.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are handed between functions of this file only

namespace millrace::model {
namespace {

namespace trees_plain {
inline std::size_t count_of_16(const float* thresholds, float x) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < 16; ++i) count += thresholds[i] <= x ? 1 : 0;
  return count;
}
#define TREES_TARGET
#define TREES_INLINE __attribute__((always_inline))
#define TREES_BYTES 16
#define TREES_COUNT(thresholds, x) count_of_16(thresholds, x)
#include "model/trees_kernels_body_internal.hpp"
#undef TREES_TARGET
#undef TREES_INLINE
#undef TREES_BYTES
#undef TREES_COUNT
}  // namespace trees_plain

#if defined(__x86_64__)
namespace trees_avx2 {
#define TREES_TARGET __attribute__((target("avx2,popcnt,bmi2")))
#define TREES_INLINE __attribute__((always_inline, target("avx2,popcnt,bmi2")))
#define TREES_BYTES 32
TREES_TARGET inline std::size_t count_of_16(const float* thresholds, float x) {
  const __m256 value = _mm256_set1_ps(x);
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(thresholds), value, _CMP_LE_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(thresholds + 8), value, _CMP_LE_OQ));
  return static_cast<std::size_t>(__builtin_popcount(static_cast<unsigned>(low | high << 8)));
}
#define TREES_COUNT(thresholds, x) count_of_16(thresholds, x)
#include "model/trees_kernels_body_internal.hpp"
#undef TREES_TARGET
#undef TREES_INLINE
#undef TREES_BYTES
#undef TREES_COUNT
}  // namespace trees_avx2
#endif

}  // namespace

const TreesKernels& trees_kernels(bool plain) {
  static constexpr TreesKernels kPlain = {"plain", trees_plain::row, trees_plain::block};
#if defined(__x86_64__)
  static constexpr TreesKernels kAvx2 = {"avx2", trees_avx2::row, trees_avx2::block};
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
  if (has_avx2 && !plain) return kAvx2;
#endif
  return kPlain;
}

}  // namespace millrace::model

#pragma GCC diagnostic pop
