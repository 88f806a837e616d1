#include "server/metrics/windowed_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace engram::server {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr int kFirstOctave = 10;
constexpr int kPerOctave = 4;

void KeepSmaller(std::atomic<uint64_t>& least, uint64_t value) {
  uint64_t now = least.load(std::memory_order_relaxed);
  while (value < now && !least.compare_exchange_weak(now, value, std::memory_order_relaxed)) {
  }
}

void KeepLarger(std::atomic<uint64_t>& most, uint64_t value) {
  uint64_t now = most.load(std::memory_order_relaxed);
  while (value > now && !most.compare_exchange_weak(now, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

WindowedStats::WindowedStats() : seconds_(std::make_unique<std::array<Second, kSeconds>>()) {}

int WindowedStats::BucketOf(uint64_t duration_ns) {
  const int octave = std::bit_width(duration_ns | 1) - 1;
  if (octave < kFirstOctave) return 0;
  const auto within = static_cast<int>((duration_ns >> (octave - 2)) & (kPerOctave - 1));
  return std::min(kBuckets - 1, (octave - kFirstOctave) * kPerOctave + within);
}

double WindowedStats::MiddleSeconds(int bucket) {
  const double low = std::ldexp(1.0 + (bucket % kPerOctave) / static_cast<double>(kPerOctave),
                                kFirstOctave + bucket / kPerOctave);
  const double width = std::ldexp(1.0 / kPerOctave, kFirstOctave + bucket / kPerOctave);
  return (low + width / 2) / static_cast<double>(kNsPerSecond);
}

void WindowedStats::Record(uint64_t now_ns, uint64_t duration_ns, bool ok) {
  const uint64_t number = now_ns / kNsPerSecond;
  Second& second = (*seconds_)[number % kSeconds];
  uint64_t there = second.number.load(std::memory_order_acquire);
  if (there != number && second.number.compare_exchange_strong(there, number)) {
    second.sum_ns.store(0, std::memory_order_relaxed);
    second.min_ns.store(UINT64_MAX, std::memory_order_relaxed);
    second.max_ns.store(0, std::memory_order_relaxed);
    second.failed.store(0, std::memory_order_relaxed);
    for (auto& bucket : second.buckets) bucket.store(0, std::memory_order_relaxed);
  }
  second.sum_ns.fetch_add(duration_ns, std::memory_order_relaxed);
  KeepSmaller(second.min_ns, duration_ns);
  KeepLarger(second.max_ns, duration_ns);
  if (!ok) second.failed.fetch_add(1, std::memory_order_relaxed);
  second.buckets[static_cast<size_t>(BucketOf(duration_ns))].fetch_add(1,
                                                                       std::memory_order_relaxed);
}

WindowedStats::Summary WindowedStats::Last(uint64_t now_ns, uint64_t seconds) const {
  const uint64_t newest = now_ns / kNsPerSecond;
  std::array<uint64_t, kBuckets> counts{};
  Summary summary;
  uint64_t sum_ns = 0, min_ns = UINT64_MAX, max_ns = 0;
  for (const Second& second : *seconds_) {
    const uint64_t number = second.number.load(std::memory_order_acquire);
    if (number > newest || newest - number >= seconds) continue;
    for (size_t i = 0; i < counts.size(); ++i) {
      const uint32_t count = second.buckets[i].load(std::memory_order_relaxed);
      counts[i] += count;
      summary.count += count;
    }
    sum_ns += second.sum_ns.load(std::memory_order_relaxed);
    min_ns = std::min(min_ns, second.min_ns.load(std::memory_order_relaxed));
    max_ns = std::max(max_ns, second.max_ns.load(std::memory_order_relaxed));
    summary.failed += second.failed.load(std::memory_order_relaxed);
  }
  if (summary.count == 0) return summary;
  const auto in_seconds = [](uint64_t ns) { return static_cast<double>(ns) / kNsPerSecond; };
  summary.sum = in_seconds(sum_ns);
  summary.mean = summary.sum / static_cast<double>(summary.count);
  summary.min = in_seconds(min_ns);
  summary.max = in_seconds(max_ns);
  const auto quantile = [&](double q) {
    const auto rank = static_cast<uint64_t>(std::ceil(q * static_cast<double>(summary.count)));
    uint64_t seen = 0;
    for (int i = 0; i < kBuckets; ++i) {
      seen += counts[static_cast<size_t>(i)];
      if (seen >= rank) return std::clamp(MiddleSeconds(i), summary.min, summary.max);
    }
    return summary.max;
  };
  summary.p50 = quantile(0.5);
  summary.p90 = quantile(0.9);
  summary.p99 = quantile(0.99);
  return summary;
}

}  // namespace engram::server
