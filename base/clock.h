// Time as a service that is passed in, so that a test can own it. Never used to order anything.
#ifndef ENGRAM_BASE_CLOCK_H_
#define ENGRAM_BASE_CLOCK_H_

#include <cstdint>

namespace engram {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t MonotonicNs() = 0;
  // Since the Unix epoch.
  virtual int64_t WallSeconds() = 0;
  virtual uint32_t WallNanos() = 0;  // of the second WallSeconds() returned last on this thread
  virtual void SleepNs(uint64_t duration_ns) = 0;
  static Clock& System();  // stateless
};

}  // namespace engram

#endif  // ENGRAM_BASE_CLOCK_H_
