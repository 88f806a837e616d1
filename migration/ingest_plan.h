// Between the two passes of an ingest: which ids get new node keys, and in which order the second
// pass visits them.
#ifndef ENGRAM_MIGRATION_INGEST_PLAN_H_
#define ENGRAM_MIGRATION_INGEST_PLAN_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "migration/ingest_batch.h"
#include "migration/source_registry.h"
#include "migration/sources/source_index.h"

namespace engram::migration {

// Rows of the id tables to be, sorted; `work` is a position in the work list.
struct UuidRow {
  Uuid uuid;
  uint64_t work = 0;
};

struct IngestPlan {
  WorkList work;       // by node key; the fresh ids last, in the order of their first appearance
  uint64_t fresh = 0;  // ids without a key before this run
  MappedVector<uint64_t> by_id;  // fresh items in the order of their ids
  // These and known ones without a uuid row, in the order of their UUIDs; both empty in a dry run.
  MappedVector<UuidRow> by_uuid;
  // The sequence at which all ids were entered and nobody had written since the first was; 0:
  // somebody had, and an id that was fresh may have a record by now.
  Lsn reserved;
};

struct PlanOptions {
  FileSystem& fs;
  uint64_t commit_rows_max = 0;
  // An ingest before this one was interrupted: ids may be there without their uuid rows.
  bool mends = false;
  const std::atomic<bool>* cancel = nullptr;
  // Between two commits, when others may write: rows of the id tables entered, of how many.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

// Looks every id of the source up in the store (null in a dry run without one). Ids that the source
// deletes are in the work only if the store knows them. Fresh ids have no key yet. Uses the index's
// tags. With `for_writing` the rows of the id tables are prepared too.
Status MakePlan(const PlanOptions& options, engine::Store* store, bool for_writing,
                SourceIndex* index, IngestPlan* plan);

// Gives the fresh ids their node and vector keys and enters them into the id tables, sorted, in
// commits of at most `commit_rows_max` rows; the first commit also writes the row of `source`.
Status ReserveIds(const PlanOptions& options, engine::Store& store, const KnownSource& source,
                  const SourceIndex& index, IngestPlan* plan);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_PLAN_H_
