#include "base/clock.h"

#include <time.h>

namespace engram {
namespace {

class SystemClock final : public Clock {
 public:
  uint64_t MonotonicNs() override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
  }
  int64_t WallSeconds() override {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    wall_nanos_ = static_cast<uint32_t>(now.tv_nsec);
    return now.tv_sec;
  }
  uint32_t WallNanos() override { return wall_nanos_; }
  void SleepNs(uint64_t duration_ns) override {
    timespec left = {static_cast<time_t>(duration_ns / 1000000000u),
                     static_cast<long>(duration_ns % 1000000000u)};
    while (nanosleep(&left, &left) != 0) {
    }
  }

 private:
  static thread_local uint32_t wall_nanos_;
};

thread_local uint32_t SystemClock::wall_nanos_ = 0;

}  // namespace

Clock& Clock::System() {
  static SystemClock clock;
  return clock;
}

}  // namespace engram
