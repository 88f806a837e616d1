#include "compat/internal/mode_gate.h"

#include <algorithm>
#include <bit>

namespace engram::compat::internal {

ModeGate::Change::~Change() {
  const uint64_t held_ns = gate_.clock_.MonotonicNs() - gate_.begun_ns_.load();
  gate_.begun_ns_.store(0);
  gate_.held_ns_.fetch_add(held_ns);
}

// A change that ends between the two loads is seen in one of them or in none: the clock is read
// only while one is in progress.
uint64_t ModeGate::HeldNs() const {
  for (;;) {
    const uint64_t held_ns = held_ns_.load();
    const uint64_t begun_ns = begun_ns_.load();
    if (begun_ns == 0) return held_ns;
    const uint64_t now_ns = clock_.MonotonicNs();
    if (held_ns_.load() == held_ns) return held_ns + (now_ns > begun_ns ? now_ns - begun_ns : 0);
  }
}

void ModeGate::Admit(uint64_t arrived_at_held_ns) {
  const uint64_t now_ns = HeldNs();
  const uint64_t waited_ns = now_ns > arrived_at_held_ns ? now_ns - arrived_at_held_ns : 0;
  const auto bucket = static_cast<size_t>(std::bit_width(waited_ns / 1000));
  buckets_[std::min(bucket, buckets_.size() - 1)].fetch_add(1, std::memory_order_relaxed);
  if (waited_ns > 0) total_ns_.fetch_add(waited_ns, std::memory_order_relaxed);
}

GateWaits ModeGate::waits() const {
  GateWaits out;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    out.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  }
  out.total_ns = total_ns_.load(std::memory_order_relaxed);
  return out;
}

}  // namespace engram::compat::internal
