#include "server/metrics/health.h"

#include <algorithm>
#include <cstdio>

namespace engram::server {
namespace {

constexpr double kSlowSeconds = 1;
constexpr double kVerySlowSeconds = 10;
constexpr double kErrorsMany = 0.01;
constexpr uint64_t kRequestsToJudge = 20;  // of fewer a share says nothing
constexpr double kDiskShareLow = 0.05;
constexpr uint64_t kDiskBytesNone = 64u << 20;
constexpr double kLagSeconds = 10;

std::string Text(const char* format, double value) {
  char buffer[128];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

HealthCheck Check(const char* name, const char* type, Health status, std::string message) {
  HealthCheck check;
  check.name = name;
  check.type = type;
  check.status = status;
  check.message = std::move(message);
  return check;
}

// Degraded at worst: a server that answers is not restarted for what it was asked.
HealthCheck ErrorsCheck(const HealthInputs& inputs) {
  const bool many =
      inputs.requests_last_minute >= kRequestsToJudge && inputs.error_ratio >= kErrorsMany;
  return Check("errors", "error_rate", many ? Health::kDegraded : Health::kHealthy,
               Text("%.2f %% of the last minute's requests failed", inputs.error_ratio * 100));
}

HealthCheck DiskCheck(const HealthInputs& inputs) {
  if (inputs.disk_total_bytes == 0) {
    return Check("disk", "storage", Health::kHealthy, "free space is not known");
  }
  const double free_mib = static_cast<double>(inputs.disk_available_bytes) / (1 << 20);
  const double share = static_cast<double>(inputs.disk_available_bytes) /
                       static_cast<double>(inputs.disk_total_bytes);
  const Health status = inputs.disk_available_bytes < kDiskBytesNone ? Health::kUnhealthy
                        : share < kDiskShareLow                      ? Health::kDegraded
                                                                     : Health::kHealthy;
  return Check("disk", "storage", status, Text("%.0f MiB free for the spaces", free_mib));
}

std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += " " + name;
  return text;
}

HealthCheck SpacesCheck(const HealthInputs& inputs) {
  if (inputs.failing_spaces.empty() && inputs.latched_spaces.empty()) {
    return Check("spaces", "connectivity", Health::kHealthy, "every open space answers");
  }
  std::string text;
  if (!inputs.failing_spaces.empty())
    text += "these do not answer:" + Listed(inputs.failing_spaces);
  if (!inputs.latched_spaces.empty()) {
    text +=
        (text.empty() ? "" : "; ") +
        std::string("these take no writes until they are reopened or the server is restarted:") +
        Listed(inputs.latched_spaces);
  }
  return Check("spaces", "connectivity", Health::kUnhealthy, text);
}

HealthCheck MigrationCheck(const HealthInputs& inputs) {
  if (inputs.failing_migrations.empty()) {
    return Check("migration", "migration", Health::kHealthy, "nothing is failing");
  }
  std::string text = "tried again after:";
  for (const std::string& space : inputs.failing_migrations) text += " " + space + ";";
  return Check("migration", "migration", Health::kDegraded, text);
}

// It stays so until somebody has looked: who has, moves upstream's logs out of the data root.
HealthCheck UpstreamCheck(const HealthInputs& inputs) {
  if (inputs.damaged_sources.empty()) {
    return Check("upstream", "migration", Health::kHealthy,
                 "nothing that upstream left is damaged");
  }
  std::string text = "not all of upstream's logs is readable, what is, is in:";
  for (const std::string& source : inputs.damaged_sources) text += " " + source + ";";
  return Check("upstream", "migration", Health::kDegraded,
               text + " engram migrate-dual status --json lists file and offset");
}

}  // namespace

const char* HealthName(Health health) {
  switch (health) {
    case Health::kHealthy:
      return "healthy";
    case Health::kDegraded:
      return "degraded";
    default:
      return "unhealthy";
  }
}

std::vector<HealthCheck> EvaluateHealth(const HealthInputs& inputs) {
  const auto rate = [](double value, double degraded, double unhealthy) {
    return value >= unhealthy  ? Health::kUnhealthy
           : value >= degraded ? Health::kDegraded
                               : Health::kHealthy;
  };
  std::vector<HealthCheck> checks;
  checks.push_back(Check("memory", "memory", Health::kHealthy,
                         Text("%.1f MiB of anonymous memory resident",
                              static_cast<double>(inputs.resident_anon_bytes) / (1 << 20))));
  checks.push_back(Check("latency", "latency",
                         rate(inputs.p99_seconds, kSlowSeconds, kVerySlowSeconds),
                         Text("p99 of the last minute: %.1f ms", inputs.p99_seconds * 1e3)));
  checks.push_back(ErrorsCheck(inputs));
  checks.push_back(DiskCheck(inputs));
  checks.push_back(SpacesCheck(inputs));
  checks.push_back(Check(
      "log", "storage", inputs.wal_lag_seconds > kLagSeconds ? Health::kDegraded : Health::kHealthy,
      Text("the oldest write not yet in the tables waits for %.1f s", inputs.wal_lag_seconds)));
  checks.push_back(MigrationCheck(inputs));
  checks.push_back(UpstreamCheck(inputs));
  checks.push_back(Check("spreading", "cognitive", Health::kHealthy,
                         std::to_string(inputs.edges) + " edges to spread along"));
  return checks;
}

Health WorstOf(const std::vector<HealthCheck>& checks) {
  Health worst = Health::kHealthy;
  for (const HealthCheck& check : checks) worst = std::max(worst, check.status);
  return worst;
}

void HealthHistory::Record(double now_seconds, std::vector<HealthCheck>* checks) {
  for (HealthCheck& check : *checks) {
    Past& past = past_[check.name];
    const double last_run = past.last_run;
    if (check.status == Health::kUnhealthy) {
      ++past.failures;
      past.successes = 0;
      past.last_failure = now_seconds;
    } else {
      ++past.successes;
      past.failures = 0;
      past.last_success = now_seconds;
    }
    past.last_run = now_seconds;
    const auto ago = [&](double then) { return then < 0 ? 0 : now_seconds - then; };
    check.consecutive_failures = past.failures;
    check.consecutive_successes = past.successes;
    check.last_success_seconds_ago = ago(past.last_success);
    check.last_failure_seconds_ago = ago(past.last_failure);
    check.last_run_seconds_ago = ago(last_run);
  }
}

}  // namespace engram::server
