#include "migration/online/migrator.h"

#include <algorithm>

#include "migration/job.h"
#include "migration/online/log_follower.h"
#include "migration/online/progress_row.h"
#include "migration/online/record_converter.h"
#include "migration/online/slice_verifier.h"
#include "migration/quarantine.h"

namespace engram::migration::online {
namespace {

// Node keys of history that are read at once.
constexpr uint64_t kKeysPerRangeMax = 4096;
// A position or a receipt is written without any head to install after so many records.
constexpr uint64_t kRecordsPerIdleCommit = 100000;

// What a step found to install; conversions of the log first.
struct Work {
  std::vector<ConvertedRange::Head> heads;
  std::vector<ConvertedRange::Poison> poison;
  std::vector<NodeKey> touched;  // by the log: what was quarantined under them is void
  uint64_t looked_at = 0;
};

class MigratorImpl final : public Migrator {
 public:
  MigratorImpl(engine::Store& store, const engine::Environment& environment,
               const MigratorOptions& options, SpaceId space)
      : store_(store),
        logger_(environment.logger),
        options_(options),
        space_(std::move(space)),
        follower_(environment.fs, options.log_directory) {}

  Status Start();
  Result<MigratorState> Step(uint64_t records_max) override;

 private:
  Status Prepare(uint64_t records_max, Work* work);
  Status FollowLog(uint64_t records_max, Work* work);
  Status CoverGap(const FollowedChanges& followed);
  Status ScanHistory(uint64_t records_max, Work* work);
  Status TakeRange(const KeyRange& range, Work* work);
  Status EndPass(uint64_t records_max, Work* work);
  Status BeginPass(Lsn seq_min);
  Status Verify(uint64_t records_max, Work* work);
  Status JudgeVerification();
  Status Install(const Work& work, uint64_t* installed);
  Status Quarantine(engine::BulkTxn& txn, const ConvertedRange::Poison& poison);
  Status Release(engine::BulkTxn& txn, NodeKey key);
  bool MustCommit(const Work& work) const;
  // A pass over a gap in the log is made without the history scan too.
  bool ScanIsWanted() const { return options_.history_scan || !next_.whole_history; }
  bool Covered() const { return next_.max_key == 0 || next_.receipts.Covers({1, next_.max_key}); }
  Result<MigratorState> State(uint64_t looked_at);
  Phase PhaseNow(uint64_t remaining_old) const;

