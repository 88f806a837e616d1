// Turns counters that workers bump into the Progress reports of migration.h: rate over a sliding
// window, time left, at most ten callbacks a second and one at the end of each phase.
#ifndef ENGRAM_MIGRATION_PROGRESS_H_
#define ENGRAM_MIGRATION_PROGRESS_H_

#include <atomic>
#include <deque>
#include <string>

#include "base/clock.h"
#include "migration/migration.h"
#include "migration/throttle.h"

namespace engram::migration {

class ProgressMeter {
 public:
  // `budget` (may be null) supplies the memory numbers. All must outlive the meter.
  ProgressMeter(Clock& clock, const std::function<void(const Progress&)>& callback,
                MemoryBudget* budget, std::string space);

  // On the job's thread.
  // `done`: by an earlier run.
  void Begin(std::string phase, uint64_t total, uint64_t done = 0);
  void SetTotal(uint64_t total) { progress_.total = total; }
  void CheckpointWritten(std::string time, uint64_t nodes);
  void Poll();  // calls back if a tenth of a second has passed
  void End();   // calls back once more for this phase

  // From any thread.
  void Advance(uint64_t count) { done_.fetch_add(count, std::memory_order_relaxed); }
  uint64_t done() const { return done_.load(std::memory_order_relaxed); }

 private:
  struct Sample {
    uint64_t time_ns;
    uint64_t done;
  };
  void Report(uint64_t now_ns);

  Clock& clock_;
  const std::function<void(const Progress&)>& callback_;
  MemoryBudget* budget_;
  Progress progress_;
  std::atomic<uint64_t> done_{0};
  std::deque<Sample> window_;
  uint64_t reported_ns_ = 0;
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_PROGRESS_H_
