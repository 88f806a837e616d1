// Everything that is exported: HTTP, storage, migration, process. prometheus-cpp is behind it.
#ifndef ENGRAM_SERVER_METRICS_SERVER_METRICS_H_
#define ENGRAM_SERVER_METRICS_SERVER_METRICS_H_

#include <memory>
#include <string>

#include "server/graph/space_registry.h"
#include "server/http/listener.h"
#include "server/migration/scheduler.h"

namespace engram::server {

// Thread-safe.
class ServerMetrics {
 public:
  static std::unique_ptr<ServerMetrics> Make(const std::string& version);
  virtual ~ServerMetrics() = default;
  virtual void RecordRequest(const RequestRecord& record) = 0;
  // `operation`: "remember", "recall", "search", "get", "list", "delete", ...; `ok` false counts an
  // error.
  virtual void RecordOperation(std::string_view operation, uint64_t duration_ns, bool ok) = 0;
  // The text format 0.0.4, gauges read from the open spaces and the scheduler at this moment;
  // changes no byte of a store.
  virtual std::string PrometheusText(SpaceRegistry& spaces, MigrationScheduler& scheduler) = 0;
  // The JSON of GET /metrics.
  virtual std::string Json(SpaceRegistry& spaces, MigrationScheduler& scheduler) = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_SERVER_METRICS_H_
