#include <algorithm>
#include <map>

#include "migration/internal/space_migration.h"
#include "migration/migration.h"
#include "migration/spaces.h"

namespace engram::migration {
namespace {

using internal::SpaceSource;
using nlohmann::json;

struct Target {
  std::string space;
  SpaceSource source;
};

Status CheckOptions(const MigrateOptions& options) {
  const auto refuse = [](const char* what) {
    return Status::InvalidArgument(std::string(what) + " must be at least 1",
                                   "leave the option out to use its default");
  };
  constexpr uint64_t kBatchMax = 1000000;
  constexpr uint64_t kMemoryBudgetMbMax = uint64_t{1} << 24;
  if (options.batch_size > kBatchMax || options.memory_budget_mb > kMemoryBudgetMbMax) {
    return Status::InvalidArgument("--batch-size may be at most " + std::to_string(kBatchMax) +
                                       ", --memory-budget-mb " + std::to_string(kMemoryBudgetMbMax),
                                   "leave the option out to use its default");
  }
  if (options.batch_size == 0) return refuse("--batch-size");
  if (options.checkpoint_interval == 0) return refuse("--checkpoint-interval");
  if (options.memory_budget_mb == 0) return refuse("--memory-budget-mb");
  return Status::Ok();
}

// The spaces to migrate: those of the source, else those of the data root.
Result<std::vector<Target>> Targets(const JobContext& context, const MigrateOptions& options,
                                    const std::optional<Source>& source) {
  std::vector<Target> targets;
  if (source.has_value()) {
    for (const SourceSpace& space : source->spaces) {
      targets.push_back({space.space, {&*source, &space}});
    }
    return targets;
  }
  if (options.space.has_value()) {
    targets.push_back({*options.space, {}});
    return targets;
  }
  ENGRAM_ASSIGN_OR_RETURN(const auto spaces, ListSpaces(context));
  for (const std::string& space : spaces) targets.push_back({space, {}});
  if (!targets.empty()) return targets;
  return Status::NotFound("there is no space below " + context.data_root,
                          "give an upstream directory with --source, or the right --data-root");
}

json FailedSpace(const std::string& space, const Status& status) {
  return {{"ok", false},
          {"space", space},
          {"error",
           {{"code", std::string(StatusCodeName(status.code()))},
            {"message", status.message()},
            {"hint", status.hint()}}}};
}

}  // namespace

Result<json> Migrate(const JobContext& context, const MigrateOptions& options) {
  ENGRAM_TRY(CheckOptions(options));
  const uint64_t begun_ns = context.environment.clock.MonotonicNs();
  std::optional<Source> source;
  if (options.source.has_value()) {
    ENGRAM_ASSIGN_OR_RETURN(source,
                            DiscoverSource(context.environment.fs, *options.source, options.space));
  }
  ENGRAM_ASSIGN_OR_RETURN(const auto targets, Targets(context, options, source));
  json spaces = json::array();
  bool ok = true;
  bool resumed = false;
  uint64_t promised_bytes = 0;
  for (const Target& target : targets) {
    Result<json> report = json();
    if (options.dry_run) {
      report =
          internal::DryRunSpace(context, options, target.source, target.space, &promised_bytes);
    } else {
      internal::SpaceMigration job(context, options, target.source, target.space);
      report = job.Run();
      resumed = resumed || job.resumed();
    }
    if (!report.ok()) {
      // One space among several must not hide what happened to the others.
      if (targets.size() == 1 || report.status().code() == StatusCode::kCancelled) {
        return report.status();
      }
      report = FailedSpace(target.space, report.status());
    }
    ok = ok && report->value("ok", false);
    spaces.push_back(std::move(*report));
  }
  json report{
      {"ok", ok},
      {"command", "migrate-dual"},
      {"dry_run", options.dry_run},
      {"resumed", resumed},
      {"seconds", static_cast<double>(context.environment.clock.MonotonicNs() - begun_ns) / 1e9},
      {"spaces", std::move(spaces)}};
  if (source.has_value()) report["skipped"] = source->skipped;
  return report;
}

}  // namespace engram::migration
