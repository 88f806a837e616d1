#include "migration/ingest.h"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "engine/rows.h"
#include "migration/ingest_batch.h"
#include "migration/ingest_pipeline.h"
#include "migration/ingest_plan.h"
#include "migration/ingest_writer.h"
#include "migration/source_registry.h"
#include "migration/sources/source_index.h"

namespace engram::migration {
namespace {

// Bytes of the store per record beside its texts: embedding page, head, text row and id rows with
// the tables' fill factor.
constexpr uint64_t kStoreBytesPerRecord = 4096 + 700;
constexpr uint64_t kEmptyStoreBytes = 17 * 4096;  // tables, digests, the job's rows
constexpr uint64_t kFirstPagesBytes = 7 * 4096;   // the first, half-empty page of each table
constexpr uint64_t kFixedPayloadBytes = 3144;
// Anonymous memory that one written record costs until its commit: LMDB's dirty pages.
constexpr uint64_t kDirtyBytesPerRecord = 5200;
constexpr uint64_t kCommitRecordsMax = 32768;
constexpr uint64_t kServedCommitRecordsMax = 256;  // writers wait for so many at a time
constexpr uint64_t kBatchBytesPerRecord = 4096;
constexpr uint64_t kBytesPerIdRow = 100;
// What a commit can be expected to write per second, for predictions.
constexpr double kStoreBytesPerSecond = 600e6;

class IngestJob {
 public:
  IngestJob(const engine::Environment& environment, engine::Store* store, const Source& source,
            const SourceSpace& space, const IngestOptions& options, const IngestHooks& hooks)
      : environment_(environment),
        store_(store),
        source_(source),
        space_(space),
        options_(options),
        hooks_(hooks),
        // A finalized store takes no old-format records: count what there would be, then refuse.
        counts_only_(options.dry_run || store->mode() == engine::Mode::kFinalized) {}

  Result<IngestReport> Run() {
    started_ns_ = environment_.clock.MonotonicNs();
    if (options_.served && !counts_only_) ENGRAM_TRY(ExpectSource(*store_));
    ENGRAM_TRY(Index());
    ENGRAM_TRY(Plan());
    ENGRAM_TRY(Match());
    ENGRAM_TRY(Predict());
    if (!counts_only_ && hooks_.accepted) ENGRAM_TRY(hooks_.accepted(index_->extents()));
    if (!counts_only_) ENGRAM_TRY(Reserve());
    Status status = Write();
    if (status.ok() && !counts_only_) status = Finish();
    if (status.code() == StatusCode::kFull && store_ != nullptr) return FullMidway(status);
    if (!status.ok()) return status;
    ENGRAM_TRY(Digest());
    PredictSeconds();
    if (store_ != nullptr && store_->mode() == engine::Mode::kFinalized) {
      ENGRAM_TRY(RefuseFinalized());
    }
    return std::move(report_);
  }

 private:
  Status Index();
  Status Plan();
  Status Match();
  Status Predict();
  Status Reserve();
  Status Write();
  Status Finish();
  Status Digest();
  Status QuarantineRecords();
  Status RefuseFinalized() const;
  Status FullMidway(const Status& status) const;
  void PredictSeconds();
  KnownSource SourceRow(bool complete) const;
  PlanOptions MakePlanOptions();
  bool HasUnfinishedSource() const;
  bool SourceRowIsCurrent() const;

  const engine::Environment& environment_;
  engine::Store* const store_;
  const Source& source_;
  const SourceSpace& space_;
  const IngestOptions& options_;
  const IngestHooks& hooks_;
  const bool counts_only_;

