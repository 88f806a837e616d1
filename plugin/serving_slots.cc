// What a host needs that keeps a space open and serves it: writes in two halves, text search,
// figures, jobs on it.
#include <algorithm>

#include "migration/source_registry.h"
#include "plugin/jobs.h"
#include "plugin/memory_marshal.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

static_assert(compat::kGateWaitBuckets == ENGRAM_SE_WAIT_BUCKETS);
static_assert(engine::kTierCount == 3);

void FillDigests(const engine::DigestState& digests, engram_se_figures* out) {
  const Sha256Digest space = digests.SpaceDigest();
  std::copy(space.begin(), space.end(), out->digest);
  for (int i = 0; i < engine::kTierCount; ++i) {
    const engine::TierDigest& tier = digests.tiers[i];
    const Sha256Digest lanes = tier.lanes.Publish();
    out->tier_count[i] = tier.count;
    out->tier_dirty[i] = tier.dirty ? 1 : 0;
    std::copy(lanes.begin(), lanes.end(), out->tier_digest[i]);
  }
}

void FillCounts(const engine::Counts& counts, engram_se_figures* out) {
  out->count = counts.records;
  out->old_count = counts.old;
  out->dual_count = counts.dual;
  out->episode_count = counts.episodes;
  out->concept_count = counts.concepts;
  out->edge_count = counts.edges;
  out->binding_count = counts.bindings;
  out->quarantined_count = counts.quarantined;
  out->lossy_count = counts.concepts;
}

void FillStore(engine::Store& store, engram_se_figures* out) {
  const engine::StoreInfo info = store.Info();
  out->size_bytes = info.bytes;
  out->lsn_durable = info.durable.value;
  out->lsn_applied = info.applied.value;
  out->overlay_size_bytes = info.overlay_size_bytes;
  out->log_size_bytes = info.log_size_bytes;
  out->log_appended_bytes_total = info.log.appended_bytes;
  out->log_groups_total = info.log.groups;
  out->log_records_total = info.log.records;
  out->log_flush_ns_total = info.log.flush_ns;
  out->recovery_ns = store.recovery().duration_ns;
  out->recovery_records = store.recovery().records_replayed;
  out->latched = info.latched ? 1 : 0;
}

void FillBackend(const compat::BackendStats& stats, engram_se_figures* out) {
  out->lazy_conversions_total = stats.converted_on_read;
  out->lazy_installs_total = stats.conversions_installed;
  out->shadow_mismatches_total = stats.shadow_mismatches;
  std::copy(stats.mode_gate.buckets.begin(), stats.mode_gate.buckets.end(), out->mode_gate_wait);
  out->mode_gate_wait_ns_total = stats.mode_gate.total_ns;
}

engram_se_status SpaceFigures(engram_se_space* space, engram_se_figures* figures,
                              engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    engram_se_figures out{};
    ENGRAM_ASSIGN_OR_RETURN(auto view, space->store->View());
    ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, view->Digests());
    ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
    out.mode = static_cast<uint32_t>(view->mode());
    out.lsn = digests.lsn.value;
    view.reset();
    FillDigests(digests, &out);
    FillCounts(counts, &out);
    FillStore(*space->store, &out);
    FillBackend(space->backend->Stats(), &out);
    return Give(out, figures);
  });
}

engram_se_status StoreStage(engram_se_space* space, const engram_se_memory* memory,
                            uint64_t* lsn_out, engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    OwnedMemory owned;
    ENGRAM_TRY(ReadMemory(Taken(memory), &owned));
    return SetLsn(space->backend->StagePut(owned.memory, owned.embedding), lsn_out);
  });
}

engram_se_status WaitDurable(engram_se_space* space, uint64_t lsn,
                             engram_se_error* error) noexcept {
  return Guarded(error, [&] { return space->store->WaitDurable(Lsn{lsn}); });
}

engram_se_status SearchText(engram_se_space* space, engram_se_bytes query, float threshold,
                            uint32_t k, engram_se_scored_fn visit, void* ctx,
                            engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto hits,
                            space->backend->SearchText(ToView(query), threshold, k));
    for (const auto& hit : hits) {
      if (visit(ctx, ToBytes(hit.id), hit.score) != 0) break;
    }
    return Status::Ok();
  });
}

engram_se_status SpaceIngest(engram_se_space* space, const engram_se_migrate_options* options,
                             const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(space->engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  if ((Taken(options).flags & ENGRAM_SE_MIGRATE_ANNOUNCE) != 0) {
                    ENGRAM_TRY(migration::ExpectSource(*space->store));
                    return nlohmann::json{{"ok", true}};
                  }
                  ENGRAM_ASSIGN_OR_RETURN(const auto given, MigrateOptionsOf(options));
                  return migration::IngestOpen(context, *space->store, given);
                });
}

engram_se_status SpaceVerify(engram_se_space* space, const engram_se_verify_options* options,
                             const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(space->engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  return migration::VerifyOpen(context, *space->store, VerifyOptionsOf(options));
                });
}

engram_se_status SpaceRollback(engram_se_space* space, const engram_se_job* job,
                               engram_se_error* error) noexcept {
  return RunJob(space->engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  return migration::RollbackOpen(context, *space->backend);
                });
}

}  // namespace

void SetServingSlots(engram_se_vtable* table) {
  table->search_text = SearchText;
  table->space_figures = SpaceFigures;
  table->space_ingest = SpaceIngest;
  table->space_verify = SpaceVerify;
  table->space_rollback = SpaceRollback;
  table->store_stage = StoreStage;
  table->wait_durable = WaitDurable;
}

}  // namespace engram::plugin
