// The families that describe the store and the migration, read at a scrape.
#ifndef ENGRAM_SERVER_METRICS_SPACE_FAMILIES_H_
#define ENGRAM_SERVER_METRICS_SPACE_FAMILIES_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/metrics/families.h"
#include "server/metrics/health.h"
#include "server/metrics/monotonic.h"
#include "server/migration/scheduler.h"

namespace engram::server {

// What has to be remembered between scrapes. One thread at a time.
class SpaceFamilies {
 public:
  explicit SpaceFamilies(std::string data_root) : data_root_(std::move(data_root)) {}
  // A space that was opened: its recovery counts, once for each opening.
  void Opened(const ServedSpace& space);
  void FailedToOpen(const Status& why);
  void Collect(SpaceRegistry& spaces, MigrationScheduler& scheduler, uint64_t now_ns,
               Families* families);
  // What the checks of the open spaces find; fills their part of the inputs. The spaces that are
  // not open follow from `known`, what the scheduler says of all.
  std::vector<SpaceHealth> Check(SpaceRegistry& spaces, const std::vector<SpaceMigration>& known,
                                 uint64_t now_ns, HealthInputs* inputs);

 private:
  // Of one space, over all its openings.
  struct Memory {
    int64_t recovered_at = 0;  // opened_at_unix_ns of the opening whose recovery was counted
    Monotonic appended_bytes, groups, records, flush_ns, lazy_conversions, lazy_installs,
        mismatches;
    std::array<Monotonic, ENGRAM_SE_WAIT_BUCKETS> gate_buckets;
    Monotonic gate_wait_ns;
    // (durable, when): acknowledged, at that scrape not yet applied.
    std::deque<std::pair<uint64_t, uint64_t>> unapplied;
  };
  struct Totals {
    std::array<double, 3> tier_bytes{};
    std::array<uint64_t, ENGRAM_SE_WAIT_BUCKETS> gate_buckets{};
    double gate_seconds = 0;
    double wal_lag_seconds = 0;
  };
  void DeclareSpaces(Families* families);
  void DeclareLog(Families* families);
  void DeclareMigration(Families* families);
  void AddCompaction(Families* families);
  void AddSpace(const ServedSpace& space, const engram_se_figures& figures, Families* families,
                Totals* totals);
  void AddLog(const ServedSpace& space, const engram_se_figures& figures, uint64_t now_ns,
              Families* families, Totals* totals);
  // For how long the oldest acknowledged write has not been applied, as far as it was seen.
  double LagSeconds(const std::string& space, const engram_se_figures& figures, uint64_t now_ns);
  void AddTotals(const Totals& totals, Families* families);
  void AddMigration(MigrationScheduler& scheduler, Families* families);

  const std::string data_root_;
  std::map<std::string, Memory> memories_;
  std::deque<double> recovery_seconds_;  // the newest 1024
  uint64_t recoveries_ = 0;
  uint64_t failed_recoveries_ = 0;
  double recovery_seconds_total_ = 0;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_METRICS_SPACE_FAMILIES_H_
