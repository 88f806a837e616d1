#include "engine/internal/vector_kernel.h"

#include <cmath>
#include <cstring>
#include <limits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace engram::engine::internal {
namespace {

// Between these bounds of both squared norms no f32 sum of 768 products overflows, and what is lost
// in denormal products stays far below one unit in the last place of the score.
constexpr float kNormSquaredMin = 1e-28f;
constexpr float kNormSquaredMax = 1e36f;

bool InF32Range(float norm_squared) {
  return norm_squared >= kNormSquaredMin && norm_squared <= kNormSquaredMax;  // false for NaN
}

#if defined(__x86_64__)

float HorizontalSum(__m128 v) {
  __m128 high = _mm_movehl_ps(v, v);
  __m128 pair = _mm_add_ps(v, high);
  __m128 odd = _mm_shuffle_ps(pair, pair, 1);
  return _mm_cvtss_f32(_mm_add_ss(pair, odd));
}

DotNorm RunSse2(const float* query, const uint8_t* row) {
  __m128 dot[4], norm[4];
  for (int i = 0; i < 4; ++i) dot[i] = norm[i] = _mm_setzero_ps();
  for (uint32_t at = 0; at < kEmbeddingDimension; at += 16) {
    for (uint32_t i = 0; i < 4; ++i) {
      __m128 x = _mm_loadu_ps(reinterpret_cast<const float*>(row) + at + 4 * i);
      dot[i] = _mm_add_ps(dot[i], _mm_mul_ps(x, _mm_load_ps(query + at + 4 * i)));
      norm[i] = _mm_add_ps(norm[i], _mm_mul_ps(x, x));
    }
  }
  return {HorizontalSum(_mm_add_ps(_mm_add_ps(dot[0], dot[1]), _mm_add_ps(dot[2], dot[3]))),
          HorizontalSum(_mm_add_ps(_mm_add_ps(norm[0], norm[1]), _mm_add_ps(norm[2], norm[3])))};
}

__attribute__((target("avx2,fma"))) float HorizontalSum256(__m256 v) {
  return HorizontalSum(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}

__attribute__((target("avx2,fma"))) DotNorm RunAvx2(const float* query, const uint8_t* row) {
  __m256 dot[4], norm[4];
  for (int i = 0; i < 4; ++i) dot[i] = norm[i] = _mm256_setzero_ps();
  for (uint32_t at = 0; at < kEmbeddingDimension; at += 32) {
    for (uint32_t i = 0; i < 4; ++i) {
      __m256 x = _mm256_loadu_ps(reinterpret_cast<const float*>(row) + at + 8 * i);
      dot[i] = _mm256_fmadd_ps(x, _mm256_load_ps(query + at + 8 * i), dot[i]);
      norm[i] = _mm256_fmadd_ps(x, x, norm[i]);
    }
  }
  return {
      HorizontalSum256(_mm256_add_ps(_mm256_add_ps(dot[0], dot[1]), _mm256_add_ps(dot[2], dot[3]))),
      HorizontalSum256(
          _mm256_add_ps(_mm256_add_ps(norm[0], norm[1]), _mm256_add_ps(norm[2], norm[3])))};
}

// By memory: g++ 12 warns inside its own _mm512_reduce_add_ps.
__attribute__((target("avx512f"))) float HorizontalSum512(__m512 v) {
  alignas(64) float lanes[16];
  _mm512_store_ps(lanes, v);
  return HorizontalSum(_mm_add_ps(_mm_add_ps(_mm_load_ps(lanes), _mm_load_ps(lanes + 4)),
                                  _mm_add_ps(_mm_load_ps(lanes + 8), _mm_load_ps(lanes + 12))));
}

__attribute__((target("avx512f"))) DotNorm RunAvx512(const float* query, const uint8_t* row) {
  __m512 dot[4], norm[4];
  for (int i = 0; i < 4; ++i) dot[i] = norm[i] = _mm512_setzero_ps();
  for (uint32_t at = 0; at < kEmbeddingDimension; at += 64) {
    for (uint32_t i = 0; i < 4; ++i) {
      __m512 x = _mm512_loadu_ps(row + 4 * (at + 16 * i));
      dot[i] = _mm512_fmadd_ps(x, _mm512_load_ps(query + at + 16 * i), dot[i]);
      norm[i] = _mm512_fmadd_ps(x, x, norm[i]);
    }
  }
  return {
      HorizontalSum512(_mm512_add_ps(_mm512_add_ps(dot[0], dot[1]), _mm512_add_ps(dot[2], dot[3]))),
      HorizontalSum512(
          _mm512_add_ps(_mm512_add_ps(norm[0], norm[1]), _mm512_add_ps(norm[2], norm[3])))};
}

std::vector<NamedKernel> DetectKernels() {
  std::vector<NamedKernel> kernels = {{"sse2", &RunSse2}};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    kernels.push_back({"avx2", &RunAvx2});
  }
  if (__builtin_cpu_supports("avx512f")) kernels.push_back({"avx512", &RunAvx512});
  return kernels;
}

#else

DotNorm RunPortable(const float* query, const uint8_t* row) {
  float dot[16] = {}, norm[16] = {};
  for (uint32_t at = 0; at < kEmbeddingDimension; at += 16) {
    float x[16];
    std::memcpy(x, row + 4 * at, sizeof x);
    for (uint32_t i = 0; i < 16; ++i) {
      dot[i] += x[i] * query[at + i];
      norm[i] += x[i] * x[i];
    }
  }
  DotNorm sum;
  for (uint32_t i = 0; i < 16; ++i) {
    sum.dot += dot[i];
    sum.norm_squared += norm[i];
  }
  return sum;
}

std::vector<NamedKernel> DetectKernels() { return {{"portable", &RunPortable}}; }

#endif

double NormInDouble(const float* v) {
  double sum = 0;
  for (uint32_t i = 0; i < kEmbeddingDimension; ++i) sum += static_cast<double>(v[i]) * v[i];
  return std::sqrt(sum);
}

}  // namespace

const std::vector<NamedKernel>& SupportedVectorKernels() {
  static const std::vector<NamedKernel> kKernels = DetectKernels();
  return kKernels;
}

CosineScorer::CosineScorer(const Embedding& query, VectorKernel kernel)
    : query_(query), kernel_(kernel), query_norm_(NormInDouble(query_.data())) {
  query_norm_f32_ = static_cast<float>(query_norm_);
  query_in_f32_range_ = InF32Range(query_norm_f32_ * query_norm_f32_);
}

float CosineScorer::Score(const uint8_t* row) const {
  if (query_in_f32_range_) [[likely]] {
    DotNorm sums = kernel_(query_.data(), row);
    if (InF32Range(sums.norm_squared)) [[likely]] {
      return sums.dot / (query_norm_f32_ * std::sqrt(sums.norm_squared));
    }
  }
  return ScoreInDouble(row);
}

float CosineScorer::ScoreInDouble(const uint8_t* row) const {
  float x[kEmbeddingDimension];
  std::memcpy(x, row, kEmbeddingSizeBytes);
  double norm = NormInDouble(x);
  if (norm == 0 || query_norm_ == 0) return 0;
  double dot = 0;
  for (uint32_t i = 0; i < kEmbeddingDimension; ++i) dot += static_cast<double>(x[i]) * query_[i];
  float score = static_cast<float>(dot / (norm * query_norm_));
  return std::isnan(score) ? std::numeric_limits<float>::quiet_NaN() : score;
}

}  // namespace engram::engine::internal
