// Everything that is exported: HTTP, storage, migration, process. prometheus-cpp is behind it.
// Names, types and labels: docs/operations/metrics.md.
#ifndef ENGRAM_SERVER_METRICS_SERVER_METRICS_H_
#define ENGRAM_SERVER_METRICS_SERVER_METRICS_H_

#include <memory>
#include <string>

#include "server/graph/space_registry.h"
#include "server/http/listener.h"
#include "server/metrics/health.h"
#include "server/migration/scheduler.h"

namespace engram::server {

// Whether the server failed the request. 501 says what there is not, 503 when to come again: both
// are answers, and who is told to come again does.
constexpr bool IsFailure(int status) { return status >= 500 && status != 501 && status != 503; }

// Thread-safe.
class ServerMetrics {
 public:
  // `data_root`: whose file system's free space is a tier's capacity; "": no capacity is shown.
  static std::unique_ptr<ServerMetrics> Make(const std::string& version,
                                             const std::string& data_root = "");
  virtual ~ServerMetrics() = default;
  virtual void RecordRequest(const RequestRecord& record) = 0;
  // `operation`: "remember", "recall", "search", "get", "list", "delete", ...; `ok` false counts an
  // error.
  virtual void RecordOperation(std::string_view operation, uint64_t duration_ns, bool ok) = 0;
  // From the registry's `opened`: its recovery counts. Who opened between two scrapes without it is
  // counted at the second one.
  virtual void SpaceOpened(const SpaceHandle& space) = 0;
  // From the registry's `failed`: counts if what is on disk could not be read or recovered.
  virtual void SpaceFailedToOpen(const Status& why) = 0;
  // The text format 0.0.4, gauges read from the open spaces and the scheduler at this moment;
  // changes no byte of a store.
  virtual std::string PrometheusText(SpaceRegistry& spaces, MigrationScheduler& scheduler) = 0;
  // The JSON of GET /metrics: windows of 1 s, 10 s, 1 min and 5 min over latencies in seconds.
  virtual std::string Json(SpaceRegistry& spaces, MigrationScheduler& scheduler) = 0;
  // Of the last minute, over all requests that a route took: seconds, and the share that failed.
  struct Recent {
    uint64_t requests = 0;
    double p99_seconds = 0;
    double error_ratio = 0;
  };
  virtual Recent LastMinute() = 0;
  // Runs every check now.
  virtual HealthReport CheckHealth(SpaceRegistry& spaces, MigrationScheduler& scheduler) = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_SERVER_METRICS_H_
