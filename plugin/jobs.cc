#include "plugin/jobs.h"

#include "base/ids.h"

namespace engram::plugin {
namespace {

static_assert(sizeof(std::atomic<bool>) == 1 && std::atomic<bool>::is_always_lock_free,
              "the cancel flag is one byte that holds 0 or 1");

std::optional<std::string> TextOrNone(const char* text) {
  return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

template <typename Integer>
Integer OrDefault(Integer given, Integer default_value) {
  return given == 0 ? default_value : given;
}

}  // namespace

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

Result<std::string> SpaceName(const char* space) {
  ENGRAM_ASSIGN_OR_RETURN(const SpaceId id, SpaceId::Parse(space == nullptr ? "" : space));
  return id.str();
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
  out.snapshot = (given.flags & ENGRAM_SE_MIGRATE_SNAPSHOT) != 0;
  out.history_scan = (given.flags & ENGRAM_SE_MIGRATE_NO_HISTORY_SCAN) == 0;
  out.batch_size = OrDefault(given.batch_size, defaults.batch_size);
  out.checkpoint_interval = OrDefault(given.checkpoint_interval, defaults.checkpoint_interval);
  out.memory_budget_mb = OrDefault(given.memory_budget_mb, defaults.memory_budget_mb);
  out.rate_limit_per_second = given.rate_limit_per_second;
  out.parallel_workers = given.parallel_workers;
  return out;
}

migration::VerifyOptions VerifyOptionsOf(const engram_se_verify_options* options) {
  const engram_se_verify_options given = Taken(options);
  migration::VerifyOptions verify;
  verify.source = TextOrNone(given.source);
  verify.sample = given.sample;
  verify.full = (given.flags & ENGRAM_SE_VERIFY_FULL) != 0;
  return verify;
}

}  // namespace engram::plugin
