// What a store remembers of the migration job that runs on it: two meta rows, written in the same
// transaction as the work they describe. docs/format/checkpoint.md.
#ifndef ENGRAM_MIGRATION_JOB_H_
#define ENGRAM_MIGRATION_JOB_H_

#include <optional>
#include <string>

#include "engine/store.h"
#include "migration/checkpoint.h"
#include "migration/coverage.h"

namespace engram::migration {

inline constexpr std::string_view kJobRow = "migration.job";
inline constexpr std::string_view kReceiptsRow = "migration.receipts";

struct JobCounters {
  uint64_t found = 0;         // records seen below max_key
  uint64_t converted = 0;     // dual heads installed by this job
  uint64_t already_dual = 0;  // had a current dual head when the job came by
  uint64_t quarantined = 0;   // could not be converted: left old and readable
};

struct Job {
  Uuid id;
  JobState state = JobState::kOff;
  uint32_t conversion_function_id = kConversionFunctionId;
  uint64_t max_key = 0;  // node keys 1..max_key are this job's history scan
  JobCounters counters;
  StartDigests start;
  std::string EncodeRow() const;
  // kUnsupported for a row of another version.
  static Result<Job> DecodeRow(std::string_view row);
};

StartDigests SnapshotDigests(const engine::DigestState& digests);

// Empty if no job ever ran.
Result<std::optional<Job>> ReadJob(engine::ReadView& view);
// Receipts of the job in the store; empty if there are none.
Result<CoverageLedger> ReadReceipts(engine::ReadView& view);
// One durable write through the log. With kForget the history scan starts anew.
enum class Receipts { kKeep, kForget };
Status WriteJob(engine::Store& store, const Job& job, Receipts receipts);
Status SetMode(engine::Store& store, engine::Mode mode);

// The greatest key of a table whose keys are u64; 0 if it is empty.
Result<uint64_t> LastKeyOf(engine::ReadView& view, engine::Table table);
// The greatest node key with a head of either kind; 0 in an empty store.
Result<uint64_t> LastRecordKey(engine::ReadView& view);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_JOB_H_
