// The same source for each kind of processor: the compiler makes other instructions of it.
#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
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

namespace trees_avx512 {
#define TREES_FEATURES "avx512f,avx512bw,avx512vl,avx512dq,avx2,popcnt,bmi2"
#define TREES_TARGET __attribute__((target(TREES_FEATURES)))
#define TREES_INLINE __attribute__((always_inline, target(TREES_FEATURES)))
#define TREES_BYTES 64
TREES_TARGET inline std::size_t count_of_16(const float* thresholds, float x) {
  const __mmask16 below = _mm512_cmp_ps_mask(_mm512_loadu_ps(thresholds), _mm512_set1_ps(x), _CMP_LE_OQ);
  return static_cast<std::size_t>(__builtin_popcount(below));
}
// Adds values[index[i]] to sums[i]: 2^depth values, 16 to 64 of them, lie in up to four registers.
TREES_TARGET inline void look_up(const std::uint8_t* index, const float* values, int depth, float* sums) {
  const __m512 first = _mm512_loadu_ps(values);
  const __m512 second = depth > 4 ? _mm512_loadu_ps(values + 16) : first;
  const __m512 third = depth > 5 ? _mm512_loadu_ps(values + 32) : first;
  const __m512 fourth = depth > 5 ? _mm512_loadu_ps(values + 48) : second;
  const __m512i upper_half = _mm512_set1_epi32(32);
  for (std::size_t i = 0; i < kTreesBlock; i += 16) {
    const __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(index + i)));
    const __m512 low = _mm512_permutex2var_ps(first, at, second), high = _mm512_permutex2var_ps(third, at, fourth);
    const __m512 value = _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, upper_half), low, high);
    _mm512_storeu_ps(sums + i, _mm512_add_ps(_mm512_loadu_ps(sums + i), value));
  }
}
#define TREES_COUNT(thresholds, x) count_of_16(thresholds, x)
#define TREES_LOOK_UP(index, values, depth, sums) look_up(index, values, depth, sums)
#include "model/trees_kernels_body_internal.hpp"
#undef TREES_TARGET
#undef TREES_INLINE
#undef TREES_BYTES
#undef TREES_COUNT
#undef TREES_LOOK_UP
}  // namespace trees_avx512
#endif

}  // namespace

std::span<const TreesKernels> trees_kernels_here() {
  static constexpr TreesKernels kAll[] = {
#if defined(__x86_64__)
      {"avx512", trees_avx512::row, trees_avx512::block},
      {"avx2", trees_avx2::row, trees_avx2::block},
#endif
      {"plain", trees_plain::row, trees_plain::block},
  };
  static const std::size_t first = [] {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2")) return 2;
    for (const bool has : {__builtin_cpu_supports("avx512f") != 0, __builtin_cpu_supports("avx512bw") != 0,
                           __builtin_cpu_supports("avx512vl") != 0, __builtin_cpu_supports("avx512dq") != 0}) {
      if (!has) return 1;
    }
#endif
    return 0;
  }();
  return std::span(kAll).subspan(first);
}

const TreesKernels& trees_kernels() { return trees_kernels_here().front(); }

}  // namespace millrace::model

#pragma GCC diagnostic pop
