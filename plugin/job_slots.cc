#include <atomic>

#include "base/ids.h"
#include "plugin/boundary.h"
#include "plugin/handles.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

static_assert(sizeof(std::atomic<bool>) == 1 && std::atomic<bool>::is_always_lock_free,
              "the cancel flag is one byte that holds 0 or 1");

void DeliverProgress(const engram_se_job& job, const migration::Progress& progress) {
  engram_se_progress out{};
  out.struct_size = sizeof out;
  out.space = ToBytes(progress.space);
  out.phase = ToBytes(progress.phase);
  out.done = progress.done;
  out.total = progress.total;
  out.rate_per_second = progress.rate_per_second;
  out.eta_seconds = progress.eta_seconds;
  out.resident_anon_bytes = progress.resident_anon_bytes;
  out.memory_budget_bytes = progress.memory_budget_bytes;
  out.checkpoint_time = ToBytes(progress.checkpoint_time);
  out.checkpoint_nodes = progress.checkpoint_nodes;
  job.progress(job.ctx, &out);
}

// Runs `body`, which takes a JobContext and returns Result<json>, and delivers its report.
template <typename Body>
engram_se_status RunJob(engram_se_engine* engine, const engram_se_job* job, engram_se_error* error,
                        Body&& body) noexcept {
  return Guarded(error, [&]() -> Status {
    const engram_se_job given = Taken(job);
    migration::JobContext context = engine->Context();
    if (given.progress != nullptr) {
      context.progress = [&given](const migration::Progress& p) { DeliverProgress(given, p); };
    }
    context.cancel =
        reinterpret_cast<const std::atomic<bool>*>(const_cast<const uint8_t*>(given.cancel));
    ENGRAM_ASSIGN_OR_RETURN(const nlohmann::json report, body(context));
    if (given.report == nullptr) return Status::Ok();
    // A file name in a damage list may be any bytes.
    const std::string text = report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    given.report(given.ctx, ToBytes(text));
    return Status::Ok();
  });
}

Result<std::string> SpaceName(const char* space) {
  ENGRAM_ASSIGN_OR_RETURN(const SpaceId id, SpaceId::Parse(space == nullptr ? "" : space));
  return id.str();
}

std::optional<std::string> TextOrNone(const char* text) {
  return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

template <typename Integer>
Integer OrDefault(Integer given, Integer default_value) {
  return given == 0 ? default_value : given;
}

Result<migration::MigrateOptions> MigrateOptionsOf(const engram_se_migrate_options* options) {
  const engram_se_migrate_options given = Taken(options);
  const migration::MigrateOptions defaults;
  migration::MigrateOptions out;
  out.source = TextOrNone(given.source);
  if (given.space != nullptr) {
    ENGRAM_ASSIGN_OR_RETURN(out.space, SpaceName(given.space));
  }
  out.dry_run = (given.flags & ENGRAM_SE_MIGRATE_DRY_RUN) != 0;
  out.resume = (given.flags & ENGRAM_SE_MIGRATE_RESUME) != 0;
  out.history_scan = (given.flags & ENGRAM_SE_MIGRATE_NO_HISTORY_SCAN) == 0;
  out.batch_size = OrDefault(given.batch_size, defaults.batch_size);
  out.checkpoint_interval = OrDefault(given.checkpoint_interval, defaults.checkpoint_interval);
  out.memory_budget_mb = OrDefault(given.memory_budget_mb, defaults.memory_budget_mb);
  out.rate_limit_per_second = given.rate_limit_per_second;
  out.parallel_workers = given.parallel_workers;
  return out;
}

engram_se_status Migrate(engram_se_engine* engine, const engram_se_migrate_options* options,
                         const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  ENGRAM_ASSIGN_OR_RETURN(const auto given, MigrateOptionsOf(options));
                  return migration::Migrate(context, given);
                });
}

engram_se_status Verify(engram_se_engine* engine, const engram_se_verify_options* options,
                        const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  const engram_se_verify_options given = Taken(options);
                  ENGRAM_ASSIGN_OR_RETURN(const std::string space, SpaceName(given.space));
                  migration::VerifyOptions verify;
                  verify.source = TextOrNone(given.source);
                  verify.space = space;
                  verify.sample = given.sample;
                  verify.full = (given.flags & ENGRAM_SE_VERIFY_FULL) != 0;
                  return migration::Verify(context, verify);
                });
}

using SpaceJob = Result<nlohmann::json> (*)(const migration::JobContext&, const std::string&);

engram_se_status RunSpaceJob(engram_se_engine* engine, const char* space, const engram_se_job* job,
                             engram_se_error* error, SpaceJob run) noexcept {
  return RunJob(engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  ENGRAM_ASSIGN_OR_RETURN(const std::string name, SpaceName(space));
                  return run(context, name);
                });
}

engram_se_status Rollback(engram_se_engine* engine, const char* space, const engram_se_job* job,
                          engram_se_error* error) noexcept {
  return RunSpaceJob(engine, space, job, error, migration::Rollback);
}

engram_se_status CanRollback(engram_se_engine* engine, const char* space, const engram_se_job* job,
                             engram_se_error* error) noexcept {
  return RunSpaceJob(engine, space, job, error, migration::CanRollback);
}

engram_se_status MigrationStatus(engram_se_engine* engine, const char* space,
                                 const engram_se_job* job, engram_se_error* error) noexcept {
  return RunSpaceJob(engine, space, job, error, migration::MigrationStatus);
}

engram_se_status SpaceStats(engram_se_engine* engine, const char* space, const engram_se_job* job,
                            engram_se_error* error) noexcept {
  return RunSpaceJob(engine, space, job, error, migration::SpaceStats);
}

engram_se_status Compact(engram_se_engine* engine, const engram_se_compact_options* options,
                         const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  const engram_se_compact_options given = Taken(options);
                  ENGRAM_ASSIGN_OR_RETURN(const std::string space, SpaceName(given.space));
                  migration::CompactJobOptions compact;
                  compact.space = space;
                  compact.finalize = (given.flags & ENGRAM_SE_COMPACT_FINALIZE) != 0;
                  return migration::Compact(context, compact);
                });
}

engram_se_status Salvage(engram_se_engine* engine, const engram_se_salvage_options* options,
                         const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  const engram_se_salvage_options given = Taken(options);
                  ENGRAM_ASSIGN_OR_RETURN(const std::string space, SpaceName(given.space));
                  migration::SalvageOptions salvage;
                  salvage.space = space;
                  salvage.dry_run = (given.flags & ENGRAM_SE_SALVAGE_DRY_RUN) != 0;
                  return migration::Salvage(context, salvage);
                });
}

engram_se_status SpaceList(engram_se_engine* engine, engram_se_id_fn visit, void* ctx,
                           engram_se_error* error) noexcept {
  return Guarded(error, [&]() -> Status {
    ENGRAM_ASSIGN_OR_RETURN(const auto names, migration::ListSpaces(engine->Context()));
    for (const std::string& name : names) {
      if (visit(ctx, ToBytes(name)) != 0) break;
    }
    return Status::Ok();
  });
}

}  // namespace

void SetJobSlots(engram_se_vtable* table) {
  table->migrate = Migrate;
  table->verify = Verify;
  table->rollback = Rollback;
  table->can_rollback = CanRollback;
  table->migration_status = MigrationStatus;
  table->compact = Compact;
  table->space_stats = SpaceStats;
  table->space_list = SpaceList;
  table->salvage = Salvage;
}

}  // namespace engram::plugin
