// Dot product and squared norm of one stored vector in one pass, in the widest SIMD form that the
// processor has.
#ifndef ENGRAM_ENGINE_INTERNAL_VECTOR_KERNEL_H_
#define ENGRAM_ENGINE_INTERNAL_VECTOR_KERNEL_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/record.h"

namespace engram::engine::internal {

struct DotNorm {
  float dot = 0;
  float norm_squared = 0;
};

// `query` is aligned to 64 bytes; `row` holds 768 little-endian floats at any alignment.
using VectorKernel = DotNorm (*)(const float* query, const uint8_t* row);

struct NamedKernel {
  std::string_view name;  // "sse2", "avx2", "avx512"
  VectorKernel run = nullptr;
};
// What this processor can run, narrowest first; never empty.
const std::vector<NamedKernel>& SupportedVectorKernels();

// A query prepared for scoring many rows.
class CosineScorer {
 public:
  CosineScorer(const Embedding& query, VectorKernel kernel);
  // Cosine of the query and a row. See SearchVectors for the special cases; NaN is canonical.
  float Score(const uint8_t* row) const;

 private:
  float ScoreInDouble(const uint8_t* row) const;

  alignas(64) Embedding query_;
  VectorKernel kernel_;
  double query_norm_;  // in double, of the f32 components
  float query_norm_f32_;
  bool query_in_f32_range_;  // its squared norm neither overflows nor underflows in f32
};

}  // namespace engram::engine::internal

#endif  // ENGRAM_ENGINE_INTERNAL_VECTOR_KERNEL_H_
