// What keeps a migration from hurting: records per second, memory, pause. All of it may be tuned
// from another thread while the job runs.
#ifndef ENGRAM_MIGRATION_THROTTLE_H_
#define ENGRAM_MIGRATION_THROTTLE_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/result.h"

namespace engram::migration {

// RssAnon of this process from /proc/self/status. kUnsupported where the kernel does not tell.
Result<uint64_t> ResidentAnonBytes(FileSystem& fs);

// Token bucket in records per second with a burst of a tenth of a second (at least one record).
// Thread-safe. An acquisition larger than the burst goes into debt and later ones wait for it, so
// the long-run rate is exact whatever the batch size.
class TokenBucket {
 public:
  // `rate_per_second` 0: unlimited.
  TokenBucket(Clock& clock, uint64_t rate_per_second);
  void SetRate(uint64_t rate_per_second);
  uint64_t rate() const { return rate_.load(std::memory_order_relaxed); }
  // Waits until `records` may go on, or `cancel` (may be null) is set: then false.
  bool Acquire(uint64_t records, const std::atomic<bool>* cancel);

 private:
  uint64_t Take(uint64_t records);  // nanoseconds to wait before the records may go on

  Clock& clock_;
  std::atomic<uint64_t> rate_;
  std::mutex mutex_;
  // Guarded by mutex_.
  double tokens_ = 0;
  uint64_t refilled_ns_ = 0;
};

// The memory budget of a job, measured as anonymous resident memory of the whole process.
// Thread-safe.
class MemoryBudget {
 public:
  MemoryBudget(FileSystem& fs, uint64_t budget_bytes) : fs_(fs), budget_bytes_(budget_bytes) {}
  uint64_t budget_bytes() const { return budget_bytes_; }
  // Measures (about 30 us), remembers the peak. 0 when unknown.
  uint64_t Sample();
  uint64_t last_bytes() const { return last_bytes_.load(std::memory_order_relaxed); }
  uint64_t peak_bytes() const { return peak_bytes_.load(std::memory_order_relaxed); }
  // How many records one commit may hold when each dirties `bytes_per_record` of anonymous memory:
  // a third of the budget, at least 64 and at most `records_max`.
  uint64_t RecordsPerCommit(uint64_t bytes_per_record, uint64_t records_max) const;
  // The sample is above the budget: flush and free before taking more.
  bool Exceeded() { return Sample() > budget_bytes_; }

 private:
  FileSystem& fs_;
  const uint64_t budget_bytes_;
  std::atomic<uint64_t> last_bytes_{0};
  std::atomic<uint64_t> peak_bytes_{0};
};

// Rate, pause and cancellation of one job in one place. Thread-safe.
class Throttle {
 public:
  Throttle(Clock& clock, uint64_t rate_per_second, const std::atomic<bool>* cancel)
      : clock_(clock), bucket_(clock, rate_per_second), cancel_(cancel) {}
  // Blocks while paused or above the rate. False once cancelled.
  bool Admit(uint64_t records);
  bool cancelled() const { return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed); }
  void SetPaused(bool paused) { paused_.store(paused, std::memory_order_relaxed); }
  bool paused() const { return paused_.load(std::memory_order_relaxed); }
  // Admit() may take its time: nothing that others need is to be held across it.
  bool may_wait() const { return rate() != 0 || paused(); }
  void SetRate(uint64_t rate_per_second) { bucket_.SetRate(rate_per_second); }
  uint64_t rate() const { return bucket_.rate(); }

 private:
  Clock& clock_;
  TokenBucket bucket_;
  const std::atomic<bool>* cancel_;
  std::atomic<bool> paused_{false};
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_THROTTLE_H_
