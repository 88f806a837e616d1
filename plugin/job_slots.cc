#include "plugin/jobs.h"
#include "plugin/slots.h"

namespace engram::plugin {
namespace {

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
                  migration::VerifyOptions verify = VerifyOptionsOf(options);
                  ENGRAM_ASSIGN_OR_RETURN(verify.space, SpaceName(Taken(options).space));
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

engram_se_status RollbackState(engram_se_engine* engine, const engram_se_rollback_options* options,
                               const engram_se_job* job, engram_se_error* error) noexcept {
  return RunJob(engine, job, error,
                [&](const migration::JobContext& context) -> Result<nlohmann::json> {
                  const engram_se_rollback_options given = Taken(options);
                  ENGRAM_ASSIGN_OR_RETURN(const std::string space, SpaceName(given.space));
                  migration::StateRollbackOptions rollback;
                  rollback.space = space;
                  rollback.dry_run = (given.flags & ENGRAM_SE_ROLLBACK_DRY_RUN) != 0;
                  return migration::RollbackToState(context, rollback);
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
  table->rollback_state = RollbackState;
}

}  // namespace engram::plugin
