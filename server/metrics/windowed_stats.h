// Durations of the last five minutes, second by second: what the windows of GET /metrics show.
#ifndef ENGRAM_SERVER_METRICS_WINDOWED_STATS_H_
#define ENGRAM_SERVER_METRICS_WINDOWED_STATS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

namespace engram::server {

// Thread-safe without a lock; a sample at the turn of a second may be lost. `now_ns` is monotonic.
class WindowedStats {
 public:
  static constexpr uint64_t kSeconds = 300;
  struct Summary {
    uint64_t count = 0;
    double sum = 0, mean = 0, min = 0, max = 0, p50 = 0, p90 = 0, p99 = 0;  // seconds
    uint64_t failed = 0;
  };
  WindowedStats();
  void Record(uint64_t now_ns, uint64_t duration_ns, bool ok);
  // The current second and the `seconds` - 1 before it.
  Summary Last(uint64_t now_ns, uint64_t seconds) const;

 private:
  // A quarter of a power of two each (19 %), from 1 us to 68 s.
  static constexpr int kBuckets = 26 * 4;
  struct Second {
    std::atomic<uint64_t> number{UINT64_MAX};
    std::atomic<uint64_t> sum_ns{0};
    std::atomic<uint64_t> min_ns{UINT64_MAX};
    std::atomic<uint64_t> max_ns{0};
    std::atomic<uint64_t> failed{0};
    std::array<std::atomic<uint32_t>, kBuckets> buckets{};
  };
  static int BucketOf(uint64_t duration_ns);
  static double MiddleSeconds(int bucket);

  std::unique_ptr<std::array<Second, kSeconds>> seconds_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_WINDOWED_STATS_H_
