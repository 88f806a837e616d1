#include "migration/internal/space_migration.h"

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "base/utf8.h"
#include "engine/record.h"
#include "migration/spaces.h"

namespace engram::migration::internal {
namespace {

using nlohmann::json;

constexpr const char* kFullHint =
    "free space there, then run the same command with --resume; what was done stays";
constexpr const char* kResumeHint = "run the same command with --resume to go on";

// The first `size_bytes` bytes of a file, hashed.
Result<Sha256Digest> HashPrefix(FileSystem& fs, const std::string& path, uint64_t size_bytes) {
  ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kReadOnly));
  Sha256 sha256;
  std::vector<uint8_t> buffer(1u << 20);
  for (uint64_t offset = 0; offset < size_bytes;) {
    const uint64_t want = std::min<uint64_t>(buffer.size(), size_bytes - offset);
    ENGRAM_ASSIGN_OR_RETURN(const uint64_t got,
                            file->ReadAt(offset, std::span(buffer.data(), want)));
    if (got == 0) break;
    sha256.Update(Bytes(buffer.data(), got));
    offset += got;
  }
  return sha256.Finish();
}

bool Active(JobState state) {
  return state != JobState::kOff && state != JobState::kRollbackWindow &&
         state != JobState::kFinalized;
}

std::string TimeText(int64_t seconds) {
  return engine::FormatTimestamp(engine::Timestamp{seconds, 0});
}

uint64_t FileSize(FileSystem& fs, const std::string& path) {
  const auto info = fs.Stat(path);
  return info.ok() ? info->size_bytes : 0;
}

}  // namespace

uint32_t WorkerCount(const MigrateOptions& options) {
  if (options.parallel_workers != 0) return std::min(options.parallel_workers, 64u);
  return std::max(1u, std::thread::hardware_concurrency() / 2);
}

uint64_t UnitSize(const MigrateOptions& options) {
  constexpr uint64_t kUnitsPerSecond = 10;
  if (options.rate_limit_per_second == 0) return options.batch_size;
  return std::clamp<uint64_t>(options.rate_limit_per_second / kUnitsPerSecond, 1,
                              options.batch_size);
}

namespace {

// Whether all that was read of a file that is gone is there under another name: upstream moves its
// logs to archives.
Result<bool> WasMoved(FileSystem& fs, const SourceSpace& space, const SourceExtent& extent) {
  for (const SourceFile& file : space.files) {
    if (FileSize(fs, file.path) != extent.size_bytes) continue;
    ENGRAM_ASSIGN_OR_RETURN(const Sha256Digest hash, HashPrefix(fs, file.path, extent.size_bytes));
    if (hash == extent.sha256) return true;
  }
  return false;
}

// What the checkpoint has seen and must still be there under its name.
Result<std::vector<SourceExtent>> UnmovedExtents(FileSystem& fs, const SourceSpace& space,
                                                 const Checkpoint& checkpoint) {
  std::set<std::string> names;
  for (const SourceFile& file : space.files) names.insert(file.relative_path);
  std::vector<SourceExtent> unmoved;
  for (const SourceExtent& extent : checkpoint.source) {
    if (!names.contains(extent.path)) {
      if (extent.size_bytes == 0) continue;  // upstream leaves empty logs and removes them
      ENGRAM_ASSIGN_OR_RETURN(const bool moved, WasMoved(fs, space, extent));
      if (moved) continue;
    }
    unmoved.push_back(extent);
  }
  return unmoved;
}

}  // namespace

Status CheckSource(FileSystem& fs, const SpaceSource& source, const Checkpoint& checkpoint) {
  if (source.source == nullptr) {
    if (checkpoint.source_path.empty() || checkpoint.state > JobState::kPrepared) {
      return Status::Ok();
    }
    return Status::FailedPrecondition(
        "the interrupted job reads the source " + checkpoint.source_path,
        "give it again with --source, or run without --resume");
  }
  ENGRAM_ASSIGN_OR_RETURN(const auto before, UnmovedExtents(fs, *source.space, checkpoint));
  std::vector<SourceFileNow> now;
  for (const SourceFile& file : source.space->files) {
    SourceFileNow seen{file.relative_path, FileSize(fs, file.path), 0, {}};
    for (const SourceExtent& extent : checkpoint.source) {
      if (extent.path != file.relative_path || seen.size_bytes < extent.size_bytes) continue;
      seen.prefix_size_bytes = extent.size_bytes;
      ENGRAM_ASSIGN_OR_RETURN(seen.prefix_sha256, HashPrefix(fs, file.path, extent.size_bytes));
    }
    now.push_back(std::move(seen));
  }
  return CheckSourceOnlyGrew(before, now);
}

