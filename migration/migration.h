// The jobs of the migration: ingest of upstream directories, conversion, verification, rollback,
// compaction, over the spaces of one data root. Reports are the JSON objects of cli.md.
#ifndef ENGRAM_MIGRATION_MIGRATION_H_
#define ENGRAM_MIGRATION_MIGRATION_H_

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "compat/memory_backend.h"
#include "engine/store.h"

namespace engram::migration {

// What a progress bar shows. Delivered at most ten times a second and at the end of a phase, on
// the thread that called the job.
struct Progress {
  std::string space;
  std::string phase;  // "index", "ids", "ingest", "convert", "verify", "compact"
  uint64_t done = 0;
  uint64_t total = 0;  // 0: unknown yet
  double rate_per_second = 0;
  double eta_seconds = 0;  // < 0: unknown
  uint64_t resident_anon_bytes = 0;
  uint64_t memory_budget_bytes = 0;
  std::string checkpoint_time;  // RFC 3339, "" before the first
  uint64_t checkpoint_nodes = 0;
};

struct JobContext {
  engine::Environment environment;
  std::string data_root;
  wal::LogOptions log;
  uint64_t map_size_bytes = 0;
  std::function<void(const Progress&)> progress;  // may be empty
  // Set by a signal handler: the job checkpoints and returns kCancelled.
  const std::atomic<bool>* cancel = nullptr;
};

// Opens `space` below the data root; used by every job and by the plugin.
Result<std::unique_ptr<engine::Store>> OpenSpace(const JobContext& context,
                                                 const std::string& space, engine::Access access);
// Names of the spaces that have a store below the data root, sorted.
Result<std::vector<std::string>> ListSpaces(const JobContext& context);

struct MigrateOptions {
  std::optional<std::string> source;  // upstream data root or a directory of wal-*.log files
  std::optional<std::string> space;   // else every space of the source (of the data root)
  bool dry_run = false;
  bool resume = false;
  bool history_scan = true;
  bool snapshot = false;  // take one before anything is changed, for a rollback to state
  uint64_t batch_size = 1000;
  uint64_t checkpoint_interval = 10000;
  uint64_t memory_budget_mb = 512;
  uint64_t rate_limit_per_second = 0;  // 0: none
  uint32_t parallel_workers = 0;       // 0: cores / 2, at least 1
};
// The object of `engram migrate-dual --json`. Refused sources and stores are errors; nothing is
// half done: a cancelled or killed job resumes with the same result.
Result<nlohmann::json> Migrate(const JobContext& context, const MigrateOptions& options);

struct VerifyOptions {
  std::optional<std::string> source;  // also compares every field with the source's records
  std::string space;
  uint64_t sample = 0;  // 0: all
  bool full = false;    // also layout, map order, re-encoding, cross tables
};
// `ok` is false in the object when anything does not match; an error only if it could not look.
Result<nlohmann::json> Verify(const JobContext& context, const VerifyOptions& options);

// The same of a store that is open, and may be written to meanwhile.
Result<nlohmann::json> VerifyOpen(const JobContext& context, engine::Store& store,
                                  const VerifyOptions& options);

// Brings what an upstream directory still holds into a space that is open and served: batches,
// between which writers and readers get in. What is written or deleted here meanwhile wins. In the
// modes that produce dual heads the records come in converted. `options.source` is required,
// `options.space` is not looked at. A source that came in whole and has not changed since costs no
// reading of its records. docs/format/ingest.md.
Result<nlohmann::json> IngestOpen(const JobContext& context, engine::Store& store,
                                  const MigrateOptions& options);

// Serves Memory from the old heads again. kFailedPrecondition once finalized.
Result<nlohmann::json> Rollback(const JobContext& context, const std::string& space);
// The same for a space that is open and served.
Result<nlohmann::json> RollbackOpen(const JobContext& context, compat::MemoryBackend& backend);
struct StateRollbackOptions {
  std::string space;
  bool dry_run = false;  // lists the later writes, which would be given up, and changes nothing
};
// Restores the newest snapshot, digest-checked. kFailedPrecondition without one or once finalized.
Result<nlohmann::json> RollbackToState(const JobContext& context,
                                       const StateRollbackOptions& options);
Result<nlohmann::json> CanRollback(const JobContext& context, const std::string& space);
Result<nlohmann::json> MigrationStatus(const JobContext& context, const std::string& space);

struct SalvageOptions {
  std::string space;
  bool dry_run = false;  // lists what is lost and what would be done, and changes nothing
};
// Goes on with a space whose log or tables are damaged: what is intact stays, what is not is set
// aside and listed, and all sums are counted anew. docs/operations/salvage.md.
Result<nlohmann::json> Salvage(const JobContext& context, const SalvageOptions& options);

struct CompactJobOptions {
  std::string space;
  bool finalize = false;  // first converts and verifies what is still old
};
Result<nlohmann::json> Compact(const JobContext& context, const CompactJobOptions& options);

// One element of `engram space list --json`.
Result<nlohmann::json> SpaceStats(const JobContext& context, const std::string& space);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_MIGRATION_H_
