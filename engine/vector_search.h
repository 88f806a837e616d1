// Exact cosine top-k over embedding rows, on all cores, at memory speed. It knows neither LMDB nor
// the overlay: Store::Search hands it a function that walks the rows of a key range.
#ifndef ENGRAM_ENGINE_VECTOR_SEARCH_H_
#define ENGRAM_ENGINE_VECTOR_SEARCH_H_

#include <functional>
#include <memory>
#include <vector>

#include "base/coding.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/record.h"
#include "engine/store.h"

namespace engram::engine {

// An inclusive range of vector keys.
struct VectorRange {
  VectorKey first;
  VectorKey last;
};

// Walks the current embedding rows of one key range, in any order, each once. Used by one thread.
class VectorRowCursor {
 public:
  virtual ~VectorRowCursor() = default;
  // The next row, key and value exactly as stored; false at the end. The bytes stay valid and
  // unchanged until the cursor is destroyed: scoring runs behind, so that rows can be prefetched.
  virtual Result<bool> Next(Bytes* key, Bytes* value) = 0;
};

// Opens a cursor over the rows of `range` that are current at the search's snapshot. Called from
// several threads at the same time with disjoint ranges; each cursor holds what it needs (an LMDB
// read transaction at the same commit, its part of the overlay).
using OpenVectorRange =
    std::function<Result<std::unique_ptr<VectorRowCursor>>(const VectorRange& range)>;

struct VectorSearchRequest {
  VectorRange keys;  // all keys that may hold a row
  uint32_t k = 0;
  uint32_t thread_count = 0;  // 0: one per core; small key ranges use fewer
};

// How many threads SearchVectors will use: at most so many cursors are open at the same time.
uint32_t SearchThreadCount(const VectorSearchRequest& request);

// The k best rows, best first, ties by node key. The score is dot/(|a| |b|): f32 sums, repeated in
// double where f32 would overflow or underflow; 0 when either norm is zero; NaN (rows or a query
// with NaN or infinities) ranks below every number. kCorruption for a row of another size,
// and when a row that belongs to the result fails its checksum: nothing is returned silently.
Result<std::vector<SearchHit>> SearchVectors(const Embedding& query,
                                             const VectorSearchRequest& request,
                                             const OpenVectorRange& open);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_VECTOR_SEARCH_H_