SpaceMigration::SpaceMigration(const JobContext& context, const MigrateOptions& options,
                               const SpaceSource& source, std::string space)
    : context_(context),
      options_(options),
      source_(source),
      space_(std::move(space)),
      directory_(DualDirectory(context, space_)),
      begun_ns_(context.environment.clock.MonotonicNs()),
      budget_(context.environment.fs, options.memory_budget_mb << 20),
      throttle_(context.environment.clock, options.rate_limit_per_second, context.cancel),
      meter_(context.environment.clock, context.progress, &budget_, space_) {}

Result<json> SpaceMigration::Run() {
  ENGRAM_TRY(Open());
  const Status begun = BeginAndIngest();
  if (!begun.ok() && (begun.code() == StatusCode::kFull || !begun_)) ENGRAM_TRY(LeaveNothing());
  ENGRAM_TRY(begun);
  ENGRAM_TRY(EnterDualMode());
  ENGRAM_TRY(Timed(&convert_seconds_, [this] { return Convert(); }));
  ENGRAM_TRY(Timed(&verify_seconds_, [this] { return Verify(); }));
  ENGRAM_TRY(Finish());
  ENGRAM_TRY(store_->Close());
  return Report();
}

Status SpaceMigration::BeginAndIngest() {
  if (options_.resume) ENGRAM_TRY(ContinueJob());
  if (source_.source != nullptr) {
    ENGRAM_TRY(Timed(&ingest_seconds_, [this] { return IngestSource(); }));
  } else {
    ENGRAM_TRY(WarnOfUnfinishedSources());
  }
  return BeginJob();
}

// What they still hold is not in the space, and so not converted.
Status SpaceMigration::WarnOfUnfinishedSources() {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(const auto known, ReadKnownSources(*view));
  for (const KnownSource& source : known) {
    if (source.complete) continue;
    context_.environment.logger.Warning("space " + space_ + ": the ingest of " + source.directory +
                                        " did not end; for the rest of it run: engram migrate-dual "
                                        "--source " +
                                        source.directory);
  }
  return Status::Ok();
}

template <typename Phase>
Status SpaceMigration::Timed(double* seconds, Phase phase) {
  const uint64_t begun_ns = context_.environment.clock.MonotonicNs();
  Status status = phase();
  *seconds = static_cast<double>(context_.environment.clock.MonotonicNs() - begun_ns) / 1e9;
  return status;
}

Status SpaceMigration::Open() {
  const bool may_create = source_.source != nullptr;
  created_ = may_create && !HasStore(context_, space_);
  if (created_) {
    made_directories_ = MissingDirectories(context_.environment.fs, ParentPath(directory_));
    // An empty store: its first log segment and a few pages.
    ENGRAM_TRY(CheckFreeSpace(context_.environment.fs, directory_,
                              context_.log.segment_size_bytes_min + (1u << 20)));
  }
  ENGRAM_ASSIGN_OR_RETURN(
      store_, OpenSpace(context_, space_,
                        may_create ? engine::Access::kCreate : engine::Access::kReadWrite));
  ENGRAM_ASSIGN_OR_RETURN(live_bytes_before_, store_->LiveBytes());
  ENGRAM_ASSIGN_OR_RETURN(audit_,
                          AuditLog::Open(context_.environment.fs, context_.environment.clock,
                                         AuditLogPath(directory_)));
  return Status::Ok();
}

