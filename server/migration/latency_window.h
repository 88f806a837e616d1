// Latencies of the last seconds as a histogram that any thread feeds without a lock.
#ifndef ENGRAM_SERVER_MIGRATION_LATENCY_WINDOW_H_
#define ENGRAM_SERVER_MIGRATION_LATENCY_WINDOW_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

namespace engram::server {

// Buckets of 1/32 of a power of two (3 %) from 1 us to 68 s; what is outside counts at the ends.
class LatencyCounts {
 public:
  static constexpr int kOctaves = 26;
  static constexpr int kPerOctave = 32;
  static constexpr int kBuckets = kOctaves * kPerOctave;
  static int BucketOf(uint64_t duration_ns);
  static uint64_t UpperBoundNs(int bucket);

  void Add(int bucket, uint64_t count) {
    counts_[static_cast<size_t>(bucket)] += count;
    total_ += count;
  }
  void Add(const LatencyCounts& other);
  uint64_t total() const { return total_; }
  // The upper bound of the bucket that holds the quantile; 0 of no samples.
  uint64_t QuantileNs(double quantile) const;
  // Samples in buckets above the one of `duration_ns`.
  uint64_t CountAbove(uint64_t duration_ns) const;

 private:
  std::array<uint64_t, kBuckets> counts_{};
  uint64_t total_ = 0;
};

// The last kSlots - 1 seconds and the current one. Record() from any thread; the others by one
// owner. A sample that is recorded while its slot is recycled may be lost: it is a statistic.
class LatencyWindow {
 public:
  static constexpr uint64_t kSlotNs = 1'000'000'000;
  static constexpr int kSlots = 10;
  LatencyWindow();
  void Record(uint64_t duration_ns) {
    Slot& slot = (*slots_)[current_.load(std::memory_order_relaxed)];
    slot[static_cast<size_t>(LatencyCounts::BucketOf(duration_ns))].fetch_add(
        1, std::memory_order_relaxed);
  }
  // Forgets what is older than the window. What came in since the last call counts as of that
  // call's second: call it at least once a slot, else all of it is forgotten.
  void Advance(uint64_t now_ns);
  // The newest `slots` of them.
  LatencyCounts Newest(int slots) const;

 private:
  using Slot = std::array<std::atomic<uint32_t>, LatencyCounts::kBuckets>;
  void Clear(size_t slot);

  std::unique_ptr<std::array<Slot, kSlots>> slots_;
  std::atomic<size_t> current_{0};
  uint64_t slot_number_ = 0;  // of the current one, in slots since the clock's zero
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_LATENCY_WINDOW_H_
