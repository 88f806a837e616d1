// Exact search beside a plain scan of the same memory: rows of 3084 bytes, one in each 4096-byte
// page as LMDB keeps them, far more than the caches hold.
//
//   ENGRAM_BENCH_ROWS   rows (default 60000: 235 MiB)
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/internal/vector_kernel.h"
#include "engine/rows.h"
#include "engine/vector_search.h"

namespace engram::bench {
namespace {

using engine::Embedding;
using engine::VectorRange;

constexpr uint64_t kPageSizeBytes = 4096;
constexpr uint64_t kRowOffsetBytes = 16;  // LMDB's page header

uint64_t RowCount() {
  const char* text = std::getenv("ENGRAM_BENCH_ROWS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 60000;
}

// One anonymous mapping, filled once.
class Rows {
 public:
  explicit Rows(uint64_t count) : count_(count) {
    void* memory = mmap(nullptr, count * kPageSizeBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      std::fprintf(stderr, "bench: no memory for %llu rows\n", (unsigned long long)count);
      std::exit(1);
    }
    pages_ = static_cast<uint8_t*>(memory);
    std::mt19937_64 rng(1);
    std::normal_distribution<float> normal;
    Embedding pool[16];
    for (Embedding& e : pool) {
      for (float& x : e) x = normal(rng);
    }
    for (uint64_t i = 0; i < count; ++i) {
      Embedding& e = pool[i % 16];
      e[i % e.size()] = normal(rng);
      keys_.push_back(engine::EncodeU64Key(i + 1));
      std::string row;
      engine::EncodeEmbedding(
          AsBytes(keys_.back()), NodeKey{i + 1},
          {reinterpret_cast<const uint8_t*>(e.data()), engine::kEmbeddingSizeBytes}, &row);
      std::memcpy(pages_ + i * kPageSizeBytes + kRowOffsetBytes, row.data(), row.size());
    }
  }
  uint64_t count() const { return count_; }
  Bytes key(uint64_t i) const { return AsBytes(keys_[i]); }
  Bytes value(uint64_t i) const {
    return {pages_ + i * kPageSizeBytes + kRowOffsetBytes, engine::kEmbeddingRowSizeBytes};
  }

 private:
  const uint64_t count_;
  uint8_t* pages_;
  std::vector<std::string> keys_;
};

Rows& SharedRows() {
  static Rows* const kRows = new Rows(RowCount());
  return *kRows;
}

class RowCursor final : public engine::VectorRowCursor {
 public:
  RowCursor(const Rows& rows, const VectorRange& range)
      : rows_(rows), next_(range.first.value - 1), end_(range.last.value) {}
  Result<bool> Next(Bytes* key, Bytes* value) override {
    if (next_ == end_) return false;
    *key = rows_.key(next_);
    *value = rows_.value(next_);
    ++next_;
    return true;
  }

 private:
  const Rows& rows_;
  uint64_t next_;
  const uint64_t end_;
};

void SetRates(benchmark::State& state, const Rows& rows) {
  state.SetBytesProcessed(state.iterations() * rows.count() * engine::kEmbeddingSizeBytes);
  state.SetItemsProcessed(state.iterations() * rows.count());
}

// ours: range(0) threads, k = 10.
void Search(benchmark::State& state) {
  Rows& rows = SharedRows();
  Embedding query;
  query.fill(0.5f);
  engine::VectorSearchRequest request;
  request.keys = {VectorKey{1}, VectorKey{rows.count()}};
  request.k = 10;
  request.thread_count = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    auto hits = SearchVectors(
        query, request,
        [&rows](const VectorRange& range) -> Result<std::unique_ptr<engine::VectorRowCursor>> {
          return std::unique_ptr<engine::VectorRowCursor>(std::make_unique<RowCursor>(rows, range));
        });
    if (!hits.ok()) state.SkipWithError(hits.status().ToString().c_str());
  }
  SetRates(state, rows);
}

// raw: the same bytes are only added up, with the next row prefetched as ours does (the hardware
// does not prefetch across pages).
uint64_t SumRange(const Rows& rows, uint64_t first, uint64_t end) {
  uint64_t sums[8] = {};
  for (uint64_t i = first; i < end; ++i) {
    const uint8_t* at = rows.value(i).data() + 8;
    const uint8_t* next = rows.value(std::min(i + 1, end - 1)).data();
    for (uint32_t offset = 0; offset < engine::kEmbeddingRowSizeBytes; offset += 64) {
      __builtin_prefetch(next + offset, 0, 1);
    }
    for (uint32_t offset = 0; offset < engine::kEmbeddingSizeBytes; offset += 64) {
      for (uint32_t lane = 0; lane < 8; ++lane) {
        sums[lane] += LoadLe<uint64_t>(at + offset + 8 * lane);
      }
    }
  }
  uint64_t sum = 0;
  for (uint64_t s : sums) sum += s;
  return sum;
}

void MemoryScan(benchmark::State& state) {
  Rows& rows = SharedRows();
  uint64_t thread_count = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    std::atomic<uint64_t> sum{0};
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < thread_count; ++t) {
      threads.emplace_back([&, t] {
        sum +=
            SumRange(rows, rows.count() * t / thread_count, rows.count() * (t + 1) / thread_count);
      });
    }
    for (std::thread& t : threads) t.join();
    benchmark::DoNotOptimize(sum.load());
  }
  SetRates(state, rows);
}

// One kernel on one row in the first-level cache: what the arithmetic alone costs.
void Kernel(benchmark::State& state) {
  const auto& kernel = engine::internal::SupportedVectorKernels()[state.range(0)];
  state.SetLabel(std::string(kernel.name));
  Embedding query;
  query.fill(0.5f);
  engine::internal::CosineScorer scorer(query, kernel.run);
  const uint8_t* row = SharedRows().value(0).data() + 8;
  for (auto _ : state) benchmark::DoNotOptimize(scorer.Score(row));
  state.SetBytesProcessed(state.iterations() * engine::kEmbeddingSizeBytes);
}

void RegisterAll() {
  int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int threads : {1, cores}) {
    benchmark::RegisterBenchmark("search/ours", Search)
        ->Arg(threads)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("search/raw", MemoryScan)
        ->Arg(threads)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    if (cores == 1) break;
  }
  for (uint64_t i = 0; i < engine::internal::SupportedVectorKernels().size(); ++i) {
    benchmark::RegisterBenchmark("search/kernel", Kernel)->Arg(static_cast<int>(i));
  }
}

}  // namespace
}  // namespace engram::bench

int main(int argc, char** argv) {
  engram::bench::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