// A refusal leaves no store behind where none was.
Status SpaceMigration::LeaveNothing() {
  if (!created_) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  view.reset();
  if (counts.records != 0) return Status::Ok();  // it filled up midway: what is in stays
  FileSystem& fs = context_.environment.fs;
  IgnoreError(store_->Close(), "nothing of it is kept");
  store_.reset();
  audit_.reset();
  // The log before STORE: a log without its STORE would look like a damaged store.
  for (const char* name : {"log", "migration", "STORE"}) {
    ENGRAM_TRY(RemoveTree(fs, JoinPath(directory_, name)));
  }
  ENGRAM_TRY(RemoveTree(fs, directory_));
  for (const std::string& made : made_directories_) {
    IgnoreError(fs.RemoveDirectory(made), "somebody else uses it by now");
  }
  return Status::Ok();
}

Result<engine::DigestState> SpaceMigration::Digests() {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  return view->Digests();
}

// Once; a source that is refused leaves the job that was there.
Status SpaceMigration::BeginJob() {
  if (std::exchange(begun_, true)) return Status::Ok();
  if (resumed_) return audit_->Append("resume", {{"job", job_.id.ToString()}});
  ENGRAM_ASSIGN_OR_RETURN(job_.id, Uuid::Random());
  if (TakesSnapshot()) {
    ENGRAM_TRY(CheckRoomForConversion(SnapshotSizeBytes(*store_)));
    ENGRAM_ASSIGN_OR_RETURN(snapshot_,
                            TakeSnapshot(context_, *store_, "migration-" + job_.id.ToString()));
  }
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, Digests());
  job_.start = SnapshotDigests(digests);
  job_.state = JobState::kPrepared;
  ENGRAM_TRY(WriteJob(*store_, job_, Receipts::kForget));
  return audit_->Append("start", {{"job", job_.id.ToString()},
                                  {"space", space_},
                                  {"source", options_.source.value_or("")},
                                  {"snapshot", snapshot_ ? snapshot_->name : ""},
                                  {"lsn", job_.start.lsn},
                                  {"digest", ToHex(job_.start.space)}});
}

// Goes on with the job in the store if the checkpoint is of that job. The store is the truth: a
// checkpoint that it does not know belongs to a job that a later one has replaced.
Status SpaceMigration::ContinueJob() {
  const auto found = ReadCheckpoint(context_.environment.fs, CheckpointPath(directory_));
  if (found.status().code() == StatusCode::kNotFound) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, found);
  ENGRAM_TRY(CheckSameStore(checkpoint, store_->Info().store_uuid, space_));
  ENGRAM_TRY(CheckSource(context_.environment.fs, source_, checkpoint));
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(const auto job, ReadJob(*view));
  if (!job.has_value() || job->id != checkpoint.job_id || !Active(job->state)) return Status::Ok();
  job_ = *job;
  resumed_ = true;
  resumed_nodes_ = checkpoint.nodes;
  meter_.CheckpointWritten(TimeText(checkpoint.time_s), checkpoint.nodes);
  return Status::Ok();
}

IngestHooks SpaceMigration::HooksOfIngest() {
  IngestHooks hooks;
  hooks.progress = [this](const char* phase, uint64_t done, uint64_t total) {
    if (ingest_phase_ != phase) {
      if (!ingest_phase_.empty()) meter_.End();
      ingest_phase_ = phase;
      meter_.Begin(phase, total);
    }
    if (done > meter_.done()) meter_.Advance(done - meter_.done());
    meter_.Poll();
  };
  hooks.throttle = [this](uint64_t records) -> Status {
    if (throttle_.Admit(records)) return Status::Ok();
    return Status::Cancelled("the ingest was interrupted", kResumeHint);
  };
  hooks.waits = [this] { return throttle_.may_wait(); };
  hooks.checkpoint = [this](uint64_t records_done, const Sha256Digest&) {
    return SaveCheckpoint(CoverageLedger(), std::max(records_done, resumed_nodes_));
  };
  hooks.committing = [this](engine::BulkTxn& txn, uint64_t converted) {
    job_.counters.converted += converted;
    return txn.SetMeta(kJobRow, job_.EncodeRow());
  };
  hooks.accepted = [this](const std::vector<SourceExtent>& extents) -> Status {
    ENGRAM_TRY(BeginJob());
    extents_ = extents;
    ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
    ENGRAM_ASSIGN_OR_RETURN(const CoverageLedger receipts, ReadReceipts(*view));
    return SaveCheckpoint(receipts, resumed_nodes_);
  };
  hooks.cancel = context_.cancel;
  return hooks;
}

