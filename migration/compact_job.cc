#include <algorithm>
#include <thread>

#include "migration/checkpoint.h"
#include "migration/convert.h"
#include "migration/migration.h"
#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {
namespace {

using nlohmann::json;

constexpr uint64_t kMemoryBudgetBytes = 512u << 20;

class CompactJob {
 public:
  CompactJob(const JobContext& context, const CompactJobOptions& options)
      : context_(context),
        options_(options),
        budget_(context.environment.fs, kMemoryBudgetBytes),
        throttle_(context.environment.clock, 0, context.cancel),
        meter_(context.environment.clock, context.progress, &budget_, options.space) {}

  Result<json> Run() {
    const uint64_t begun_ns = context_.environment.clock.MonotonicNs();
    ENGRAM_ASSIGN_OR_RETURN(store_,
                            OpenSpace(context_, options_.space, engine::Access::kReadWrite));
    const bool was_finalized = store_->mode() == engine::Mode::kFinalized;
    if (options_.finalize && !was_finalized) {
      const Status prepared = PrepareFinalize();
      if (!prepared.ok()) return LeaveAsItWas(prepared);
    }
    ENGRAM_ASSIGN_OR_RETURN(const engine::CompactReport report, Compact());
    // Only now: if the compaction fails for want of space the way back stays open. A crash in
    // between leaves a dual store without old heads, which Rollback refuses and a rerun finishes.
    if (options_.finalize && !was_finalized) ENGRAM_TRY(EnterFinalized());
    ENGRAM_TRY(WriteAudit(report));
    const bool finalized = store_->mode() == engine::Mode::kFinalized;
    ENGRAM_TRY(store_->Close());
    const double seconds =
        static_cast<double>(context_.environment.clock.MonotonicNs() - begun_ns) / 1e9;
    return json{{"ok", report.digest_before == report.digest_after},
                {"space", store_->space()},
                {"bytes_before", report.bytes_before},
                {"bytes_after", report.bytes_after},
                {"seconds", seconds},
                {"digest_before", ToHex(report.digest_before)},
                {"digest_after", ToHex(report.digest_after)},
                {"finalized", finalized}};
  }

 private:
  // Everything has a current dual head, and an independent look at it agrees.
  Status PrepareFinalize() {
    mode_before_ = store_->mode();
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
    ENGRAM_ASSIGN_OR_RETURN(job_before_, ReadJob(*view));
    view.reset();
    ENGRAM_TRY(SetMode(*store_, engine::Mode::kDual));
    ENGRAM_TRY(ConvertWhatIsOld());
    VerifyRun run;
    run.meter = &meter_;
    run.cancel = context_.cancel;
    ENGRAM_ASSIGN_OR_RETURN(const VerifyReport report, VerifyStore(*store_, run));
    if (report.ok() && report.old_records == 0) return Status::Ok();
    return Status::FailedPrecondition(
        "the space was not finalized: " + std::to_string(report.finding_count) +
            " things do not verify and " +
            std::to_string(std::max(report.old_records, quarantined_)) +
            " records could not be converted",
        "engram verify --space " + store_->space() + " lists them; nothing was dropped");
  }

  // What was converted meanwhile stays.
  Status LeaveAsItWas(const Status& why) {
    ENGRAM_TRY(SetMode(*store_, mode_before_));
    if (job_before_) ENGRAM_TRY(WriteJob(*store_, *job_before_, Receipts::kForget));
    return why;
  }

  Status ConvertWhatIsOld() {
    Job job;
    {
      ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
      ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
      if (counts.old == 0) return Status::Ok();
      ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, view->Digests());
      ENGRAM_ASSIGN_OR_RETURN(job.max_key, LastRecordKey(*view));
      job.start = SnapshotDigests(digests);
      meter_.Begin("convert", counts.records);
    }
    ENGRAM_ASSIGN_OR_RETURN(job.id, Uuid::Random());
    job.state = JobState::kBackfill;
    ENGRAM_TRY(WriteJob(*store_, job, Receipts::kForget));
    ConvertOptions options;
    options.workers = std::max(1u, std::thread::hardware_concurrency() / 2);
    const ConvertHooks hooks{throttle_, budget_, meter_,
                             [](const Job&, const CoverageLedger&) { return Status::Ok(); }};
    ENGRAM_TRY(ConvertHistory(*store_, options, hooks, &job));
    quarantined_ = job.counters.quarantined;
    meter_.End();
    return Status::Ok();
  }

  Result<engine::CompactReport> Compact() {
    engine::CompactOptions options;
    options.drop_old_heads = options_.finalize || store_->mode() == engine::Mode::kFinalized;
    bool begun = false;
    options.progress = [&](uint64_t rows_done, uint64_t rows_total) -> Status {
      if (throttle_.cancelled()) {
        return Status::Cancelled("the compaction was interrupted",
                                 "the space is as it was; run engram compact again");
      }
      if (!begun) meter_.Begin("compact", rows_total);
      begun = true;
      if (rows_done > meter_.done()) meter_.Advance(rows_done - meter_.done());
      meter_.Poll();
      return Status::Ok();
    };
    auto report = store_->Compact(options);
    if (begun) meter_.End();
    return report;
  }

  Status EnterFinalized() {
    ENGRAM_TRY(SetMode(*store_, engine::Mode::kFinalized));
    std::optional<Job> job;
    {
      ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
      ENGRAM_ASSIGN_OR_RETURN(job, ReadJob(*view));
    }
    if (!job.has_value()) return Status::Ok();
    job->state = JobState::kFinalized;
    return WriteJob(*store_, *job, Receipts::kKeep);
  }

  Status WriteAudit(const engine::CompactReport& report) {
    const std::string path = AuditLogPath(DualDirectory(context_, store_->space()));
    ENGRAM_ASSIGN_OR_RETURN(
        auto audit, AuditLog::Open(context_.environment.fs, context_.environment.clock, path));
    return audit->Append(options_.finalize ? "finalize" : "compact",
                         {{"bytes_before", report.bytes_before},
                          {"bytes_after", report.bytes_after},
                          {"digest", ToHex(report.digest_after)}});
  }

  const JobContext& context_;
  const CompactJobOptions& options_;
  MemoryBudget budget_;
  Throttle throttle_;
  ProgressMeter meter_;
  std::unique_ptr<engine::Store> store_;
  engine::Mode mode_before_ = engine::Mode::kLegacy;
  std::optional<Job> job_before_;
  uint64_t quarantined_ = 0;
};

}  // namespace

Result<json> Compact(const JobContext& context, const CompactJobOptions& options) {
  return CompactJob(context, options).Run();
}

}  // namespace engram::migration