  engine::Store& store_;
  Logger& logger_;
  const MigratorOptions options_;
  const SpaceId space_;
  LogFollower follower_;
  std::unique_ptr<RangeConverter> converter_;
  std::unique_ptr<SliceVerifier> verifier_;
  Progress progress_;  // as of the last step
  Progress next_;      // as the step in hand will leave it
  ConvertedRange range_;
  uint64_t converted_ = 0;            // by this migrator
  uint64_t pass_converted_ = 0;       // in the present pass
  uint64_t unwritten_ = 0;            // records looked at since the row was written
  bool row_is_behind_ = false;        // and something in it changed that must not wait
  bool looked_for_the_rest_ = false;  // a pass was made for old records that nothing explains
  bool failed_ = false;
};

Status MigratorImpl::Start() {
  if (store_.read_only()) {
    return Status::FailedPrecondition("the space is open read-only", "open it for writing");
  }
  ENGRAM_ASSIGN_OR_RETURN(converter_, RangeConverter::Make(store_));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(const auto found, ReadProgress(*view));
  if (found) {
    next_ = *found;
  } else {
    next_.position.store_uuid = store_.Info().store_uuid;
    next_.position.next = Lsn{view->lsn().value + 1};
  }
  const bool row_is_new = !found || (options_.history_scan && !found->whole_history);
  if (options_.history_scan && !next_.whole_history) {
    next_.whole_history = true;
    ENGRAM_TRY(BeginPass(Lsn{}));
  }
  view.reset();
  follower_.MoveTo(next_.position);
  if (row_is_new) {
    uint64_t installed = 0;
    ENGRAM_TRY(Install(Work(), &installed));
  }
  progress_ = next_;
  return Status::Ok();
}

Result<MigratorState> MigratorImpl::Step(uint64_t records_max) {
  records_max = std::max<uint64_t>(1, records_max);
  next_ = progress_;
  Work work;
  uint64_t installed = 0;
  Status status = Prepare(records_max, &work);
  if (status.ok() && MustCommit(work)) status = Install(work, &installed);
  if (!status.ok()) {
    follower_.MoveTo(progress_.position);
    return status;
  }
  progress_ = next_;
  converted_ += installed;
  pass_converted_ += installed;
  return State(work.looked_at);
}

Status MigratorImpl::Prepare(uint64_t records_max, Work* work) {
  const bool alone = verifier_ == nullptr && (Covered() || !ScanIsWanted());
  const uint64_t for_log = alone ? records_max : (records_max + 1) / 2;
  ENGRAM_TRY(FollowLog(for_log, work));
  if (work->looked_at >= records_max) return Status::Ok();
  if (!Covered()) return ScanIsWanted() ? ScanHistory(records_max, work) : Status::Ok();
  return EndPass(records_max, work);
}

Status MigratorImpl::FollowLog(uint64_t records_max, Work* work) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  const Lsn visible = view->lsn();
  view.reset();
  FollowedChanges followed;
  ENGRAM_TRY(follower_.Follow(visible, records_max, &followed));
  if (followed.gap) return CoverGap(followed);
  next_.position = followed.position;
  next_.one_more_pass = next_.one_more_pass || followed.bulk_mark;
  work->looked_at += followed.events;
  if (followed.written_old.empty() && (next_.quarantined == 0 || followed.touched.empty())) {
    return Status::Ok();
  }
  work->touched = std::move(followed.touched);
  ENGRAM_ASSIGN_OR_RETURN(view, store_.View());
  return ConvertRecords(*view, space_, followed.written_old, &work->heads, &work->poison);
}

// INV-6. What the log can no longer tell, history does.
Status MigratorImpl::CoverGap(const FollowedChanges& followed) {
  logger_.Info("migration of " + store_.space() + ": " + followed.gap_reason);
  const Lsn lost = next_.position.next;
  next_.position = {};
  next_.position.store_uuid = store_.Info().store_uuid;
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  next_.position.next = Lsn{view->lsn().value + 1};
  follower_.MoveTo(next_.position);
  row_is_behind_ = true;
  if (options_.history_scan) {
    next_.one_more_pass = true;
    return Status::Ok();
  }
  // A pass over an earlier gap that is under way is begun again, over both.
  const bool over_gap = !next_.whole_history && !Covered();
  next_.whole_history = false;
  return BeginPass(over_gap ? std::min(lost, next_.seq_min) : lost);
}

Status MigratorImpl::BeginPass(Lsn seq_min) {
  // An offline run may have quarantined some, and they may have been written since.
  ENGRAM_ASSIGN_OR_RETURN(next_.quarantined, ReleaseChanged(store_));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(next_.max_key, LastRecordKey(*view));
  next_.seq_min = seq_min;
  next_.receipts = CoverageLedger();
  next_.verified = Lsn{};
  next_.one_more_pass = false;
  pass_converted_ = 0;
  verifier_.reset();
  failed_ = false;
  row_is_behind_ = true;
  return Status::Ok();
}

Status MigratorImpl::ScanHistory(uint64_t records_max, Work* work) {
  for (const KeyRange& missing : next_.receipts.Missing({1, next_.max_key})) {
    for (uint64_t first = missing.first; first <= missing.last;) {
      if (work->looked_at >= records_max) return Status::Ok();
      const uint64_t keys = std::min(kKeysPerRangeMax, records_max - work->looked_at);
      const KeyRange range{first, std::min(missing.last, first + keys - 1)};
      ENGRAM_TRY(TakeRange(range, work));
      first = range.last + 1;
    }
  }
  row_is_behind_ = true;  // the pass ends here
  return Status::Ok();
}

Status MigratorImpl::TakeRange(const KeyRange& range, Work* work) {
  ENGRAM_TRY(converter_->Convert(range, &range_));
  for (size_t i = 0; i < range_.head_count; ++i) {
    if (range_.heads[i].head.common.seq >= next_.seq_min) work->heads.push_back(range_.heads[i]);
  }
  for (ConvertedRange::Poison& poison : range_.poison) work->poison.push_back(std::move(poison));
  // An empty stretch of the key space costs time too.
  work->looked_at += std::max<uint64_t>(range_.found, 1);
  return next_.receipts.Add(range);
}

// The receipts cover the pass: is anything old left, and does everything add up?
Status MigratorImpl::EndPass(uint64_t records_max, Work* work) {
  if (!options_.history_scan || (failed_ && !next_.one_more_pass)) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  const bool followed_all = next_.position.next > view->lsn();
  view.reset();
  const bool old_left = counts.old > next_.quarantined;
  // What this step is about to install is still counted as old.
  if (old_left && (!followed_all || !work->heads.empty())) return Status::Ok();
  // What nothing explains (a salvage, say) is looked for once by every migrator.
  if (old_left && (next_.one_more_pass || pass_converted_ > 0 || !looked_for_the_rest_)) {
    looked_for_the_rest_ = true;
    ENGRAM_TRY(BeginPass(Lsn{}));
    return ScanHistory(records_max, work);
  }
  if (!old_left) next_.one_more_pass = false;
  return next_.verified == Lsn{} ? Verify(records_max, work) : Status::Ok();
}

Status MigratorImpl::Verify(uint64_t records_max, Work* work) {
  if (verifier_ != nullptr && store_.Info().log.appended_bytes - verifier_->log_bytes_at_begin() >
                                  options_.pinned_log_bytes_max) {
    verifier_.reset();  // INV-7
  }
  if (verifier_ == nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(verifier_, SliceVerifier::Begin(store_));
  }
  ENGRAM_ASSIGN_OR_RETURN(const uint64_t looked_at, verifier_->Step(records_max - work->looked_at));
  work->looked_at += looked_at;
  return looked_at > 0 ? Status::Ok() : JudgeVerification();
}

Status MigratorImpl::JudgeVerification() {
  const VerifyReport report = std::move(verifier_->Finish());
  const Lsn lsn = verifier_->lsn();
  verifier_.reset();
  if (report.ok()) {
    next_.verified = std::max(lsn, Lsn{1});
    row_is_behind_ = true;
    return Status::Ok();
  }
  failed_ = true;
  std::string first = "unknown";
  if (!report.corrupt.empty()) {
    first = report.corrupt.front();
  } else if (!report.mismatched.empty()) {
    const VerifyFinding& finding = report.mismatched.front();
    first = finding.id + ": " + finding.field + " expected " + finding.expected + ", actual " +
            finding.actual;
  } else if (!report.missing.empty()) {
    first = "missing: " + report.missing.front();
  } else if (!report.orphans.empty()) {
    first = "orphan: " + report.orphans.front();
  }
  return Status::Corruption(
      store_.data_path() + ": verification after migration found " +
          std::to_string(report.finding_count) + " differences at LSN " +
          std::to_string(lsn.value) + ", the first: " + first,
      "run engram verify on this space to list all; the old records are still there");
}

bool MigratorImpl::MustCommit(const Work& work) const {
  if (!work.heads.empty() || !work.poison.empty() || row_is_behind_) return true;
  if (next_.quarantined > 0 && !work.touched.empty()) return true;
  return unwritten_ + work.looked_at >= kRecordsPerIdleCommit;
}

Status MigratorImpl::Install(const Work& work, uint64_t* installed) {
  // Writers are kept out from BeginBulk on: what can be applied before is.
  ENGRAM_TRY(store_.Drain({}));
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_.BeginBulk());
  for (const ConvertedRange::Head& head : work.heads) {
    ENGRAM_ASSIGN_OR_RETURN(const bool done,
                            txn->InstallDualHead(head.key, head.head.common.seq, head.head));
    *installed += done ? 1 : 0;
  }
  if (next_.quarantined > 0) {
    for (NodeKey key : work.touched) ENGRAM_TRY(Release(*txn, key));
  }
  for (const ConvertedRange::Poison& poison : work.poison) ENGRAM_TRY(Quarantine(*txn, poison));
  next_.converted += *installed;
  ENGRAM_TRY(txn->SetMeta(kProgressRow, next_.EncodeRow()));
  ENGRAM_TRY(txn->SetMeta(kOnlineReceiptsRow, next_.receipts.Encode()));
  ENGRAM_TRY(txn->Commit({}));
  txn.reset();
  unwritten_ = 0;
  row_is_behind_ = false;
  // So that the next writer need not flush what it may build on.
  return store_.Drain({.sync = true});
}