Status SpaceMigration::IngestSource() {
  IngestOptions options;
  options.batch_size = UnitSize(options_);
  options.checkpoint_interval = options_.checkpoint_interval;
  options.memory_budget_bytes = budget_.budget_bytes();
  options.workers = WorkerCount(options_);
  options.other_bytes = context_.log.segment_size_bytes_min;  // the log's next segment
  if (TakesSnapshot()) options.other_bytes += SnapshotSizeBytes(*store_);
  if (options_.history_scan) options.heads = IngestHeads::kBoth;
  options.store_directory = directory_;
  options.later_bytes_per_record = RoomForDualHeads(1);
  ENGRAM_ASSIGN_OR_RETURN(ingest_, Ingest(context_.environment, store_.get(), *source_.source,
                                          *source_.space, options, HooksOfIngest()));
  if (!ingest_phase_.empty()) meter_.End();
  bytes_predicted_ += ingest_->bytes_predicted;
  if (ingest_->written == 0 && ingest_->removed == 0) return Status::Ok();
  // What a resumed job had converted may be old again.
  return ForgetReceipts();
}

// They no longer hold: history is looked through from its beginning.
Status SpaceMigration::ForgetReceipts() {
  job_.counters = {.converted = job_.counters.converted};
  return WriteJob(*store_, job_, Receipts::kForget);
}

Status SpaceMigration::EnterState(JobState state) {
  job_.state = state;
  return WriteJob(*store_, job_, Receipts::kKeep);
}

Status SpaceMigration::EnterDualMode() {
  ENGRAM_TRY(EnterState(JobState::kWriteNew));
  if (store_->mode() != engine::Mode::kFinalized && store_->mode() != engine::Mode::kDual) {
    const std::string before(engine::ModeName(store_->mode()));
    ENGRAM_TRY(SetMode(*store_, engine::Mode::kDual));
    ENGRAM_TRY(audit_->Append("mode", {{"from", before}, {"to", "dual"}}));
  }
  ENGRAM_ASSIGN_OR_RETURN(before_, Digests());
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(counts_, view->Count());
  ENGRAM_ASSIGN_OR_RETURN(job_.max_key, LastRecordKey(*view));
  view.reset();
  return EnterState(JobState::kBackfill);
}

// For the dual heads of what is old now, and `other_bytes`.
Status SpaceMigration::CheckRoomForConversion(uint64_t other_bytes) {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  return CheckFreeSpace(context_.environment.fs, directory_,
                        RoomForDualHeads(counts.old) + other_bytes);
}

// Whether records that an interrupted job had converted became old again behind its receipts: a
// write in mode legacy, a source that came in.
Result<bool> SpaceMigration::ReceiptsAreBehind() {
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
  return resumed_ && counts.old > job_.counters.quarantined;
}

