// What the handlers share, and the groups of routes they come in: one file each.
#ifndef ENGRAM_SERVER_API_CONTEXT_H_
#define ENGRAM_SERVER_API_CONTEXT_H_

#include <functional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "server/config/config.h"
#include "server/graph/space_registry.h"
#include "server/http/router.h"
#include "server/metrics/server_metrics.h"
#include "server/migration/scheduler.h"

namespace engram::server {

// References outlive the router.
struct ApiContext {
  SpaceRegistry& spaces;
  MigrationScheduler& scheduler;
  ServerMetrics& metrics;
  ConfigSet& config;
  Mutex& changing;  // held while what is configured and what is in effect change
  Clock& clock;
  Logger& logger;
  std::string version;
  std::function<void()> request_shutdown;  // returns at once
};

void AddMemoryRoutes(const ApiContext& context, Router* router);  // memories, episodes, complete
void AddRecallRoutes(const ApiContext& context,
                     Router* router);  // recall, search, query, consolidations
void AddGraphRoutes(const ApiContext& context,
                    Router* router);  // edges, neighbours, traverse, spread
void AddSpaceRoutes(const ApiContext& context, Router* router);    // spaces, maintenance
void AddHealthRoutes(const ApiContext& context, Router* router);   // health, introspect, shutdown
void AddMetricsRoutes(const ApiContext& context, Router* router);  // /metrics, /metrics/prometheus
void AddAdminRoutes(const ApiContext& context, Router* router);    // features, migration, config
void AddRecordRoutes(const ApiContext& context,
                     Router* router);  // whole records, for the command line
void AddStreamRoutes(const ApiContext& context, Router* router);  // server-sent events
void AddDocsRoutes(const ApiContext& context, Router* router);    // /docs, the OpenAPI document

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_CONTEXT_H_
