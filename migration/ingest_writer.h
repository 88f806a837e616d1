// The one thread that changes the store in an ingest: takes batches in node key order and commits
// them with their digests and a receipt. docs/format/ingest.md.
#ifndef ENGRAM_MIGRATION_INGEST_WRITER_H_
#define ENGRAM_MIGRATION_INGEST_WRITER_H_

#include <memory>
#include <string>

#include "engine/store.h"
#include "migration/ingest.h"
#include "migration/ingest_batch.h"
#include "migration/ingest_plan.h"

namespace engram::migration {

struct IngestTotals {
  uint64_t written = 0;
  uint64_t converted = 0;  // of these, those that got a dual head too
  uint64_t removed = 0;
  uint64_t unchanged = 0;
  uint64_t kept_local = 0;
  uint64_t mismatches = 0;
  engine::LtHash source_minus_stored;
  engine::BulkTxn::DigestDelta planned;  // what the run changes, or would change, in the tiers
};

class IngestWriter {
 public:
  struct Options {
    uint64_t commit_records_max = 0;
    uint64_t checkpoint_interval = 0;
    Sha256Digest source_hash{};
    IngestHeads heads = IngestHeads::kOld;
  };
  // `store` null: count only. All references must outlive the writer.
  IngestWriter(engine::Store* store, uint32_t origin, const IngestPlan& plan,
               const Options& options, const IngestHooks& hooks, IngestTotals* totals);

  // kCancelled when asked to stop; what was written before may still be committed.
  Status Write(IngestBatch& batch);
  // Commits what is pending, flushed, and calls the checkpoint hook.
  Status Commit();

 private:
  static uint64_t ChangesOf(const IngestBatch& batch);
  Status Begin();
  Status WriteNew(IngestBatch& batch);
  Status WriteOneByOne(IngestBatch& batch);
  Status WriteItem(IngestBatch& batch, const IngestItem& item);
  Status Replace(IngestBatch& batch, const IngestItem& item);
  Result<bool> IsLocal(const IngestItem& item);
  engine::BulkTxn::NewRecord RecordOf(IngestBatch& batch, const IngestItem& item,
                                      VectorKey vector_key);
  bool CheckpointIsDue() const {
    return since_checkpoint_ + pending_ >= options_.checkpoint_interval;
  }
  Status CommitPending(bool sync);
  void Count(const IngestBatch& batch);

  engine::Store* const store_;
  const uint32_t origin_;
  const IngestPlan& plan_;
  const Options options_;
  const IngestHooks& hooks_;
  IngestTotals& totals_;
  std::unique_ptr<engine::BulkTxn> txn_;
  Lsn expected_;           // sequence of the next batch if nobody else writes; 0: not known
  bool exclusive_ = true;  // nobody wrote since the plan was made
  uint64_t pending_ = 0;   // changes in txn_
  uint64_t since_checkpoint_ = 0;
  uint64_t done_ = 0;      // work items
  bool converts_ = false;  // the transaction at hand
  uint64_t told_converted_ = 0;
  std::string embedding_;
};

// Rows of records that are kept verbatim.
std::string QuarantineKey(uint32_t origin, const std::string& path, uint64_t offset);
void EncodeQuarantineRow(Bytes key, const std::string& path, const QuarantinedRecord& record,
                         Bytes raw, std::string* out);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_INGEST_WRITER_H_
