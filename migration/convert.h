// The conversion of old heads in key order. Workers take ranges of node keys, decode old heads and
// text rows, convert (compat/conversion.h) and prove that the record's digest is unchanged; one
// writer installs the dual heads by compare-and-rewrite, each commit holding its receipts. A record
// that cannot be converted is quarantined, stays readable in its old form, and is counted.
#ifndef ENGRAM_MIGRATION_CONVERT_H_
#define ENGRAM_MIGRATION_CONVERT_H_

#include <functional>

#include "engine/store.h"
#include "migration/job.h"
#include "migration/progress.h"
#include "migration/throttle.h"

namespace engram::migration {

struct ConvertOptions {
  uint64_t batch_size = 1000;            // node keys per unit of work
  uint64_t checkpoint_interval = 10000;  // records between checkpoints, at commit borders
  uint32_t workers = 1;                  // decoding threads, at least 1
  uint64_t commit_records_max = 32768;
};

// All are required and called on the thread that called ConvertHistory, but for the throttle.
struct ConvertHooks {
  Throttle& throttle;
  MemoryBudget& budget;
  ProgressMeter& meter;
  // After a flushed commit: the job row and the receipts claim exactly this much.
  std::function<Status(const Job& job, const CoverageLedger& receipts)> checkpoint;
};

// Converts node keys 1..job->max_key but for what the store's receipts cover already, updating
// `job`. On kCancelled everything installed is committed, flushed and checkpointed. OK means full
// coverage (INV-13) and that every error of every worker was seen.
Status ConvertHistory(engine::Store& store, const ConvertOptions& options,
                      const ConvertHooks& hooks, Job* job);

// What one key range amounts to; the unit of work of ConvertHistory, public for dry runs.
struct ConvertedRange {
  struct Head {
    NodeKey key;
    engine::DualHead head;
  };
  struct Poison {
    NodeKey key;
    std::string reason;
    std::string old_head;  // the row as found
  };
  KeyRange range;
  std::vector<Head> heads;  // the first `head_count` are valid; kept for their capacity
  size_t head_count = 0;
  std::vector<Poison> poison;
  uint64_t found = 0;
  uint64_t already_dual = 0;
};
class RangeConverter {
 public:
  // `store` must outlive the converter. One per thread.
  static Result<std::unique_ptr<RangeConverter>> Make(engine::Store& store);
  virtual ~RangeConverter() = default;
  virtual Status Convert(const KeyRange& range, ConvertedRange* out) = 0;
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_CONVERT_H_
