// What a migration would do: the same reading and converting, nothing written.
#include <algorithm>

#include "migration/internal/space_migration.h"
#include "migration/spaces.h"

namespace engram::migration::internal {
namespace {

using nlohmann::json;

// Records that are converted to measure how long one takes.
constexpr uint64_t kSampleKeys = 20000;
struct StorePart {
  engine::Counts counts;
  engine::DigestState digests;
  uint64_t poison = 0;
  double seconds_per_record = kSecondsPerConversion;
};

Status ConvertSample(engine::Store& store, Clock& clock, StorePart* part) {
  ENGRAM_ASSIGN_OR_RETURN(auto converter, RangeConverter::Make(store));
  const uint64_t begun_ns = clock.MonotonicNs();
  uint64_t converted = 0;
  for (uint64_t first = 1; first < kSampleKeys; first += 1000) {
    ConvertedRange range;
    ENGRAM_TRY(converter->Convert({first, first + 999}, &range));
    converted += range.head_count;
    part->poison += range.poison.size();
  }
  if (converted == 0) return Status::Ok();
  part->seconds_per_record =
      static_cast<double>(clock.MonotonicNs() - begun_ns) / 1e9 / static_cast<double>(converted);
  return Status::Ok();
}

Result<StorePart> LookAtStore(engine::Store& store, Clock& clock) {
  StorePart part;
  ENGRAM_ASSIGN_OR_RETURN(auto view, store.View());
  ENGRAM_ASSIGN_OR_RETURN(part.counts, view->Count());
  ENGRAM_ASSIGN_OR_RETURN(part.digests, view->Digests());
  view.reset();
  ENGRAM_TRY(ConvertSample(store, clock, &part));
  return part;
}

// The refusals of a run with --resume.
Status CheckResume(const JobContext& context, const SpaceSource& source, const std::string& space,
                   engine::Store& store) {
  FileSystem& fs = context.environment.fs;
  const auto found = ReadCheckpoint(fs, CheckpointPath(DualDirectory(context, space)));
  if (found.status().code() == StatusCode::kNotFound) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, found);
  ENGRAM_TRY(CheckSameStore(checkpoint, store.Info().store_uuid, space));
  return CheckSource(fs, source, checkpoint);
}

}  // namespace

Result<json> DryRunSpace(const JobContext& context, const MigrateOptions& options,
                         const SpaceSource& source, const std::string& space,
                         uint64_t* promised_bytes) {
  Clock& clock = context.environment.clock;
  const uint64_t begun_ns = clock.MonotonicNs();
  MemoryBudget budget(context.environment.fs, options.memory_budget_mb << 20);
  std::unique_ptr<engine::Store> store;
  StorePart part;
  if (source.source == nullptr || HasStore(context, space)) {
    ENGRAM_ASSIGN_OR_RETURN(store, OpenSpace(context, space, engine::Access::kReadOnly));
    if (options.resume) ENGRAM_TRY(CheckResume(context, source, space, *store));
    ENGRAM_ASSIGN_OR_RETURN(part, LookAtStore(*store, clock));
  }
  std::optional<IngestReport> ingest;
  if (source.source != nullptr) {
    IngestOptions dry;
    dry.dry_run = true;
    dry.batch_size = options.batch_size;
    dry.memory_budget_bytes = budget.budget_bytes();
    dry.workers = WorkerCount(options);
    IngestHooks hooks;
    hooks.cancel = context.cancel;
    ENGRAM_ASSIGN_OR_RETURN(ingest, Ingest(context.environment, store.get(), *source.source,
                                           *source.space, dry, hooks));
  }
  const uint64_t to_write = ingest ? ingest->written : 0;
  // After an ingest as many as its tiers have; some of what it writes replaces what is there.
  uint64_t records = part.counts.records;
  if (ingest) {
    records = 0;
    for (const engine::TierDigest& tier : ingest->tiers) records += tier.count;
  }
  const uint64_t old = std::min(part.counts.old + to_write, records);
  const uint64_t to_convert = options.history_scan ? old - std::min(old, part.poison) : 0;
  const uint64_t ingested_bytes = ingest ? ingest->bytes_predicted : 0;
  const uint64_t bytes = to_convert * kDualHeadGrowthBytes + ingested_bytes;
  *promised_bytes += RoomForDualHeads(to_convert) + ingested_bytes;
  // Its next segment, and the first of a new store.
  *promised_bytes += context.log.segment_size_bytes_min * (store ? 1 : 2);
  if (options.snapshot && store) *promised_bytes += SnapshotSizeBytes(*store);
  ENGRAM_TRY(
      CheckFreeSpace(context.environment.fs, DualDirectory(context, space), *promised_bytes));
  const double seconds = static_cast<double>(to_convert) * part.seconds_per_record +
                         static_cast<double>(records) * kSecondsPerVerification +
                         (ingest ? ingest->seconds_predicted : 0);
  const uint64_t found = options.history_scan ? records : ingest ? ingest->found : 0;
  budget.Sample();
  // As in a run: what a conversion finds, which after an ingest is what that has left.
  if (ingest) {
    std::copy(std::begin(ingest->tiers), std::end(ingest->tiers), std::begin(part.digests.tiers));
  }
  const std::string before = ToHex(part.digests.SpaceDigest());
  json digest = {{"source", ingest ? json(ToHex(ingest->source_digest)) : json()},
                 {"before", before},
                 {"after", before},
                 {"lsn", part.digests.lsn.value},
                 {"tiers", TiersToJson(part.digests)}};
  return json{{"ok", part.poison == 0},
              {"space", space},
              {"source", ingest ? SourceToJson(*ingest) : json()},
              {"found", found},
              {"converted", to_convert},
              {"already_dual", options.history_scan ? records - to_convert - part.poison : 0},
              {"deleted", ingest ? ingest->deleted : 0},
              {"remaining_old", options.history_scan ? 0 : old},
              {"quarantined", part.poison},
              {"digest", std::move(digest)},
              {"bytes_predicted", bytes},
              {"bytes_written", 0},
              {"seconds_predicted", seconds},
              {"seconds", static_cast<double>(clock.MonotonicNs() - begun_ns) / 1e9},
              {"nodes_per_second", nullptr},
              {"resident_anon_peak_bytes", budget.peak_bytes()},
              {"checkpoint", nullptr}};
}

}  // namespace engram::migration::internal
