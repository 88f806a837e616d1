// How fast something goes, and how long to wait after it failed. Pure; one thread at a time.
#ifndef ENGRAM_SERVER_MIGRATION_PACE_H_
#define ENGRAM_SERVER_MIGRATION_PACE_H_

#include <algorithm>
#include <cstdint>
#include <deque>

namespace engram::server {

// Records per second over the last kWindowNs.
class RateMeter {
 public:
  static constexpr uint64_t kWindowNs = 5'000'000'000;
  void Add(uint64_t now_ns, uint64_t records) {
    if (began_ns_ == 0) began_ns_ = now_ns;
    samples_.push_back({now_ns, records});
    sum_ += records;
    Forget(now_ns);
  }
  double PerSecond(uint64_t now_ns) {
    Forget(now_ns);
    if (samples_.empty()) {
      began_ns_ = 0;
      return 0;
    }
    // Half a second at least, or the first step alone would be an absurd rate.
    const uint64_t span = std::clamp<uint64_t>(now_ns - began_ns_, kWindowNs / 10, kWindowNs);
    return static_cast<double>(sum_) * 1e9 / static_cast<double>(span);
  }

 private:
  struct Sample {
    uint64_t at_ns;
    uint64_t records;
  };
  void Forget(uint64_t now_ns) {
    while (!samples_.empty() && now_ns - samples_.front().at_ns > kWindowNs) {
      sum_ -= samples_.front().records;
      samples_.pop_front();
    }
  }
  std::deque<Sample> samples_;
  uint64_t sum_ = 0;
  uint64_t began_ns_ = 0;
};

// Doubles from one second to a minute.
class RetryDelay {
 public:
  static constexpr uint64_t kFirstNs = 1'000'000'000;
  static constexpr uint64_t kLastNs = 60'000'000'000;
  bool Due(uint64_t now_ns) const { return now_ns >= next_ns_; }
  uint64_t next_ns() const { return next_ns_; }
  bool failing() const { return delay_ns_ != 0; }
  void Failed(uint64_t now_ns) {
    delay_ns_ = delay_ns_ == 0 ? kFirstNs : std::min(kLastNs, delay_ns_ * 2);
    next_ns_ = now_ns + delay_ns_;
  }
  void Reset() { *this = RetryDelay(); }

 private:
  uint64_t delay_ns_ = 0;
  uint64_t next_ns_ = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_PACE_H_
