// How long writes are held up by changes of the mode (INV-8).
#ifndef ENGRAM_COMPAT_INTERNAL_MODE_GATE_H_
#define ENGRAM_COMPAT_INTERNAL_MODE_GATE_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "compat/memory_backend.h"

namespace engram::compat::internal {

// A mode change holds the space's write mutex as every write does; the wait of a write at the gate
// is the part of its wait for that mutex in which a mode change held it. Reads take the mode of
// their view and never wait. Thread-safe, lock-free.
class ModeGate {
 public:
  explicit ModeGate(Clock& clock) : clock_(clock) {}

  // Called before the write mutex is asked for, and its result given back once it is held.
  uint64_t Arrive() const { return HeldNs(); }
  void Admit(uint64_t arrived_at_held_ns);

  // Lives while a mode change holds the write mutex.
  class Change {
   public:
    explicit Change(ModeGate& gate) : gate_(gate) {
      gate_.begun_ns_.store(gate_.clock_.MonotonicNs() | 1);
    }
    ~Change();
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    ModeGate& gate_;
  };

  GateWaits waits() const;

 private:
  // Time that mode changes have held the mutex so far, one in progress included.
  uint64_t HeldNs() const;

  Clock& clock_;
  std::atomic<uint64_t> held_ns_{0};   // by changes that ended
  std::atomic<uint64_t> begun_ns_{0};  // of the one in progress; 0: none
  std::array<std::atomic<uint64_t>, kGateWaitBuckets> buckets_{};
  std::atomic<uint64_t> total_ns_{0};
};

}  // namespace engram::compat::internal

#endif  // ENGRAM_COMPAT_INTERNAL_MODE_GATE_H_
