// Probes, what the server knows of itself, and the way to stop it.
#include <algorithm>
#include <cmath>

#include "base/rfc3339.h"
#include "server/api/context.h"
#include "server/api/migration_text.h"
#include "server/api/space_choice.h"
#include "server/http/error_response.h"

namespace engram::server {
namespace {

using nlohmann::json;

std::string NowText(Clock& clock) {
  const int64_t seconds = clock.WallSeconds();
  return FormatTime(seconds, clock.WallNanos());
}

int HttpStatus(Health health) { return health == Health::kUnhealthy ? 503 : 200; }

json ToJson(const HealthCheck& check) {
  return {{"name", check.name},
          {"type", check.type},
          {"status", HealthName(check.status)},
          {"message", check.message},
          {"latency_seconds", check.latency_seconds},
          {"consecutive_failures", check.consecutive_failures},
          {"consecutive_successes", check.consecutive_successes},
          {"last_success_seconds_ago", check.last_success_seconds_ago},
          {"last_failure_seconds_ago", check.last_failure_seconds_ago},
          {"last_run_seconds_ago", check.last_run_seconds_ago}};
}

// A closed space has its memories alone, and not even those if nothing readable says how many.
json ToJson(const SpaceHealth& space) {
  json object = {{"space", space.space}, {"open", space.open}};
  if (space.memories) object["memories"] = *space.memories;
  if (!space.open) return object;
  object["pressure"] = space.pressure;
  object["wal_lag_ms"] = space.wal_lag_ms;
  object["consolidation_rate"] = space.consolidation_rate;
  object["latched"] = space.latched;
  return object;
}

Response SimpleHealth(const ApiContext& context) {
  const HealthReport report = context.metrics.CheckHealth(context.spaces, context.scheduler);
  return Response::Json(HttpStatus(report.status), Dump({{"status", HealthName(report.status)},
                                                         {"service", "engram"},
                                                         {"version", context.version},
                                                         {"timestamp", NowText(context.clock)}}));
}

Response Spreading(const ApiContext& context) {
  const HealthReport report = context.metrics.CheckHealth(context.spaces, context.scheduler);
  for (const HealthCheck& check : report.checks) {
    if (check.name == "spreading") {
      return Response::Json(HttpStatus(check.status), Dump(ToJson(check)));
    }
  }
  return Response::Json(404, Dump({{"status", "unknown"}, {"message", "it is not checked"}}));
}

Response SystemHealth(const ApiContext& context, const Request& request) {
  const auto named = NamedSpace(request);
  if (!named) {
    return ErrorResponse(422, "MEMORY_VALIDATION_ERROR", "the filter names no legal space",
                         "a space has 3 to 64 characters of a-z, 0-9, - and _");
  }
  const std::optional<std::string>& filter = *named;
  const HealthReport report = context.metrics.CheckHealth(context.spaces, context.scheduler);
  json checks = json::array();
  for (const HealthCheck& check : report.checks) checks.push_back(ToJson(check));
  json spaces = json::array();
  for (const SpaceHealth& space : report.spaces) {
    if (filter && space.space != *filter) continue;
    spaces.push_back(ToJson(space));
  }
  const auto recent = context.metrics.LastMinute();
  return Response::Json(HttpStatus(report.status),
                        Dump({{"status", HealthName(report.status)},
                              {"timestamp", NowText(context.clock)},
                              {"checks", std::move(checks)},
                              {"spaces", std::move(spaces)},
                              {"cluster", nullptr},
                              {"uptime_seconds", report.uptime_seconds},
                              {"slo_compliance", 1 - recent.error_ratio}}));
}

struct Totals {
  uint64_t episodes = 0, concepts = 0, cold = 0, size_bytes = 0;
};

Totals OpenTotals(SpaceRegistry& spaces) {
  Totals totals;
  std::vector<std::string> names;
  for (const SpaceHandle& space : spaces.Open()) names.push_back(space->name);
  for (const std::string& name : names) {
    const SpaceHandle space = spaces.FindOpen(name);
    if (space == nullptr) continue;
    const auto figures = space->space->Figures();
    if (!figures.ok()) continue;  // /health names it
    totals.episodes += figures->episode_count;
    totals.concepts += figures->concept_count;
    totals.cold += figures->tier_count[2];
    totals.size_bytes += figures->size_bytes;
  }
  return totals;
}

std::string MigratorState(MigrationScheduler& scheduler) {
  if (scheduler.knobs().paused) return "paused";
  std::string state = "idle";
  for (const SpaceMigration& space : scheduler.Spaces(std::nullopt)) {
    if (space.phase == "failed") return "failing";
    if (space.phase == "backfill" || space.phase == "verify" || space.phase == "ingest") {
      state = "running";
    }
  }
  return state;
}

// Numbers that are not known are null, never invented.
Response Introspect(const ApiContext& context) {
  const Totals totals = OpenTotals(context.spaces);
  const HealthReport report = context.metrics.CheckHealth(context.spaces, context.scheduler);
  double used = 0;
  uint64_t memories = 0;
  bool all_open = true;
  for (const SpaceHealth& space : report.spaces) {
    used = std::max(used, space.pressure);
    memories += space.memories.value_or(0);
    all_open = all_open && space.open;
  }
  // Of what kind the memories of a closed space are only its store knows.
  const auto if_open = [&](uint64_t count) { return all_open ? json(count) : json(nullptr); };
  const auto recent = context.metrics.LastMinute();
  return Response::Json(200,
                        Dump({{"memory_statistics",
                               {{"total_nodes", memories},
                                {"average_activation", nullptr},
                                {"consolidation_states",
                                 {{"recent", if_open(totals.episodes)},
                                  {"consolidated", if_open(totals.concepts)},
                                  {"archived", if_open(totals.cold)}}}}},
                              {"system_processes",
                               {{"background_migration", MigratorState(context.scheduler)},
                                {"spreading", "on request"},
                                {"consolidation", "on request"},
                                {"compaction", "on request"}}},
                              {"performance_metrics",
                               {{"requests_last_minute", recent.requests},
                                {"p99_seconds_last_minute", recent.p99_seconds},
                                {"memory_capacity_used",
                                 std::to_string(static_cast<int>(std::lround(used * 100))) + "%"},
                                {"size_bytes", if_open(totals.size_bytes)}}}}));
}

Response Shutdown(const ApiContext& context) {
  context.logger.Info("shutdown requested over HTTP");
  context.request_shutdown();
  return Response::Json(200,
                        Dump({{"status", "shutdown_initiated"},
                              {"message", "The server finishes what is in flight, then stops."}}));
}

}  // namespace

void AddHealthRoutes(const ApiContext& context, Router* router) {
  const auto add = [&](Method method, const char* pattern, Execution execution, Guard guard,
                       Handler handler) {
    router->Add({method, pattern, execution, guard, std::move(handler)});
  };
  add(Method::kGet, "/health", Execution::kBlocking, Guard::kNone,
      [context](const Request&) { return SimpleHealth(context); });
  add(Method::kGet, "/health/alive", Execution::kInline, Guard::kNone,
      [](const Request&) { return Response::Empty(200); });
  add(Method::kGet, "/health/spreading", Execution::kBlocking, Guard::kNone,
      [context](const Request&) { return Spreading(context); });
  add(Method::kGet, "/api/v1/system/health", Execution::kBlocking, Guard::kRead,
      [context](const Request& request) { return SystemHealth(context, request); });
  add(Method::kGet, "/api/v1/system/introspect", Execution::kBlocking, Guard::kRead,
      [context](const Request&) { return Introspect(context); });
  add(Method::kGet, "/api/v1/system/spreading/config", Execution::kInline, Guard::kRead,
      [](const Request&) {
        return Response::Json(200, Dump({{"audit_log", json::array()}}));
      });
  add(Method::kPost, "/shutdown", Execution::kInline, Guard::kControl,
      [context](const Request&) { return Shutdown(context); });
}

}  // namespace engram::server
