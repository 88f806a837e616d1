#include "engine/vector_search.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>

#include "engine/internal/vector_kernel.h"
#include "engine/rows.h"

namespace engram::engine {
namespace {

constexpr uint32_t kRowSizeBytes = 8 + kEmbeddingSizeBytes + 4;  // owner, floats, crc
constexpr uint64_t kKeysPerChunkMin = 2048;  // below that a thread costs more than it brings
constexpr uint64_t kChunksPerThread = 8;     // so that one slow range does not hold up the rest
constexpr uint32_t kCacheLineBytes = 64;

struct Candidate {
  float score = 0;
  NodeKey node;
  VectorKey vector;
  bool corrupt = false;
};

// NaN after every number; ties by node key.
bool Better(const Candidate& a, const Candidate& b) {
  bool a_nan = std::isnan(a.score);
  bool b_nan = std::isnan(b.score);
  if (a_nan != b_nan) return b_nan;
  if (!a_nan && a.score != b.score) return a.score > b.score;
  return a.node < b.node;
}

// The best k of what was offered: a heap with the worst on top.
class TopK {
 public:
  explicit TopK(uint32_t k) : k_(k) {}
  bool Enters(const Candidate& c) const { return heap_.size() < k_ || Better(c, heap_.front()); }
  void Add(const Candidate& c) {
    if (!Enters(c)) return;
    if (heap_.size() == k_) {
      std::pop_heap(heap_.begin(), heap_.end(), Better);
      heap_.pop_back();
    }
    heap_.push_back(c);
    std::push_heap(heap_.begin(), heap_.end(), Better);
  }
  const std::vector<Candidate>& items() const { return heap_; }
  std::vector<Candidate> TakeSorted() {
    std::sort(heap_.begin(), heap_.end(), Better);
    return std::move(heap_);
  }

 private:
  uint64_t k_;
  std::vector<Candidate> heap_;
};

void Prefetch(Bytes value) {
  for (uint64_t at = 0; at < value.size(); at += kCacheLineBytes) {
    __builtin_prefetch(value.data() + at, 0, 1);
  }
}

// Scores rows on one thread and keeps the best, one row behind what the cursor delivers.
class RangeScorer {
 public:
  RangeScorer(const internal::CosineScorer& scorer, uint32_t k) : scorer_(scorer), best_(k) {}

  Status Scan(VectorRowCursor& cursor) {
    Bytes key, value, pending_key, pending_value;
    while (true) {
      ENGRAM_ASSIGN_OR_RETURN(bool more, cursor.Next(&key, &value));
      if (!more) break;
      ENGRAM_TRY(CheckSize(key, value));
      Prefetch(value);
      if (!pending_value.empty()) ScoreRow(pending_key, pending_value);
      pending_key = key;
      pending_value = value;
    }
    if (!pending_value.empty()) ScoreRow(pending_key, pending_value);
    return Status::Ok();
  }
  const TopK& best() const { return best_; }

 private:
  static Status CheckSize(Bytes key, Bytes value) {
    if (key.size() == 8 && value.size() == kRowSizeBytes) return Status::Ok();
    return Status::Corruption("table embeddings: a row of " + std::to_string(value.size()) +
                                  " bytes, expected " + std::to_string(kRowSizeBytes),
                              "run engram verify to list what is damaged");
  }

  // The checksum is computed only for a row that enters the top k. One that fails it keeps its
  // place, so that the caller learns of it exactly when it would have been part of the result.
  void ScoreRow(Bytes key, Bytes value) {
    Candidate c;
    c.score = scorer_.Score(value.data() + 8);
    c.node = NodeKey{LoadLe<uint64_t>(value.data())};
    c.vector = VectorKey{LoadBe64(key.data())};
    if (!best_.Enters(c)) return;
    NodeKey owner;
    Bytes floats;
    c.corrupt = !DecodeEmbedding(key, value, &owner, &floats).ok();
    best_.Add(c);
  }

