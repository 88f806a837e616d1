// A clock that stands still until it is told.
#ifndef ENGRAM_TESTS_SERVER_MANUAL_CLOCK_H_
#define ENGRAM_TESTS_SERVER_MANUAL_CLOCK_H_

#include <atomic>

#include "base/clock.h"

namespace engram::testing {

class SteppedClock final : public Clock {
 public:
  uint64_t MonotonicNs() override { return now_ns_; }
  int64_t WallSeconds() override { return static_cast<int64_t>(now_ns_ / 1'000'000'000); }
  uint32_t WallNanos() override { return static_cast<uint32_t>(now_ns_ % 1'000'000'000); }
  void SleepNs(uint64_t duration_ns) override { now_ns_ += duration_ns; }
  void Advance(uint64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<uint64_t> now_ns_{50'000'000'000};
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_SERVER_MANUAL_CLOCK_H_