Status SpaceMigration::Convert() {
  if (!options_.history_scan) return Status::Ok();
  const uint64_t to_convert = counts_.old + (ingest_ ? ingest_->converted : 0);
  bytes_predicted_ += to_convert * kDualHeadGrowthBytes;
  Status room = CheckRoomForConversion(0);
  if (room.code() == StatusCode::kFull) room = room.WithHint(kFullHint);
  ENGRAM_TRY(room);
  ConvertOptions options;
  options.batch_size = UnitSize(options_);
  options.checkpoint_interval = options_.checkpoint_interval;
  options.workers = WorkerCount(options_);
  const ConvertHooks hooks{throttle_, budget_, meter_,
                           [this](const Job& job, const CoverageLedger& receipts) {
                             return SaveCheckpoint(receipts, job.counters.found);
                           }};
  meter_.Begin("convert", counts_.records, std::min(counts_.records, job_.counters.found));
  Status converted = ConvertHistory(*store_, options, hooks, &job_);
  if (converted.ok()) {
    ENGRAM_ASSIGN_OR_RETURN(const bool is_behind, ReceiptsAreBehind());
    if (is_behind) {
      ENGRAM_TRY(ForgetReceipts());
      converted = ConvertHistory(*store_, options, hooks, &job_);
    }
  }
  if (converted.code() == StatusCode::kFull) {
    // The device filled up after the check: what it still takes.
    const uint64_t left = counts_.old - std::min(counts_.old, job_.counters.converted);
    const Status now = CheckFreeSpace(context_.environment.fs, directory_,
                                      std::max<uint64_t>(left * kDualHeadGrowthBytes, 1u << 20));
    converted =
        Status::Full((now.ok() ? "the device of " + directory_ + " was full" : now.message()) +
                         " (" + converted.message() + ")",
                     kFullHint);
  }
  ENGRAM_TRY(converted);
  meter_.End();
  // The history scan finds what the ingest has converted, too; and a record may have been
  // converted, written again and converted again.
  JobCounters& counters = job_.counters;
  const uint64_t dual = counters.found - std::min(counters.found, counters.quarantined);
  counters.converted = std::min(counters.converted, dual);
  counters.already_dual = dual - counters.converted;
  return Status::Ok();
}

Status SpaceMigration::Verify() {
  ENGRAM_TRY(EnterState(JobState::kVerify));
  VerifyRun run;
  run.meter = &meter_;
  run.cancel = context_.cancel;
  ENGRAM_ASSIGN_OR_RETURN(verified_, VerifyStore(*store_, run));
  budget_.Sample();
  return Status::Ok();
}

Status SpaceMigration::Finish() {
  ENGRAM_ASSIGN_OR_RETURN(after_, Digests());
  ENGRAM_ASSIGN_OR_RETURN(auto view, store_->View());
  ENGRAM_ASSIGN_OR_RETURN(counts_, view->Count());
  ENGRAM_ASSIGN_OR_RETURN(const CoverageLedger receipts, ReadReceipts(*view));
  view.reset();
  const bool complete = verified_.ok() && counts_.old == 0 &&
                        after_.SpaceDigest() == before_.SpaceDigest() &&
                        (!ingest_ || ingest_->source_digest == after_.SpaceDigest());
  if (complete) {
    ENGRAM_TRY(EnterState(JobState::kReady));
    ENGRAM_TRY(EnterState(JobState::kCutOver));
    ENGRAM_TRY(EnterState(store_->mode() == engine::Mode::kFinalized ? JobState::kFinalized
                                                                     : JobState::kRollbackWindow));
  } else if (!options_.history_scan && verified_.ok()) {
    ENGRAM_TRY(EnterState(JobState::kWriteNew));
  }
  engine::Store::DrainOptions drain;
  drain.sync = true;
  ENGRAM_TRY(store_->Drain(drain));
  ENGRAM_TRY(SaveCheckpoint(receipts, job_.counters.found));
  ENGRAM_ASSIGN_OR_RETURN(live_bytes_after_, store_->LiveBytes());
  return audit_->Append("finish", {{"job", job_.id.ToString()},
                                   {"complete", complete},
                                   {"converted", job_.counters.converted},
                                   {"lsn", after_.lsn.value},
                                   {"digest", ToHex(after_.SpaceDigest())}});
}

// REQUIRES: the environment was flushed after what `receipts` and `nodes` claim.
Status SpaceMigration::SaveCheckpoint(const CoverageLedger& receipts, uint64_t nodes) {
  Checkpoint& c = checkpoint_;
  c.store_uuid = store_->Info().store_uuid;
  c.job_id = job_.id;
  c.space = space_;
  c.state = job_.state;
  c.config = {options_.batch_size, options_.checkpoint_interval, options_.memory_budget_mb,
              options_.rate_limit_per_second, WorkerCount(options_)};
  c.source_path = options_.source.value_or("");
  c.source = extents_;
  std::sort(c.source.begin(), c.source.end(),
            [](const SourceExtent& a, const SourceExtent& b) { return a.path < b.path; });
  c.receipts = receipts.ranges();
  c.position = receipts.ContiguousFrom(1);
  c.nodes = nodes;
  c.nodes_total = counts_.records;
  c.start = job_.start;
  c.time_s = context_.environment.clock.WallSeconds();
  ENGRAM_TRY(WriteCheckpoint(context_.environment.fs, CheckpointPath(directory_), c));
  meter_.CheckpointWritten(TimeText(c.time_s), nodes);
  return audit_->Append("checkpoint", {{"job", job_.id.ToString()},
                                       {"state", std::string(JobStateName(job_.state))},
                                       {"position", c.position},
                                       {"nodes", nodes}});
}

