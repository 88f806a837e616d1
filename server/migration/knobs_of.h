// The scheduler's knobs as the configuration has them.
#ifndef ENGRAM_SERVER_MIGRATION_KNOBS_OF_H_
#define ENGRAM_SERVER_MIGRATION_KNOBS_OF_H_

#include "server/config/config.h"
#include "server/migration/scheduler.h"

namespace engram::server {

inline SchedulerKnobs KnobsOf(const Config& config) {
  SchedulerKnobs knobs;
  knobs.paused = config.migration.paused;
  knobs.rate_limit = config.migration.rate_limit;
  knobs.history_scan = config.migration.history_scan;
  knobs.p99_budget_percent = config.migration.p99_budget_percent;
  knobs.memory_budget_mb = config.migration.memory_budget_mb;
  knobs.batch_size = config.migration.batch_size;
  return knobs;
}

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_KNOBS_OF_H_
