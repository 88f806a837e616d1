// The background migrator of the server: one thread for all spaces. It steps each space's migrator
// in turn (engram_storage_engine.h: migrator_step), within a token bucket and the foreground's own
// p99, sleeps while there is nothing to do, and mirrors its state into each space's control block.
#ifndef ENGRAM_SERVER_MIGRATION_SCHEDULER_H_
#define ENGRAM_SERVER_MIGRATION_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "server/graph/space_registry.h"

namespace engram::server {

// What an operator sees of one space; the object of `migrate-dual status --json` (cli.md).
struct SpaceMigration {
  std::string space;
  uint32_t mode = 0;  // ENGRAM_SE_MODE_*
  std::string phase;  // "off", "tail", "backfill", "verify", "complete", "ingest", "failed"
  uint64_t remaining_old = 0;
  uint64_t converted = 0;
  uint64_t quarantined = 0;
  double rate = 0;          // records/s, over the last seconds
  double eta_seconds = -1;  // < 0: unknown
  uint64_t lag_lsn = 0;     // durable - tailed
  std::string
      throttle_reason;         // "", "paused", "rate limit", "foreground p99", "memory budget", ...
  std::string throttle_since;  // RFC 3339, "" if not throttled
  std::string digest;          // 64 hex digits
  std::string error;           // of phase "failed"
};

struct SchedulerKnobs {
  bool paused = false;
  uint64_t rate_limit = 0;  // records/s, 0: none
  bool history_scan = true;
  double p99_budget_percent = 5.0;
  uint64_t memory_budget_mb = 512;
  uint32_t batch_size = 1000;
};

// Foreground latencies, fed by the listener. Thread-safe, lock-free.
class ForegroundLatency {
 public:
  virtual ~ForegroundLatency() = default;
  virtual void Record(uint64_t duration_ns) = 0;
};

class MigrationScheduler {
 public:
  struct Options {
    SchedulerKnobs knobs;
    bool dual_memory_types = false;  // the flag at start
  };
  static std::unique_ptr<MigrationScheduler> Start(SpaceRegistry& spaces, const Options& options,
                                                   Clock& clock, Logger& logger);
  virtual ~MigrationScheduler() = default;  // as Stop()

  // The flag. Sets the mode of every space (open or not) before it returns; spaces made later
  // start in it. kFailedPrecondition: turned off while a space is finalized (names it); nothing
  // changed then.
  virtual Status SetDualMemoryTypes(bool on) = 0;
  virtual bool dual_memory_types() const = 0;
  virtual void SetKnobs(const SchedulerKnobs& knobs) = 0;
  virtual SchedulerKnobs knobs() const = 0;
  virtual void SpaceOpened(const SpaceHandle& space) = 0;
  virtual void SpaceWritten(const SpaceHandle& space) = 0;  // cheap: called for every write
  virtual ForegroundLatency& foreground() = 0;
  virtual std::vector<SpaceMigration> Spaces(const std::optional<std::string>& space) = 0;
  // Ends after the step in hand.
  virtual void Stop() = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_SCHEDULER_H_
