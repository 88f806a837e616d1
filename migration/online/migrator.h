// The migrator of one open space: converts what is old in small steps, on the thread of whoever
// steps it, while the space is served. What a step does, its rows and its invariants:
// docs/online-migration.md.
#ifndef ENGRAM_MIGRATION_ONLINE_MIGRATOR_H_
#define ENGRAM_MIGRATION_ONLINE_MIGRATOR_H_

#include <memory>
#include <string>

#include "engine/store.h"

namespace engram::migration::online {

// As at the plugin boundary.
enum class Phase : uint32_t {
  kTail = 1,
  kBackfill = 2,
  kVerify = 3,
  kComplete = 4,
  kFailed = 5,
};

struct MigratorOptions {
  bool history_scan = true;
  std::string log_directory;                          // <dual>/log
  uint64_t pinned_log_bytes_max = uint64_t{1} << 30;  // INV-7: a verification begins again above
};

struct MigratorState {
  Phase phase = Phase::kTail;
  uint64_t done = 0;  // records this step looked at; 0: nothing to do until something is written
  uint64_t converted = 0;  // by this migrator
  uint64_t remaining_old = 0;
  uint64_t quarantined = 0;
  Lsn tailed;
  Lsn durable;
  bool digest_matches = false;  // of the last verification
  uint64_t used_bytes = 0;      // of buffers
};

// One thread at a time. Everything it has done is in the store: destroying it loses nothing.
class Migrator {
 public:
  // Goes on where an earlier one stopped. `store` must outlive it. kFailedPrecondition: read-only.
  static Result<std::unique_ptr<Migrator>> Open(engine::Store& store,
                                                const engine::Environment& environment,
                                                const MigratorOptions& options);
  virtual ~Migrator() = default;
  // Looks at up to `records_max` records, in one commit. After an error everything is as before the
  // step; that of a verification comes once, then the phase is kFailed.
  virtual Result<MigratorState> Step(uint64_t records_max) = 0;
};

}  // namespace engram::migration::online

#endif  // ENGRAM_MIGRATION_ONLINE_MIGRATOR_H_
