// Records per second, without waiting: the caller asks how long, and charges what it did.
#ifndef ENGRAM_SERVER_MIGRATION_TOKEN_BUCKET_H_
#define ENGRAM_SERVER_MIGRATION_TOKEN_BUCKET_H_

#include <cstdint>

namespace engram::server {

// Holds at most a tenth of a second of its rate, at least one record. What was charged beyond that
// is a debt that later calls wait for, so the long-run rate is exact whatever the batch size. One
// thread at a time; `now_ns` is monotonic and never falls.
class TokenBucket {
 public:
  // `rate_per_second` 0: unlimited. A debt at the old rate is forgiven.
  void SetRate(uint64_t rate_per_second, uint64_t now_ns);
  uint64_t rate() const { return rate_; }
  // 0: go on.
  uint64_t WaitNs(uint64_t now_ns);
  void Charge(uint64_t records) { tokens_ -= static_cast<double>(records); }
  // The largest step that keeps the rate smooth.
  uint64_t StepMax(uint64_t records) const;

 private:
  uint64_t rate_ = 0;
  double tokens_ = 0;
  uint64_t refilled_ns_ = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_TOKEN_BUCKET_H_
