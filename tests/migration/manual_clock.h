// A clock that stands still until it is told, or slept on.
#ifndef ENGRAM_TESTS_MIGRATION_MANUAL_CLOCK_H_
#define ENGRAM_TESTS_MIGRATION_MANUAL_CLOCK_H_

#include <atomic>

#include "base/clock.h"

namespace engram::testing {

class ManualClock final : public Clock {
 public:
  uint64_t MonotonicNs() override { return now_ns_; }
  int64_t WallSeconds() override { return 1763751433; }
  uint32_t WallNanos() override { return 0; }
  void SleepNs(uint64_t duration_ns) override {
    now_ns_ += duration_ns;
    slept_ns_ += duration_ns;
  }
  void Advance(uint64_t ns) { now_ns_ += ns; }
  uint64_t slept_ns() const { return slept_ns_; }

 private:
  std::atomic<uint64_t> now_ns_{1000000000};
  std::atomic<uint64_t> slept_ns_{0};
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_MIGRATION_MANUAL_CLOCK_H_
