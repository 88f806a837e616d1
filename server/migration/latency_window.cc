#include "server/migration/latency_window.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace engram::server {
namespace {

constexpr int kFirstOctave = 10;  // 2^10 ns is about 1 us

}  // namespace

int LatencyCounts::BucketOf(uint64_t duration_ns) {
  const int octave = std::bit_width(duration_ns | 1) - 1;
  if (octave < kFirstOctave) return 0;
  if (octave >= kFirstOctave + kOctaves) return kBuckets - 1;
  const uint64_t within = (duration_ns >> (octave - 5)) & (kPerOctave - 1);
  return (octave - kFirstOctave) * kPerOctave + static_cast<int>(within);
}

uint64_t LatencyCounts::UpperBoundNs(int bucket) {
  const int octave = kFirstOctave + bucket / kPerOctave;
  const auto within = static_cast<uint64_t>(bucket % kPerOctave);
  return ((kPerOctave + within + 1) << (octave - 5)) - 1;
}

void LatencyCounts::Add(const LatencyCounts& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
}

uint64_t LatencyCounts::QuantileNs(double quantile) const {
  if (total_ == 0) return 0;
  const auto rank = std::max<uint64_t>(
      1, static_cast<uint64_t>(std::ceil(quantile * static_cast<double>(total_))));
  uint64_t seen = 0;
  for (int bucket = 0; bucket < kBuckets; ++bucket) {
    seen += counts_[static_cast<size_t>(bucket)];
    if (seen >= rank) return UpperBoundNs(bucket);
  }
  return UpperBoundNs(kBuckets - 1);
}

uint64_t LatencyCounts::CountAbove(uint64_t duration_ns) const {
  uint64_t above = 0;
  for (int bucket = BucketOf(duration_ns) + 1; bucket < kBuckets; ++bucket) {
    above += counts_[static_cast<size_t>(bucket)];
  }
  return above;
}

LatencyWindow::LatencyWindow() : slots_(std::make_unique<std::array<Slot, kSlots>>()) {}

void LatencyWindow::Clear(size_t slot) {
  for (auto& count : (*slots_)[slot]) count.store(0, std::memory_order_relaxed);
}

void LatencyWindow::Advance(uint64_t now_ns) {
  const uint64_t number = now_ns / kSlotNs;
  const uint64_t passed = number - slot_number_;
  if (passed == 0) return;
  // After a pause the current slot holds samples of unknown age.
  if (passed > 1) Clear(current_.load(std::memory_order_relaxed));
  for (uint64_t i = 0; i < std::min<uint64_t>(passed, kSlots); ++i) {
    const size_t next = (current_.load(std::memory_order_relaxed) + 1) % kSlots;
    Clear(next);
    current_.store(next, std::memory_order_relaxed);
  }
  slot_number_ = number;
}

LatencyCounts LatencyWindow::Newest(int slots) const {
  LatencyCounts counts;
  const size_t current = current_.load(std::memory_order_relaxed);
  for (int i = 0; i < std::min(slots, kSlots); ++i) {
    const Slot& slot = (*slots_)[(current + kSlots - static_cast<size_t>(i)) % kSlots];
    for (int bucket = 0; bucket < LatencyCounts::kBuckets; ++bucket) {
      const uint32_t count = slot[static_cast<size_t>(bucket)].load(std::memory_order_relaxed);
      if (count != 0) counts.Add(bucket, count);
    }
  }
  return counts;
}

}  // namespace engram::server
