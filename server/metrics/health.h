// Whether the server is well: a handful of checks that look at true numbers, with their history.
#ifndef ENGRAM_SERVER_METRICS_HEALTH_H_
#define ENGRAM_SERVER_METRICS_HEALTH_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace engram::server {

enum class Health {
  kHealthy = 0,
  kDegraded = 1,
  kUnhealthy = 2
};                                      // as engram_health_status has it
const char* HealthName(Health health);  // "healthy", ...

struct HealthCheck {
  std::string name;
  std::string
      type;  // "memory", "latency", "error_rate", "connectivity", "cognitive", "storage", ...
  Health status = Health::kHealthy;
  std::string message;
  double latency_seconds = 0;  // of the check itself
  // Kept by HealthHistory.
  uint64_t consecutive_failures = 0;
  uint64_t consecutive_successes = 0;
  double last_success_seconds_ago = 0;
  double last_failure_seconds_ago = 0;
  double last_run_seconds_ago = 0;
};

struct SpaceHealth {
  std::string space;
  bool open = true;                  // else its control block answers, and only `memories` is known
  std::optional<uint64_t> memories;  // nullopt: not open, and nothing readable says how many
  double pressure = 0;  // of the room it could take on its disk, the share it has: 0..1
  double wal_lag_ms = 0;
  double consolidation_rate = 0;
  bool latched = false;
};

struct HealthReport {
  Health status = Health::kHealthy;  // the worst of the checks
  std::vector<HealthCheck> checks;
  std::vector<SpaceHealth> spaces;  // all below the data root, sorted
  double uptime_seconds = 0;
};

// What the checks look at.
struct HealthInputs {
  uint64_t resident_anon_bytes = 0;
  uint64_t requests_last_minute = 0;
  double p99_seconds = 0;
  double error_ratio = 0;
  uint64_t disk_total_bytes = 0;  // 0: unknown
  uint64_t disk_available_bytes = 0;
  std::vector<std::string> failing_spaces;      // that do not answer
  std::vector<std::string> latched_spaces;      // that take no writes until a restart
  std::vector<std::string> failing_migrations;  // "space: why"
  std::vector<std::string> damaged_sources;     // "space: what of upstream's log is not readable"
  double wal_lag_seconds = 0;
  uint64_t edges = 0;
};

// The checks, without history. Pure.
std::vector<HealthCheck> EvaluateHealth(const HealthInputs& inputs);
Health WorstOf(const std::vector<HealthCheck>& checks);

// One thread at a time.
class HealthHistory {
 public:
  void Record(double now_seconds, std::vector<HealthCheck>* checks);

 private:
  struct Past {
    uint64_t failures = 0;
    uint64_t successes = 0;
    double last_success = -1;
    double last_failure = -1;
    double last_run = -1;
  };
  std::map<std::string, Past> past_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_HEALTH_H_
