#include "server/metrics/server_metrics.h"

#include <array>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <shared_mutex>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/metrics/families.h"
#include "server/metrics/live_histogram.h"
#include "server/metrics/process_families.h"
#include "server/metrics/space_families.h"
#include "server/metrics/windowed_stats.h"

namespace engram::server {
namespace {

using prometheus::MetricType;

struct RouteStats {
  std::string route;
  std::string method;
  LiveHistogram duration;
  std::array<std::atomic<uint64_t>, 600> statuses{};
  std::atomic<uint64_t> request_bytes{0};
  std::atomic<uint64_t> response_bytes{0};
};

struct OperationStats {
  LiveHistogram duration;
  WindowedStats window;
  std::atomic<uint64_t> errors{0};
};

// Entries are made once and never removed: a pointer to one stays good.
template <typename Key, typename Value>
class Table {
 public:
  template <typename Lookup, typename Make>
  Value& Get(const Lookup& key, Make&& make) {
    {
      std::shared_lock lock(mutex_);
      const auto at = entries_.find(key);
      if (at != entries_.end()) return *at->second;
    }
    std::unique_lock lock(mutex_);
    auto& entry = entries_[Key(key)];
    if (!entry) entry = make();
    return *entry;
  }
  template <typename Visit>
  void Each(Visit&& visit) const {
    std::shared_lock lock(mutex_);
    for (const auto& [key, value] : entries_) visit(key, *value);
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<Key, std::unique_ptr<Value>, std::less<>> entries_;
};

nlohmann::json ToJson(const WindowedStats::Summary& summary) {
  return {{"count", summary.count}, {"sum", summary.sum}, {"mean", summary.mean},
          {"min", summary.min},     {"max", summary.max}, {"p50", summary.p50},
          {"p90", summary.p90},     {"p99", summary.p99}};
}

class ServerMetricsImpl final : public ServerMetrics {
 public:
  ServerMetricsImpl(std::string version, std::string data_root)
      : version_(std::move(version)), spaces_(std::move(data_root)) {}

  void RecordRequest(const RequestRecord& record) override {
    const RouteKey key{record.route, record.method};
    RouteStats& stats = routes_.Get(key, [&] {
      auto made = std::make_unique<RouteStats>();
      made->route = record.route != nullptr ? record.route->pattern : "unmatched";
      made->method = MethodName(record.method);
      return made;
    });
    stats.duration.Observe(record.duration_ns);
    const auto status = static_cast<size_t>(record.status);
    if (status < stats.statuses.size()) stats.statuses[status].fetch_add(1);
    stats.request_bytes.fetch_add(record.request_size_bytes, std::memory_order_relaxed);
    stats.response_bytes.fetch_add(record.response_size_bytes, std::memory_order_relaxed);
    if (record.route != nullptr) {
      requests_.Record(clock_.MonotonicNs(), record.duration_ns, !IsFailure(record.status));
    }
  }

  void RecordOperation(std::string_view operation, uint64_t duration_ns, bool ok) override {
    OperationStats& stats =
        operations_.Get(operation, [] { return std::make_unique<OperationStats>(); });
    stats.duration.Observe(duration_ns);
    stats.window.Record(clock_.MonotonicNs(), duration_ns, ok);
    if (!ok) stats.errors.fetch_add(1, std::memory_order_relaxed);
  }

  void SpaceOpened(const SpaceHandle& space) override {
    MutexLock lock(mutex_);
    spaces_.Opened(*space);
  }

  void SpaceFailedToOpen(const Status& why) override {
    MutexLock lock(mutex_);
    spaces_.FailedToOpen(why);
  }

  std::string PrometheusText(SpaceRegistry& spaces, MigrationScheduler& scheduler) override {
    Families families;
    CollectRequests(&families);
    CollectOperations(&families);
    {
      MutexLock lock(mutex_);
      spaces_.Collect(spaces, scheduler, clock_.MonotonicNs(), &families);
    }
    CollectProcess(version_, &families);
    families.Declare("engram_health_status", MetricType::Gauge,
                     "0: healthy, 1: degraded, 2: unhealthy");
    for (const HealthCheck& check : CheckHealth(spaces, scheduler).checks) {
      families.Gauge("engram_health_status", static_cast<double>(check.status),
                     {{"probe", check.name}});
    }
    return families.Text();
  }

  HealthReport CheckHealth(SpaceRegistry& spaces, MigrationScheduler& scheduler) override {
    const uint64_t began = clock_.MonotonicNs();
    HealthInputs inputs;
    inputs.resident_anon_bytes = ReadProcessFigures().resident_anon_bytes;
    const Recent recent = LastMinute();
    inputs.requests_last_minute = recent.requests;
    inputs.p99_seconds = recent.p99_seconds;
    inputs.error_ratio = recent.error_ratio;
    const std::vector<SpaceMigration> known = scheduler.Spaces(std::nullopt);
    for (const SpaceMigration& space : known) {
      if (space.phase == "failed") {
        inputs.failing_migrations.push_back(space.space + ": " + space.error);
      }
      if (space.source && !space.source->clean()) {
        inputs.damaged_sources.push_back(space.space + ": " + space.source->Summary());
      }
    }
    HealthReport report;
    MutexLock lock(mutex_);
    report.spaces = spaces_.Check(spaces, known, clock_.MonotonicNs(), &inputs);
    report.checks = EvaluateHealth(inputs);
    const uint64_t now = clock_.MonotonicNs();
    for (HealthCheck& check : report.checks) {
      check.latency_seconds = static_cast<double>(now - began) / 1e9;
    }
    history_.Record(static_cast<double>(now) / 1e9, &report.checks);
    report.status = WorstOf(report.checks);
    report.uptime_seconds = static_cast<double>(now - started_ns_) / 1e9;
    return report;
  }