  uint64_t started_ns_ = 0;
  uint64_t indexed_ns_ = 0;
  uint64_t bytes_before_ = 0;
  std::string directory_;
  std::vector<KnownSource> known_;
  std::unique_ptr<SourceIndex> index_;
  IngestPlan plan_;
  IngestTotals totals_;
  IngestReport report_;
};

Status IngestJob::Index() {
  directory_ = CanonicalDirectory(source_.directory);
  if (store_ != nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(bytes_before_, store_->LiveBytes());
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
    ENGRAM_ASSIGN_OR_RETURN(known_, ReadKnownSources(*view));
  }
  const KnownSource* candidate = CandidateOf(known_, directory_, space_);
  SourceIndex::Options index;
  index.cancel = hooks_.cancel;
  if (hooks_.progress) {
    index.progress = [this](uint64_t done, uint64_t total) {
      hooks_.progress("index", done, total);
    };
  }
  if (candidate != nullptr) {
    for (const SourceExtent& extent : candidate->extents) {
      index.known_sizes[extent.path] = extent.size_bytes;
    }
  }
  ENGRAM_ASSIGN_OR_RETURN(index_, SourceIndex::Build(environment_.fs, space_, index));
  report_.source = index_->counters();
  report_.found = index_->found();
  report_.deleted = index_->deleted();
  return Status::Ok();
}

// Needs the hashes, which are taken beside the scan and the plan.
Status IngestJob::Match() {
  ENGRAM_TRY(index_->WaitForHashes());
  indexed_ns_ = environment_.clock.MonotonicNs();
  report_.source_hash = index_->source_hash();
  const KnownSource* candidate = CandidateOf(known_, directory_, space_);
  ENGRAM_ASSIGN_OR_RETURN(report_.origin, MatchSource(known_, candidate, directory_, *index_));
  if (report_.origin != 0) report_.continued = !known_[report_.origin - 1].complete;
  return Status::Ok();
}

bool IngestJob::HasUnfinishedSource() const {
  return std::any_of(known_.begin(), known_.end(),
                     [](const KnownSource& source) { return !source.complete; });
}

PlanOptions IngestJob::MakePlanOptions() {
  uint64_t rows = std::max<uint64_t>(10000, options_.memory_budget_bytes / 3 / kBytesPerIdRow);
  if (options_.served) rows = kServedCommitRecordsMax * 8;
  PlanOptions options{.fs = environment_.fs,
                      .commit_rows_max = rows,
                      .mends = HasUnfinishedSource(),
                      .cancel = hooks_.cancel,
                      .progress = {}};
  if (hooks_.progress) {
    options.progress = [this](uint64_t done, uint64_t total) {
      hooks_.progress("ids", done, total);
    };
  }
  return options;
}

Status IngestJob::Plan() {
  return MakePlan(MakePlanOptions(), store_, !counts_only_, index_.get(), &plan_);
}

// Bytes from the index and the counts alone; the same in a dry run and before a real one.
Status IngestJob::Predict() {
  uint64_t records = 0;
  if (store_ != nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
    ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
    records = counts.records;
  }
  const uint64_t reserved = plan_.work.size() - plan_.fresh;  // an interrupted run's among them
  if (report_.continued && report_.found > records + plan_.fresh) {
    const uint64_t unwritten = std::min(reserved, report_.found - records - plan_.fresh);
    report_.bytes_predicted += unwritten * kStoreBytesPerRecord;
  }
  if (records == 0 && known_.empty()) {
    report_.bytes_predicted += kEmptyStoreBytes + (plan_.fresh == 0 ? 0 : kFirstPagesBytes);
  }
  std::vector<RecordRef> refs;
  for (uint64_t i = plan_.work.size() - plan_.fresh; i < plan_.work.size(); ++i) {
    index_->Contributions(plan_.work[i].index_id, &refs);
    uint64_t payload = refs.back().payload_size_bytes;
    report_.bytes_predicted += kStoreBytesPerRecord;
    if (payload > kFixedPayloadBytes) report_.bytes_predicted += payload - kFixedPayloadBytes;
  }
  for (const QuarantinedRecord& record : index_->quarantined()) {
    report_.bytes_predicted += record.ref.payload_size_bytes + 512;
  }
  if (counts_only_ || options_.store_directory.empty()) return Status::Ok();
  Result<DiskSpace> space = environment_.fs.Space(options_.store_directory);
  const uint64_t needed = report_.bytes_predicted + options_.other_bytes +
                          options_.later_bytes_per_record * plan_.work.size();
  if (!space.ok() || space->available_bytes >= needed) return Status::Ok();
  return Status::Full("not enough room for the space " + store_->space() + ": the ingest needs " +
                          std::to_string(needed) + " bytes, " + options_.store_directory + " has " +
                          std::to_string(space->available_bytes),
                      "free some space there, or give another --data-root");
}

// The device filled up after the check: what it still takes, and that nothing is lost by waiting.
Status IngestJob::FullMidway(const Status& status) const {
  const Result<uint64_t> live = store_->LiveBytes();
  const uint64_t grown = live.ok() && *live > bytes_before_ ? *live - bytes_before_ : 0;
  const uint64_t needed = report_.bytes_predicted > grown ? report_.bytes_predicted - grown : 0;
  const std::string& where =
      options_.store_directory.empty() ? store_->space() : options_.store_directory;
  const Result<DiskSpace> space = environment_.fs.Space(where);
  return Status::Full(
      "no room left for the space " + store_->space() + ": the rest of the ingest needs about " +
          std::to_string(needed) + " bytes, " + where + " has " +
          (space.ok() ? std::to_string(space->available_bytes) : "an unknown number") + " (" +
          status.message() + ")",
      "free space there, then run the same command with --resume; what was brought in stays");
}

KnownSource IngestJob::SourceRow(bool complete) const {
  return {report_.origin, complete, directory_, index_->extents()};
}

bool IngestJob::SourceRowIsCurrent() const {
  if (report_.origin == 0 || report_.origin > known_.size()) return false;
  const KnownSource& known = known_[report_.origin - 1];
  return known.complete && known.extents == index_->extents() && known.directory == directory_;
}

Status IngestJob::Reserve() {
  if (report_.origin == 0) report_.origin = static_cast<uint32_t>(known_.size()) + 1;
  if (SourceRowIsCurrent() && plan_.fresh == 0 && plan_.by_uuid.size() == 0) return Status::Ok();
  return ReserveIds(MakePlanOptions(), *store_, SourceRow(false), *index_, &plan_);
}

Status IngestJob::Write() {
  uint64_t commit = options_.memory_budget_bytes / 3 / kDirtyBytesPerRecord;
  commit = std::clamp<uint64_t>(commit, 64, kCommitRecordsMax);
  if (options_.checkpoint_interval > 0) {
    commit = std::min(commit, std::max<uint64_t>(options_.checkpoint_interval, 64));
  }
  if (options_.served) commit = std::min(commit, kServedCommitRecordsMax);
  PipelineOptions pipeline;
  pipeline.workers = std::max<uint32_t>(1, options_.workers);
  pipeline.records_max = std::clamp<uint64_t>(options_.batch_size, 1, 4096);
  if (options_.served) pipeline.records_max = std::min(pipeline.records_max, commit);
  pipeline.bytes_max = std::clamp<uint64_t>(
      std::min(options_.memory_budget_bytes / 64, pipeline.records_max * kBatchBytesPerRecord),
      1u << 20, 8u << 20);
  uint64_t batch_bytes = pipeline.bytes_max + pipeline.bytes_max / 4;
  pipeline.batches_max =
      std::clamp<uint64_t>(options_.memory_budget_bytes / 6 / batch_bytes, 2, 64);
  IngestWriter writer(counts_only_ ? nullptr : store_, report_.origin, plan_,
                      {commit, options_.checkpoint_interval, report_.source_hash, options_.heads},
                      hooks_, &totals_);
  BatchBuilder::Options build;
  build.store = store_;
  build.origin = report_.origin;
  if (options_.heads != IngestHeads::kOld && !counts_only_) {
    ENGRAM_ASSIGN_OR_RETURN(build.convert_for, SpaceId::Parse(store_->space()));
  }
  Status status = RunPipeline(pipeline, *index_, build, plan_.work,
                              [&](IngestBatch& batch) { return writer.Write(batch); });
  bool keep = status.ok() || status.code() == StatusCode::kCancelled;
  Status committed = keep ? writer.Commit() : Status::Ok();
  report_.written = totals_.written;
  report_.converted = totals_.converted;
  report_.removed = totals_.removed;
  report_.unchanged = totals_.unchanged;
  report_.kept_local = totals_.kept_local;
  return committed.ok() ? status : committed;
}

// Everything is written: keep what cannot be decoded, and note that this source is in.
Status IngestJob::Finish() {
  if (SourceRowIsCurrent() && totals_.written == 0 && totals_.removed == 0) return Status::Ok();
  ENGRAM_TRY(QuarantineRecords());
  ENGRAM_ASSIGN_OR_RETURN(auto txn, store_->BeginBulk());
  ENGRAM_TRY(txn->SetMeta(SourceRowName(report_.origin), EncodeKnownSource(SourceRow(true))));
  return txn->Commit({.sync = true});
}

// Undecodable and unknown records, verbatim. Key and value: docs/format/ingest.md.
Status IngestJob::QuarantineRecords() {
  constexpr uint64_t kCommitBytes = 16u << 20;
  std::unique_ptr<engine::BulkTxn> txn;
  uint64_t bytes = 0;
  RecordReader reader(*index_);
  for (const QuarantinedRecord& record : index_->quarantined()) {
    if (!txn) {
      ENGRAM_ASSIGN_OR_RETURN(txn, store_->BeginBulk());
    }
    const std::string& path = space_.files[record.ref.file].relative_path;
    std::string key = QuarantineKey(report_.origin, path, record.ref.offset);
    ENGRAM_TRY(reader.Load({record.ref}));
    std::string row;
    EncodeQuarantineRow(AsBytes(key), path, record, reader.record(0), &row);
    ENGRAM_TRY(txn->PutRow(engine::Table::kQuarantine, AsBytes(key), AsBytes(row)));
    bytes += row.size();
    if (bytes < kCommitBytes) continue;
    ENGRAM_TRY(txn->Commit({.sync = false}));
    txn.reset();
    bytes = 0;
  }
  return txn ? txn->Commit({.sync = false}) : Status::Ok();
}

Status IngestJob::Digest() {
  engine::LtHash sum;
  if (store_ != nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->Snapshot());
    ENGRAM_ASSIGN_OR_RETURN(engine::DigestState state, view->Digests());
    std::copy(std::begin(state.tiers), std::end(state.tiers), std::begin(report_.tiers));
    report_.lsn = state.lsn;
    report_.space_digest = state.SpaceDigest();
  }
  for (int i = 0; i < engine::kTierCount; ++i) {
    engine::TierDigest& tier = report_.tiers[i];
    if (counts_only_) {
      tier.count += totals_.planned.tiers[i].count;
      tier.lanes.Add(totals_.planned.tiers[i].lanes);
    }
    sum.Add(tier.lanes);
  }
  sum.Add(totals_.source_minus_stored);
  report_.source_digest = sum.Publish();
  if (store_ != nullptr && !counts_only_) {
    ENGRAM_ASSIGN_OR_RETURN(const uint64_t bytes, store_->LiveBytes());
    report_.bytes_written = bytes > bytes_before_ ? bytes - bytes_before_ : 0;
  }
  if (totals_.mismatches > 0) {
    environment_.logger.Error(std::to_string(totals_.mismatches) +
                              " records have another digest in the audit decoder");
  }
  return Status::Ok();
}

void IngestJob::PredictSeconds() {
  uint64_t now = environment_.clock.MonotonicNs();
  double index_s = static_cast<double>(indexed_ns_ - started_ns_) * 1e-9;
  double decode_s = static_cast<double>(now - indexed_ns_) * 1e-9;
  double write_s = static_cast<double>(report_.bytes_predicted) / kStoreBytesPerSecond;
  report_.seconds_predicted = index_s + std::max(decode_s, write_s);
}

Status IngestJob::RefuseFinalized() const {
  if (report_.written == 0 && report_.removed == 0) return Status::Ok();
  return Status::FailedPrecondition(
      "the space " + store_->space() + " is finalized and takes no old records; the source has " +
          std::to_string(report_.written + report_.removed) + " changes for it",
      "ingest the source into another space with --space");
}

}  // namespace

Result<IngestReport> Ingest(const engine::Environment& environment, engine::Store* store,
                            const Source& source, const SourceSpace& space,
                            const IngestOptions& options, const IngestHooks& hooks) {
  ENGRAM_CHECK(store != nullptr || options.dry_run);
  return IngestJob(environment, store, source, space, options, hooks).Run();
}

}  // namespace engram::migration
