// Whether the migrator may step now, judged by what its steps do to the foreground's own p99.
//
// Latencies are kept apart: those of requests that ran while a step did, and those that did not.
// While there is traffic the migrator works in cycles, a share of each for steps, the rest for
// measuring undisturbed. The p99 of all requests of the last seconds may exceed the undisturbed one
// by the budget; above it the share shrinks down to nothing, below it the share grows again.
//
//   no request for a second     that is a measurement: everything is allowed
//   a few requests              over two seconds and more too few for a p99: half of the time
//   traffic, undisturbed p99    unknown: nothing is allowed until it is known (fails closed)
//   both known                  as the budget says
#ifndef ENGRAM_SERVER_MIGRATION_FOREGROUND_GOVERNOR_H_
#define ENGRAM_SERVER_MIGRATION_FOREGROUND_GOVERNOR_H_

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "server/migration/latency_window.h"
#include "server/migration/scheduler.h"

namespace engram::server {

// Record() from any thread without a lock; the others by the one thread that steps.
class ForegroundGovernor final : public ForegroundLatency {
 public:
  static constexpr uint64_t kCycleNs = 200'000'000;
  static constexpr uint64_t kQuietNs = 1'000'000'000;
  static constexpr uint64_t kSamplesMin = 40;  // fewer in a window have no p99 worth the name
  static constexpr uint64_t kObserveNs = 2'000'000'000;  // before few samples count as few requests
  static constexpr double kShareMax = 0.8;
  static constexpr double kShareMin = 0.05;
  static constexpr double kShareSparse = 0.5;

  explicit ForegroundGovernor(Clock& clock) : clock_(clock) {}

  void Record(uint64_t duration_ns) override;
  void SetBudget(double percent) { budget_percent_ = percent; }

  struct Decision {
    bool may_step = true;
    uint64_t resume_ns = 0;  // when to ask again, if not
    const char* reason =
        nullptr;  // of kThrottleReasons; null: not held back beyond the cycle's rest
  };
  Decision Decide();
  // Around each step.
  void StepBegins();
  void StepEnds();

  // As of the last Decide().
  bool traffic() const { return traffic_; }
  double share() const { return share_; }
  uint64_t undisturbed_p99_ns() const { return undisturbed_p99_ns_; }
  uint64_t p99_ns() const { return p99_ns_; }

 private:
  void Adjust(uint64_t now_ns);
  Decision InCycle(uint64_t now_ns, const char* reason);

  Clock& clock_;
  double budget_percent_ = 5.0;
  LatencyWindow during_;   // requests that a step overlapped
  LatencyWindow without_;  // the others
  std::atomic<uint64_t> last_record_ns_{0};
  std::atomic<bool> stepping_{false};
  std::atomic<uint64_t> step_ended_ns_{0};

  bool traffic_ = false;
  double share_ = kShareMin;
  const char* reason_ = nullptr;
  uint64_t decided_ns_ = 0;
  uint64_t observing_since_ns_ = 0;  // without a gap that the windows forget
  uint64_t adjusted_ns_ = 0;
  uint64_t stopped_until_ns_ = 0;
  uint64_t undisturbed_p99_ns_ = 0;
  uint64_t p99_ns_ = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_FOREGROUND_GOVERNOR_H_
