#include <thread>

#include "migration/internal/verify_source.h"
#include "migration/migration.h"
#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {

Result<nlohmann::json> Verify(const JobContext& context, const VerifyOptions& options) {
  ENGRAM_ASSIGN_OR_RETURN(auto store, OpenSpace(context, options.space, engine::Access::kReadOnly));
  return VerifyOpen(context, *store, options);
}

Result<nlohmann::json> VerifyOpen(const JobContext& context, engine::Store& store,
                                  const VerifyOptions& options) {
  const uint64_t begun_ns = context.environment.clock.MonotonicNs();
  MemoryBudget memory(context.environment.fs, 0);  // shown; there is no bound to keep
  ProgressMeter meter(context.environment.clock, context.progress, &memory, store.space());
  VerifyRun run;
  run.sample = options.sample;
  run.meter = &meter;
  run.cancel = context.cancel;
  ENGRAM_ASSIGN_OR_RETURN(VerifyReport report, VerifyStore(store, run));
  if (options.source.has_value()) {
    internal::SourceCheck check;
    check.source = *options.source;
    check.sample = options.sample;
    check.full = options.full;
    check.workers = std::max(1u, std::thread::hardware_concurrency());
    check.meter = &meter;
    check.cancel = context.cancel;
    ENGRAM_TRY(internal::VerifyAgainstSource(context.environment, store, check, &report));
  }
  nlohmann::json json = report.ToJson(store.space());
  json["seconds"] = static_cast<double>(context.environment.clock.MonotonicNs() - begun_ns) / 1e9;
  return json;
}

}  // namespace engram::migration
