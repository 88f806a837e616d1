#include "migration/convert.h"

#include <algorithm>

#include "migration/internal/ordered_pool.h"
#include "migration/quarantine.h"

namespace engram::migration {
namespace {

// Dirty memory of one installed head: its share of a leaf page, copied once per commit.
constexpr uint64_t kDirtyBytesPerHead = 512;
constexpr uint64_t kCommitAgeNsMax = 1000000000;

std::vector<KeyRange> Split(const std::vector<KeyRange>& ranges, uint64_t batch_size) {
  std::vector<KeyRange> units;
  for (const KeyRange& range : ranges) {
    for (uint64_t first = range.first; first <= range.last; first += batch_size) {
      units.push_back({first, std::min(range.last, first + batch_size - 1)});
    }
  }
  return units;
}

// The writer's side: one open transaction at a time, receipts in it.
class Installer {
 public:
  Installer(engine::Store& store, const ConvertOptions& options, const ConvertHooks& hooks,
            CoverageLedger receipts, Job* job)
      : store_(store),
        options_(options),
        hooks_(hooks),
        receipts_(std::move(receipts)),
        job_(job),
        commit_records_(
            hooks.budget.RecordsPerCommit(kDirtyBytesPerHead, options.commit_records_max)) {}

  const CoverageLedger& receipts() const { return receipts_; }

  Status Install(const ConvertedRange& unit) {
    if (txn_ == nullptr) {
      ENGRAM_ASSIGN_OR_RETURN(txn_, store_.BeginBulk());
      begun_ns_ = Clock::System().MonotonicNs();
    }
    for (size_t i = 0; i < unit.head_count; ++i) {
      const ConvertedRange::Head& head = unit.heads[i];
      ENGRAM_ASSIGN_OR_RETURN(const bool installed,
                              txn_->InstallDualHead(head.key, head.head.common.seq, head.head));
      // Not installed: written or deleted since it was read, by someone who left it current.
      job_->counters.converted += installed ? 1 : 0;
      job_->counters.already_dual += installed ? 0 : 1;
    }
    for (const ConvertedRange::Poison& poison : unit.poison) {
      ENGRAM_TRY(QuarantineRecord(*txn_, poison).status());
      job_->counters.quarantined += 1;
    }
    job_->counters.found += unit.found;
    job_->counters.already_dual += unit.already_dual;
    ENGRAM_TRY(receipts_.Add(unit.range));
    pending_records_ += unit.found;
    since_checkpoint_ += unit.found;
    hooks_.meter.Advance(unit.found);
    const bool old = Clock::System().MonotonicNs() - begun_ns_ > kCommitAgeNsMax;
    return pending_records_ >= commit_records_ || old ? Flush(false) : Status::Ok();
  }

  // Ends the open transaction. With `force` everything is flushed and checkpointed.
  Status Flush(bool force) {
    const bool due = force || since_checkpoint_ >= options_.checkpoint_interval;
    if (txn_ == nullptr && !force) return Status::Ok();
    if (txn_ == nullptr) {
      ENGRAM_ASSIGN_OR_RETURN(txn_, store_.BeginBulk());
    }
    ENGRAM_TRY(txn_->SetMeta(kJobRow, job_->EncodeRow()));
    ENGRAM_TRY(txn_->SetMeta(kReceiptsRow, receipts_.Encode()));
    hooks_.budget.Sample();
    engine::BulkTxn::CommitOptions commit;
    commit.sync = due;
    ENGRAM_TRY(txn_->Commit(commit));
    txn_.reset();
    pending_records_ = 0;
    if (!due) return Status::Ok();
    since_checkpoint_ = 0;
    return hooks_.checkpoint(*job_, receipts_);
  }

  bool has_open_transaction() const { return txn_ != nullptr; }

 private:
  engine::Store& store_;
  const ConvertOptions& options_;
  const ConvertHooks& hooks_;
  CoverageLedger receipts_;
  Job* job_;
  const uint64_t commit_records_;
  std::unique_ptr<engine::BulkTxn> txn_;
  uint64_t begun_ns_ = 0;
  uint64_t pending_records_ = 0;
  uint64_t since_checkpoint_ = 0;
};

// No transaction is held while the rate limit or a pause makes the job wait.
Status Admit(const ConvertHooks& hooks, uint64_t records, Installer* installer) {
  Throttle& throttle = hooks.throttle;
  if (throttle.rate() != 0 || throttle.paused()) ENGRAM_TRY(installer->Flush(false));
  if (throttle.Admit(records) && !throttle.cancelled()) return Status::Ok();
  ENGRAM_TRY(installer->Flush(true));
  return Status::Cancelled("the migration was interrupted",
                           "run the same command with --resume to go on");
}

Status Drive(engine::Store& store, const std::vector<KeyRange>& units,
             const ConvertOptions& options, const ConvertHooks& hooks, Installer* installer) {
  std::vector<std::unique_ptr<RangeConverter>> converters(std::max(1u, options.workers));
  for (auto& converter : converters) {
    ENGRAM_ASSIGN_OR_RETURN(converter, RangeConverter::Make(store));
  }
  internal::OrderedPool<ConvertedRange> pool(
      static_cast<uint32_t>(converters.size()), units.size(),
      [&](uint32_t worker, uint64_t unit, ConvertedRange* out) {
        return converters[worker]->Convert(units[unit], out);
      });
  for (uint64_t unit = 0; unit < units.size(); ++unit) {
    ENGRAM_ASSIGN_OR_RETURN(const ConvertedRange* converted, pool.Next());
    ENGRAM_TRY(Admit(hooks, converted->head_count, installer));
    ENGRAM_TRY(installer->Install(*converted));
    hooks.meter.Poll();
  }
  return pool.Finish();
}

}  // namespace

Status ConvertHistory(engine::Store& store, const ConvertOptions& options,
                      const ConvertHooks& hooks, Job* job) {
  ENGRAM_TRY(ReleaseChanged(store).status());
  CoverageLedger receipts;
  {
    ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
    ENGRAM_ASSIGN_OR_RETURN(receipts, ReadReceipts(*view));
  }
  const KeyRange whole{1, job->max_key};
  const std::vector<KeyRange> units =
      Split(receipts.Missing(whole), std::max<uint64_t>(1, options.batch_size));
  Installer installer(store, options, hooks, std::move(receipts), job);
  const Status driven = Drive(store, units, options, hooks, &installer);
  if (!driven.ok()) return driven;
  ENGRAM_TRY(installer.Flush(true));
  // INV-13: complete means covered, not "the loop ended".
  if (job->max_key > 0 && !installer.receipts().Covers(whole)) {
    const KeyRange gap = installer.receipts().Missing(whole).front();
    return Status::Fatal("the conversion ended without covering node keys " +
                         std::to_string(gap.first) + ".." + std::to_string(gap.last));
  }
  return Status::Ok();
}

}  // namespace engram::migration