json SpaceMigration::Report() {
  const double seconds =
      static_cast<double>(context_.environment.clock.MonotonicNs() - begun_ns_) / 1e9;
  const uint64_t found = ingest_ && !options_.history_scan ? ingest_->found : job_.counters.found;
  const std::string after = ToHex(after_.SpaceDigest());
  json digest = {{"source", nullptr},
                 {"before", ToHex(before_.SpaceDigest())},
                 {"after", after},
                 {"lsn", after_.lsn.value},
                 {"tiers", TiersToJson(after_)}};
  if (ingest_) digest["source"] = ToHex(ingest_->source_digest);
  const bool same = digest["before"] == after && (!ingest_ || digest["source"] == after);
  const bool complete = !options_.history_scan || counts_.old == 0;
  json report = {
      {"ok", same && complete && verified_.ok()},
      {"space", space_},
      {"source", ingest_ ? SourceToJson(*ingest_) : json()},
      {"found", found},
      {"converted", job_.counters.converted},
      {"already_dual", job_.counters.already_dual},
      {"deleted", ingest_ ? ingest_->deleted : 0},
      {"remaining_old", counts_.old},
      {"quarantined", job_.counters.quarantined},
      {"digest", std::move(digest)},
      {"bytes_predicted", bytes_predicted_},
      {"bytes_written", live_bytes_after_ - std::min(live_bytes_before_, live_bytes_after_)},
      {"seconds_predicted",
       PredictSeconds(found, job_.counters.converted) + (ingest_ ? ingest_->seconds_predicted : 0)},
      {"seconds", seconds},
      {"ingest_seconds", ingest_seconds_},
      {"convert_seconds", convert_seconds_},
      {"verify_seconds", verify_seconds_},
      {"nodes_per_second", seconds > 0 ? static_cast<double>(found) / seconds : 0},
      {"resident_anon_peak_bytes", budget_.peak_bytes()},
      {"checkpoint",
       {{"path", CheckpointPath(directory_)},
        {"position", checkpoint_.position},
        {"nodes", checkpoint_.nodes}}}};
  report["snapshot"] = snapshot_ ? snapshot_->ToJson() : json();
  report["verification"] = verified_.ToJson(space_);
  return report;
}

double PredictSeconds(uint64_t records, uint64_t conversions) {
  return static_cast<double>(conversions) * kSecondsPerConversion +
         static_cast<double>(records) * kSecondsPerVerification;
}

json SourceToJson(const IngestReport& report) {
  const SourceCounters& c = report.source;
  json damaged = json::array();
  for (const SourceDamage& d : c.damaged) {
    damaged.push_back(
        {{"file", PathText(d.file)}, {"offset", d.offset}, {"length", d.length}, {"kind", d.kind}});
  }
  json quarantined = json::array();
  for (const SourceQuarantine& q : c.quarantined) {
    quarantined.push_back({{"file", PathText(q.file)}, {"offset", q.offset}, {"reason", q.reason}});
  }
  return {{"files", c.files},
          {"bytes", c.bytes},
          {"records", c.records},
          {"episodes", c.episodes},
          {"memories", c.memories},
          {"deletes", c.deletes},
          {"other_types", c.other_types},
          {"versions_superseded", c.versions_superseded},
          {"duplicates", c.duplicates},
          {"damaged", std::move(damaged)},
          {"quarantined", std::move(quarantined)},
          {"written", report.written},
          {"unchanged", report.unchanged},
          {"removed", report.removed},
          {"kept_local", report.kept_local}};
}

}  // namespace engram::migration::internal
