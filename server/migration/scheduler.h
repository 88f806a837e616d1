// The background migrator of the server: one thread for all spaces. It steps each space's migrator
// in turn (engram_storage_engine.h: migrator_step), within a token bucket and the foreground's own
// p99, sleeps while there is nothing to do, and mirrors its state into each space's control block.
// What it decides and why: server/migration/README.md.
#ifndef ENGRAM_SERVER_MIGRATION_SCHEDULER_H_
#define ENGRAM_SERVER_MIGRATION_SCHEDULER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "server/graph/space_registry.h"
#include "server/migration/source_findings.h"

namespace engram::server {

// What an operator sees of one space; the object of `migrate-dual status --json` (cli.md).
struct SpaceMigration {
  std::string space;
  uint32_t mode = 0;      // ENGRAM_SE_MODE_*, as its store has it
  uint32_t mode_due = 0;  // the mode it takes when it opens, before anyone uses it; 0: it has it
  std::string phase;      // "off", "tail", "backfill", "verify", "complete", "ingest", "failed"
  uint64_t count = 0;
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
  bool digest_matches = false;  // of the last verification, if there was one
  uint64_t lsn = 0;             // what the figures are true at
  bool is_judged() const { return digest_matches || phase == "failed"; }
  std::string online_step;  // of a guided migration: "write_new", "verify", "shadow", ...; else ""
  std::string error;        // of phase "failed", and of the last step that did not work
  std::optional<SourceFindings> source;  // of what upstream left, once it was read
};

struct SchedulerKnobs {
  bool paused = false;
  uint64_t rate_limit = 0;  // records/s, 0: none
  bool history_scan = true;
  double p99_budget_percent = 5.0;
  uint64_t memory_budget_mb = 512;
  uint32_t batch_size = 1000;
};

// Why the migrator may stand still, as it is shown and exported.
inline constexpr std::array<const char*, 5> kThrottleReasons = {
    "paused", "rate limit", "foreground p99", "measuring the foreground", "memory budget"};

// What the scheduler did since it was started; every total only rises.
inline constexpr std::array<double, 12> kBatchSecondsBounds = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
struct MigrationFigures {
  struct Throttle {
    bool active = false;
    double seconds_total = 0;
  };
  std::array<Throttle, kThrottleReasons.size()> throttles;
  uint64_t batches_total = 0;
  double batch_seconds_total = 0;
  std::array<uint64_t, kBatchSecondsBounds.size() + 1> batch_buckets{};  // not cumulative
  uint64_t checkpoint_writes_total = 0;  // commits that moved the migrator's place in the store
  uint64_t memory_usage_bytes = 0;       // of the migrator's buffers, at the last step
  uint64_t failed_steps_total = 0;
  struct Space {
    std::string space;
    uint64_t migrated_total = 0;
  };
  std::vector<Space> spaces;
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
    bool enabled = true;             // migration.enabled: false steps nothing, whatever the flag
    bool dual_memory_types = false;  // the flag at start
    std::string data_root;           // where upstream directories are looked for; "": nowhere
    std::string default_space = "default";  // takes the legacy <data_root>/wal
    // How long a turn of the flag opens spaces that are closed, before it leaves them to later.
    uint32_t closed_spaces_wait_ms = 400;
  };
  // Looks for upstream directories; what is in them comes in after it returned, their spaces are
  // `arriving` meanwhile. `spaces`, `clock` and `logger` outlive it. The registry's callbacks
  // `opened`, `written` and `closing` go to SpaceOpened(), SpaceWritten() and SpaceClosing();
  // spaces that are open already are taken over. Fails for a data root that cannot be read.
  static Result<std::unique_ptr<MigrationScheduler>> Start(SpaceRegistry& spaces,
                                                           const Options& options, Clock& clock,
                                                           Logger& logger);
  virtual ~MigrationScheduler() = default;  // as Stop()

  // The flag. From its return on every space is served in the mode it asks for: those that are
  // open have it, the others have it before anyone uses them, spaces made later start in it. What
  // is closed is opened for it, as much as `closed_spaces_wait_ms` allows before the return and the
  // rest behind it. Ends every guided migration. A space that cannot be opened or takes no writes
  // stops no other: it is in what is returned, if it was tried. On an error nothing
  // changed; it names the space: kFailedPrecondition, turned off while one is finalized, or one
  // goes on being written to and does not take the mode; kBusy and kFull of the latter.
  struct Failure {
    std::string space;
    Status why;
  };
  virtual Result<std::vector<Failure>> SetDualMemoryTypes(bool on) = 0;
  virtual bool dual_memory_types() const = 0;
  virtual size_t pending_spaces() = 0;  // whose stores do not have the flag's mode yet
  // The guided way (design.md section 6) for one space, or for all: legacy -> dual_write -> shadow
  // -> dual, each step after a verification. Returns when it is recorded durably; progress is in
  // Spaces(). It goes on after a restart, and its spaces keep their mode while the flag is off.
  // kNotFound: no such space.
  virtual Status MigrateOnline(const std::optional<std::string>& space) = 0;
  // Those that went the guided way since the flag was last turned: their modes are their own.
  virtual std::set<std::string> guided_spaces() const = 0;
  // kInvalidArgument for a value out of range; nothing changed then.
  virtual Status SetKnobs(const SchedulerKnobs& knobs) = 0;
  virtual SchedulerKnobs knobs() const = 0;
  // The port that the control blocks name. Before the listener has one they name 0.
  virtual void SetHttpPort(uint16_t port) = 0;
  // Sets the space's mode and `arriving`. May be called with the registry's locks held.
  virtual void SpaceOpened(const SpaceHandle& space) = 0;
  virtual void SpaceWritten(const SpaceHandle& space) = 0;  // cheap: called for every write
  // Its migrator is gone on return, its control block says that nobody holds it. Also after Stop().
  virtual void SpaceClosing(ServedSpace& space) = 0;
  virtual ForegroundLatency& foreground() = 0;
  // Sorted by name. Of a space that is not open the control block answers.
  virtual std::vector<SpaceMigration> Spaces(const std::optional<std::string>& space) = 0;
  virtual MigrationFigures Figures() = 0;
  // Ends after the step in hand.
  virtual void Stop() = 0;
};

// "legacy", "dual_write", "shadow", "dual", "finalized"; "unknown" for another number.
const char* ModeName(uint32_t mode);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_SCHEDULER_H_
