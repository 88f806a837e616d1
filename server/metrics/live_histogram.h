// A histogram with fixed bounds that any thread feeds without a lock.
#ifndef ENGRAM_SERVER_METRICS_LIVE_HISTOGRAM_H_
#define ENGRAM_SERVER_METRICS_LIVE_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace engram::server {

// Upper bounds in seconds; the last bucket is everything above.
inline constexpr std::array<double, 18> kLatencyBounds = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025,
    0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,      10,   30};

class LiveHistogram {
 public:
  static constexpr size_t kBuckets = kLatencyBounds.size() + 1;
  void Observe(uint64_t duration_ns) {
    const double seconds = static_cast<double>(duration_ns) / 1e9;
    const auto bucket = std::lower_bound(kLatencyBounds.begin(), kLatencyBounds.end(), seconds) -
                        kLatencyBounds.begin();
    sum_ns_.fetch_add(duration_ns, std::memory_order_relaxed);
    buckets_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  }
  std::array<uint64_t, kBuckets> Counts() const {
    std::array<uint64_t, kBuckets> counts{};
    for (size_t i = 0; i < kBuckets; ++i) counts[i] = buckets_[i].load(std::memory_order_relaxed);
    return counts;
  }
  double SumSeconds() const {
    return static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1e9;
  }

 private:
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> sum_ns_{0};
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_LIVE_HISTOGRAM_H_