Status MigratorImpl::Quarantine(engine::BulkTxn& txn, const ConvertedRange::Poison& poison) {
  ENGRAM_ASSIGN_OR_RETURN(const bool added, QuarantineRecord(txn, poison));
  next_.quarantined += added ? 1 : 0;
  return Status::Ok();
}

Status MigratorImpl::Release(engine::BulkTxn& txn, NodeKey node) {
  ENGRAM_ASSIGN_OR_RETURN(const bool released, ReleaseRecord(txn, node));
  if (!released) return Status::Ok();
  next_.quarantined -= std::min<uint64_t>(next_.quarantined, 1);
  next_.verified = Lsn{};
  failed_ = false;
  return Status::Ok();
}

Phase MigratorImpl::PhaseNow(uint64_t remaining_old) const {
  if (failed_) return Phase::kFailed;
  if (!Covered() && ScanIsWanted()) return Phase::kBackfill;
  if (!options_.history_scan) return Phase::kTail;
  if (remaining_old > progress_.quarantined) return Phase::kTail;
  return progress_.verified == Lsn{} ? Phase::kVerify : Phase::kComplete;
}

Result<MigratorState> MigratorImpl::State(uint64_t looked_at) {
  unwritten_ += looked_at;
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_.View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  MigratorState state;
  state.durable = view->lsn();
  view.reset();
  state.remaining_old = counts.old;
  state.phase = PhaseNow(counts.old);
  // There may be something to do though this step has not seen it.
  const bool busy = state.phase == Phase::kBackfill || state.phase == Phase::kVerify ||
                    state.durable >= progress_.position.next;
  state.done = looked_at == 0 && busy ? 1 : looked_at;
  state.converted = converted_;
  state.quarantined = progress_.quarantined;
  state.tailed = Lsn{progress_.position.next.value - 1};
  state.digest_matches = progress_.verified != Lsn{};
  state.used_bytes = range_.heads.capacity() * sizeof(ConvertedRange::Head);
  return state;
}

}  // namespace

Result<std::unique_ptr<Migrator>> Migrator::Open(engine::Store& store,
                                                 const engine::Environment& environment,
                                                 const MigratorOptions& options) {
  ENGRAM_ASSIGN_OR_RETURN(SpaceId space, SpaceId::Parse(store.space()));
  auto migrator = std::make_unique<MigratorImpl>(store, environment, options, std::move(space));
  ENGRAM_TRY(migrator->Start());
  return std::unique_ptr<Migrator>(std::move(migrator));
}

}  // namespace engram::migration::online