  std::string Json(SpaceRegistry&, MigrationScheduler&) override {
    const uint64_t now = clock_.MonotonicNs();
    const std::array<std::pair<const char*, uint64_t>, 4> windows = {
        {{"one_second", 1}, {"ten_seconds", 10}, {"one_minute", 60}, {"five_minutes", 300}}};
    nlohmann::json snapshot = {{"schema_version", "1.1.0"}};
    uint64_t exported = 0;
    for (const auto& [name, seconds] : windows) {
      nlohmann::json window = nlohmann::json::object();
      window["engram_http_request_duration_seconds"] = ToJson(requests_.Last(now, seconds));
      operations_.Each(
          [&, length_s = seconds](const std::string& operation, const OperationStats& stats) {
            window["engram_memory_operation_duration_seconds." + operation] =
                ToJson(stats.window.Last(now, length_s));
          });
      exported = window.size();
      snapshot[name] = std::move(window);
    }
    return nlohmann::json{{"snapshot", snapshot},
                          {"export", {{"exported", exported}, {"dropped", 0}, {"queue_depth", 0}}}}
        .dump();
  }

  Recent LastMinute() override {
    const auto summary = requests_.Last(clock_.MonotonicNs(), 60);
    if (summary.count == 0) return {};
    return {summary.count, summary.p99,
            static_cast<double>(summary.failed) / static_cast<double>(summary.count)};
  }

 private:
  using RouteKey = std::pair<const Route*, Method>;

  void CollectRequests(Families* families) {
    families->Declare("engram_http_request_duration_seconds", MetricType::Histogram,
                      "From the last byte of a request to the first of its response");
    families->Declare("engram_http_requests_total", MetricType::Counter,
                      "Requests, by the status they were answered with");
    families->Declare("engram_http_request_bytes_total", MetricType::Counter, "Bytes of requests");
    families->Declare("engram_http_response_bytes_total", MetricType::Counter,
                      "Bytes of responses");
    double request_bytes = 0, response_bytes = 0;
    routes_.Each([&](const RouteKey&, const RouteStats& stats) {
      const MetricLabels labels = {{"method", stats.method}, {"route", stats.route}};
      families->Histogram("engram_http_request_duration_seconds", kLatencyBounds,
                          stats.duration.Counts(), stats.duration.SumSeconds(), labels);
      for (size_t status = 0; status < stats.statuses.size(); ++status) {
        const uint64_t count = stats.statuses[status].load();
        if (count == 0) continue;
        families->Counter(
            "engram_http_requests_total", static_cast<double>(count),
            {{"method", stats.method}, {"route", stats.route}, {"status", std::to_string(status)}});
      }
      request_bytes += static_cast<double>(stats.request_bytes.load());
      response_bytes += static_cast<double>(stats.response_bytes.load());
    });
    families->Counter("engram_http_request_bytes_total", request_bytes);
    families->Counter("engram_http_response_bytes_total", response_bytes);
  }

  void CollectOperations(Families* families) {
    families->Declare("engram_memory_operation_duration_seconds", MetricType::Histogram,
                      "Duration of operations on memories");
    families->Declare("engram_operation_total", MetricType::Counter, "Operations on memories");
    families->Declare("engram_operation_errors_total", MetricType::Counter,
                      "Operations on memories that failed");
    operations_.Each([&](const std::string& operation, const OperationStats& stats) {
      const MetricLabels labels = {{"operation", operation}};
      const auto counts = stats.duration.Counts();
      uint64_t total = 0;
      for (const uint64_t count : counts) total += count;
      families->Histogram("engram_memory_operation_duration_seconds", kLatencyBounds, counts,
                          stats.duration.SumSeconds(), labels);
      families->Counter("engram_operation_total", static_cast<double>(total), labels);
      families->Counter("engram_operation_errors_total", static_cast<double>(stats.errors.load()),
                        labels);
    });
  }

  Clock& clock_ = Clock::System();
  const uint64_t started_ns_ = clock_.MonotonicNs();
  const std::string version_;
  Table<RouteKey, RouteStats> routes_;
  Table<std::string, OperationStats> operations_;
  WindowedStats requests_;
  Mutex mutex_;
  SpaceFamilies spaces_ ENGRAM_GUARDED_BY(mutex_);
  HealthHistory history_ ENGRAM_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<ServerMetrics> ServerMetrics::Make(const std::string& version,
                                                   const std::string& data_root) {
  return std::make_unique<ServerMetricsImpl>(version, data_root);
}

}  // namespace engram::server