  const internal::CosineScorer& scorer_;
  TopK best_;
};

uint64_t KeyCount(const VectorRange& keys) {
  if (keys.last < keys.first) return 0;
  uint64_t count = keys.last.value - keys.first.value + 1;
  return count == 0 ? UINT64_MAX : count;  // all of them
}

// Hands out consecutive chunks of the key range and collects what the threads find.
class ParallelScan {
 public:
  ParallelScan(const internal::CosineScorer& scorer, const VectorSearchRequest& request,
               const OpenVectorRange& open)
      : scorer_(scorer),
        open_(open),
        k_(request.k),
        next_(request.keys.first.value),
        last_(request.keys.last.value),
        best_(request.k) {}

  Result<std::vector<Candidate>> Run(uint32_t thread_count, uint64_t key_count) {
    chunk_keys_ = thread_count == 1
                      ? key_count
                      : std::max(kKeysPerChunkMin, key_count / (thread_count * kChunksPerThread));
    std::vector<std::thread> helpers;
    for (uint32_t i = 1; i < thread_count; ++i) helpers.emplace_back([this] { Work(); });
    Work();
    for (std::thread& t : helpers) t.join();
    if (!status_.ok()) return status_;
    return best_.TakeSorted();
  }

 private:
  bool NextChunk(VectorRange* out) {
    std::lock_guard lock(mutex_);
    if (done_ || !status_.ok()) return false;
    out->first.value = next_;
    out->last.value = last_ - next_ < chunk_keys_ ? last_ : next_ + chunk_keys_ - 1;
    done_ = out->last.value == last_;
    next_ = out->last.value + 1;
    return true;
  }

  void Work() {
    RangeScorer scorer(scorer_, k_);
    Status status;
    for (VectorRange range; status.ok() && NextChunk(&range);) status = ScanRange(range, scorer);
    std::lock_guard lock(mutex_);
    if (!status.ok() && status_.ok()) status_ = status;
    for (const Candidate& c : scorer.best().items()) best_.Add(c);
  }

  Status ScanRange(const VectorRange& range, RangeScorer& scorer) {
    ENGRAM_ASSIGN_OR_RETURN(auto cursor, open_(range));
    return scorer.Scan(*cursor);
  }

  const internal::CosineScorer& scorer_;
  const OpenVectorRange& open_;
  const uint32_t k_;
  uint64_t chunk_keys_ = 0;
  std::mutex mutex_;
  // Guarded by mutex_:
  uint64_t next_;
  const uint64_t last_;
  bool done_ = false;
  Status status_;
  TopK best_;
};

}  // namespace

uint32_t SearchThreadCount(const VectorSearchRequest& request) {
  uint32_t wanted = request.thread_count;
  if (wanted == 0) wanted = std::max(1u, std::thread::hardware_concurrency());
  uint64_t useful = 1 + KeyCount(request.keys) / kKeysPerChunkMin;
  return static_cast<uint32_t>(std::min<uint64_t>(wanted, useful));
}

Result<std::vector<SearchHit>> SearchVectors(const Embedding& query,
                                             const VectorSearchRequest& request,
                                             const OpenVectorRange& open) {
  if (request.k == 0 || KeyCount(request.keys) == 0) return std::vector<SearchHit>();
  internal::CosineScorer scorer(query, internal::SupportedVectorKernels().back().run);
  ParallelScan parallel(scorer, request, open);
  ENGRAM_ASSIGN_OR_RETURN(auto found,
                          parallel.Run(SearchThreadCount(request), KeyCount(request.keys)));
  std::vector<SearchHit> hits;
  hits.reserve(found.size());
  for (const Candidate& c : found) {
    if (c.corrupt) {
      return Status::Corruption(
          "table embeddings, row " + std::to_string(c.vector.value) + ": checksum mismatch",
          "`engram verify` lists what is damaged, `engram space salvage` goes on without it");
    }
    hits.push_back({c.node, c.score});
  }
  return hits;
}

}  // namespace engram::engine
