#include "server/metrics/space_families.h"

#include <algorithm>
#include <cmath>

#include "base/file_system.h"

namespace engram::server {
namespace {

using prometheus::MetricType;

constexpr size_t kRecoveriesKept = 1024;
constexpr std::array<const char*, 3> kTiers = {"hot", "warm", "cold"};
constexpr std::array<uint32_t, 5> kModes = {ENGRAM_SE_MODE_LEGACY, ENGRAM_SE_MODE_DUAL_WRITE,
                                            ENGRAM_SE_MODE_SHADOW, ENGRAM_SE_MODE_DUAL,
                                            ENGRAM_SE_MODE_FINALIZED};

double Number(uint64_t value) { return static_cast<double>(value); }
double Seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

// Those that are not open, without opening them, and those that do not answer.
void AddClosed(const std::vector<SpaceMigration>& known, const std::vector<std::string>& failing,
               std::vector<SpaceHealth>* spaces) {
  std::set<std::string> open;
  for (const SpaceHealth& space : *spaces) open.insert(space.space);
  const std::set<std::string> silent(failing.begin(), failing.end());
  for (const SpaceMigration& space : known) {
    if (open.contains(space.space)) continue;
    SpaceHealth closed;
    closed.space = space.space;
    closed.open = false;
    if (space.mode != 0 && !silent.contains(space.space)) closed.memories = space.count;
    spaces->push_back(std::move(closed));
  }
  std::sort(spaces->begin(), spaces->end(),
            [](const SpaceHealth& a, const SpaceHealth& b) { return a.space < b.space; });
}

}  // namespace

void SpaceFamilies::Opened(const ServedSpace& space) {
  const int64_t opened = space.opened_at_unix_ns.load();
  Memory& memory = memories_[space.name];
  if (memory.recovered_at == opened) return;
  const auto figures = space.space->Figures();
  if (!figures.ok()) return;  // counted at the next scrape
  memory.recovered_at = opened;
  const double seconds = Seconds(figures->recovery_ns);
  ++recoveries_;
  recovery_seconds_total_ += seconds;
  recovery_seconds_.push_back(seconds);
  if (recovery_seconds_.size() > kRecoveriesKept) recovery_seconds_.pop_front();
}

void SpaceFamilies::FailedToOpen(const Status& why) {
  switch (why.code()) {
    case StatusCode::kCorruption:
    case StatusCode::kIo:
    case StatusCode::kFatal:
    case StatusCode::kUnsupported:
      ++failed_recoveries_;
      break;
    default:  // held by another process, no room for it: its log was not looked at
      break;
  }
}

void SpaceFamilies::DeclareSpaces(Families* families) {
  const auto gauge = [&](const char* name, const char* help) {
    families->Declare(name, MetricType::Gauge, help);
  };
  const auto counter = [&](const char* name, const char* help) {
    families->Declare(name, MetricType::Counter, help);
  };
  gauge("engram_open_spaces", "Spaces that are open now");
  gauge("engram_space_mode", "1 for the mode that the space is in");
  gauge("engram_memories", "Memories, by the form they are stored in");
  gauge("engram_episodes", "Memories that are Episodes");
  gauge("engram_concepts", "Memories that are Concepts");
  gauge("engram_edges", "Edges between memories");
  gauge("engram_bindings", "Bindings between Episodes and Concepts");
  gauge("engram_lossy_concepts", "Concepts that are served as a projected Memory");
  gauge("engram_quarantined_records", "Records that could not be decoded or converted");
  gauge("engram_space_latched", "1: takes no writes until it is reopened or the server restarted");
  gauge("engram_space_size_bytes", "Bytes allocated on disk, the log included");
  gauge("engram_overlay_size_bytes", "Acknowledged writes held in memory until they are applied");
  gauge("engram_tier_records", "Memories of a tier");
  gauge("engram_tier_dirty",
        "1 if a damaged record could not be subtracted from the tier's digest");
  gauge("engram_tier_size_bytes",
        "Bytes on disk of all spaces, by the tier's share of the memories");
  gauge("engram_tier_capacity_bytes", "What the tier could grow to: its size and the free disk");
  counter("engram_lazy_conversions_total", "Old records converted when they were read");
  counter("engram_lazy_installs_total", "Of these conversions, how many were stored");
  counter("engram_shadow_mismatches_total", "Reads in mode shadow whose two forms differed");
  families->Declare("engram_mode_gate_wait_seconds", MetricType::Histogram,
                    "How long operations waited for a change of the mode");
}

void SpaceFamilies::DeclareLog(Families* families) {
  const auto counter = [&](const char* name, const char* help) {
    families->Declare(name, MetricType::Counter, help);
  };
  counter("engram_wal_appended_bytes_total", "Bytes appended to the write-ahead log");
  counter("engram_wal_groups_total", "Groups of writes committed to the log by one flush");
  counter("engram_wal_records_total", "Records appended to the log");
  counter("engram_wal_flush_seconds_total", "Time spent in flushes of the log");
  counter("engram_wal_recovery_successes_total", "Spaces opened, their log replayed");
  counter("engram_wal_recovery_failures_total",
          "Openings of spaces that failed on what is on disk, each try counted");
  families->Declare("engram_wal_recovery_duration_seconds", MetricType::Summary,
                    "Time the replay of the log took when a space was opened");
  families->Declare("engram_wal_size_bytes", MetricType::Gauge, "Size of the log");
  families->Declare("engram_wal_durable_lsn", MetricType::Gauge, "The last durable position");
  families->Declare("engram_wal_applied_lsn", MetricType::Gauge,
                    "The last position that is in the tables");
  families->Declare(
      "engram_wal_lag_seconds", MetricType::Gauge,
      "For how long the oldest acknowledged write has waited to be applied, at least");
}

void SpaceFamilies::DeclareMigration(Families* families) {
  const auto gauge = [&](const char* name, const char* help) {
    families->Declare(name, MetricType::Gauge, help);
  };
  const auto counter = [&](const char* name, const char* help) {
    families->Declare(name, MetricType::Counter, help);
  };
  gauge("engram_migration_progress_ratio", "Share of the memories that have a current dual form");
  counter("engram_migration_nodes_migrated_total", "Records converted by the background migrator");
  families->Declare("engram_migration_batch_duration_seconds", MetricType::Histogram,
                    "Duration of the migrator's steps");
  gauge("engram_migration_memory_usage_bytes", "Buffers of the migrator at its last step");
  counter("engram_migration_checkpoint_writes_total",
          "Commits that recorded how far the migrator has come");
  gauge("engram_migration_remaining_old", "Records without a current dual form");
  gauge("engram_migration_rate", "Records the migrator looks at per second");
  gauge("engram_migration_lag_lsn", "Log positions that the tailer is behind");
  gauge("engram_migration_phase", "1 for the phase that the space is in");
  counter("engram_migration_failed_steps_total", "Steps, ingests and verifications that failed");
  gauge("engram_migration_throttled", "1 while the migrator is held back for this reason");
  counter("engram_migration_throttled_seconds_total", "Time it was held back for this reason");
  gauge(
      "engram_digest_match",
      "1 if the last verification of the space found its digest right, 0 if it did not; no sample "
      "before the first");
  gauge("engram_dual_memory_types", "1 while the flag is on");
  gauge("engram_upstream_damaged_places", "Damaged stretches in the logs that upstream left");
  gauge("engram_upstream_undecodable_records",
        "Intact records in the logs that upstream left that cannot be decoded");
}

// Upstream counts these. A server rewrites neither its log nor a space that it serves: `engram
// compact` works while none has it open.
void SpaceFamilies::AddCompaction(Families* families) {
  for (const auto& [name, help] :
       {std::pair{"engram_wal_compaction_runs_total", "Rewrites of the log by this server"},
        {"engram_wal_compaction_bytes_reclaimed", "Bytes these rewrites gave back"},
        {"engram_compaction_attempts_total", "Compactions of spaces by this server"},
        {"engram_compaction_success_total", "Of these, how many succeeded"},
        {"engram_compaction_rollback_total", "Of these, how many were taken back"},
        {"engram_compaction_episodes_removed", "Memories these compactions removed"},
        {"engram_compaction_storage_saved_bytes", "Bytes these compactions gave back"}}) {
    families->Declare(name, MetricType::Counter, help);
    families->Counter(name, 0);
  }
}

void SpaceFamilies::AddSpace(const ServedSpace& space, const engram_se_figures& figures,
                             Families* families, Totals* totals) {
  const MetricLabels labels = {{"space", space.name}};
  for (const uint32_t mode : kModes) {
    families->Gauge("engram_space_mode", figures.mode == mode ? 1 : 0,
                    {{"space", space.name}, {"mode", ModeName(mode)}});
  }
  families->Gauge("engram_memories", Number(figures.old_count),
                  {{"space", space.name}, {"format", "old"}});
  families->Gauge("engram_memories", Number(figures.dual_count),
                  {{"space", space.name}, {"format", "dual"}});
  families->Gauge("engram_episodes", Number(figures.episode_count), labels);
  families->Gauge("engram_concepts", Number(figures.concept_count), labels);
  families->Gauge("engram_edges", Number(figures.edge_count), labels);
  families->Gauge("engram_bindings", Number(figures.binding_count), labels);
  families->Gauge("engram_lossy_concepts", Number(figures.lossy_count), labels);
  families->Gauge("engram_quarantined_records", Number(figures.quarantined_count), labels);
  families->Gauge("engram_space_latched", figures.latched, labels);
  families->Gauge("engram_space_size_bytes", Number(figures.size_bytes), labels);
  families->Gauge("engram_overlay_size_bytes", Number(figures.overlay_size_bytes), labels);
  for (size_t tier = 0; tier < kTiers.size(); ++tier) {
    const MetricLabels of_tier = {{"space", space.name}, {"tier", kTiers[tier]}};
    families->Gauge("engram_tier_records", Number(figures.tier_count[tier]), of_tier);
    families->Gauge("engram_tier_dirty", figures.tier_dirty[tier], of_tier);
    if (figures.count > 0) {
      totals->tier_bytes[tier] +=
          Number(figures.size_bytes) * Number(figures.tier_count[tier]) / Number(figures.count);
    }
  }
  Memory& memory = memories_[space.name];
  const int64_t life = space.opened_at_unix_ns.load();
  families->Counter("engram_lazy_conversions_total",
                    Number(memory.lazy_conversions.At(life, figures.lazy_conversions_total)),
                    labels);
  families->Counter("engram_lazy_installs_total",
                    Number(memory.lazy_installs.At(life, figures.lazy_installs_total)), labels);
  families->Counter("engram_shadow_mismatches_total",
                    Number(memory.mismatches.At(life, figures.shadow_mismatches_total)), labels);
}

void SpaceFamilies::AddLog(const ServedSpace& space, const engram_se_figures& figures,
                           uint64_t now_ns, Families* families, Totals* totals) {
  const MetricLabels labels = {{"space", space.name}};
  Memory& memory = memories_[space.name];
  const int64_t life = space.opened_at_unix_ns.load();
  families->Counter("engram_wal_appended_bytes_total",
                    Number(memory.appended_bytes.At(life, figures.log_appended_bytes_total)),
                    labels);
  families->Counter("engram_wal_groups_total",
                    Number(memory.groups.At(life, figures.log_groups_total)), labels);
  families->Counter("engram_wal_records_total",
                    Number(memory.records.At(life, figures.log_records_total)), labels);
  families->Counter("engram_wal_flush_seconds_total",
                    Seconds(memory.flush_ns.At(life, figures.log_flush_ns_total)), labels);
  families->Gauge("engram_wal_size_bytes", Number(figures.log_size_bytes), labels);
  families->Gauge("engram_wal_durable_lsn", Number(figures.lsn_durable), labels);
  families->Gauge("engram_wal_applied_lsn", Number(figures.lsn_applied), labels);
  totals->wal_lag_seconds =
      std::max(totals->wal_lag_seconds, LagSeconds(space.name, figures, now_ns));
}

double SpaceFamilies::LagSeconds(const std::string& space, const engram_se_figures& figures,
                                 uint64_t now_ns) {
  auto& unapplied = memories_[space].unapplied;
  while (!unapplied.empty() && unapplied.front().first <= figures.lsn_applied) {
    unapplied.pop_front();
  }
  if (figures.lsn_applied < figures.lsn_durable && unapplied.size() < 1024) {
    unapplied.emplace_back(figures.lsn_durable, now_ns);
  }
  return unapplied.empty() ? 0 : Seconds(now_ns - unapplied.front().second);
}

std::vector<SpaceHealth> SpaceFamilies::Check(SpaceRegistry& spaces,
                                              const std::vector<SpaceMigration>& known,
                                              uint64_t now_ns, HealthInputs* inputs) {
  const auto disk = data_root_.empty() ? Result<DiskSpace>(Status::NotFound("no data root"))
                                       : FileSystem::Posix().Space(data_root_);
  if (disk.ok()) {
    inputs->disk_total_bytes = disk->total_bytes;
    inputs->disk_available_bytes = disk->available_bytes;
  }
  std::vector<std::string> open;
  for (const SpaceHandle& space : spaces.Open()) open.push_back(space->name);
  std::vector<SpaceHealth> found;
  for (const std::string& name : open) {
    const SpaceHandle space = spaces.FindOpen(name);
    if (space == nullptr) continue;
    const auto figures = space->space->Figures();
    if (!figures.ok()) {
      inputs->failing_spaces.push_back(name);
      continue;
    }
    const double lag = LagSeconds(name, *figures, now_ns);
    inputs->wal_lag_seconds = std::max(inputs->wal_lag_seconds, lag);
    inputs->edges += figures->edge_count;
    const double room = Number(figures->size_bytes) + Number(inputs->disk_available_bytes);
    const double pressure =
        inputs->disk_total_bytes == 0 || room == 0 ? 0 : Number(figures->size_bytes) / room;
    if (figures->latched != 0) inputs->latched_spaces.push_back(name);
    found.push_back({name, true, figures->count, pressure, lag * 1e3, 0, figures->latched != 0});
  }
  AddClosed(known, inputs->failing_spaces, &found);
  return found;
}

void SpaceFamilies::AddTotals(const Totals& totals, Families* families) {
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < totals.gate_buckets.size(); ++i) {
    bounds.push_back(std::ldexp(1e-6, static_cast<int>(i)));
  }
  families->Histogram("engram_mode_gate_wait_seconds", bounds, totals.gate_buckets,
                      totals.gate_seconds);
  families->Counter("engram_wal_recovery_successes_total", Number(recoveries_));
  families->Counter("engram_wal_recovery_failures_total", Number(failed_recoveries_));
  families->Summary("engram_wal_recovery_duration_seconds",
                    {recovery_seconds_.begin(), recovery_seconds_.end()}, {0.5, 0.9, 0.95, 0.99},
                    recoveries_, recovery_seconds_total_);
  families->Gauge("engram_wal_lag_seconds", totals.wal_lag_seconds);
  const auto disk = data_root_.empty() ? Result<DiskSpace>(Status::NotFound("no data root"))
                                       : FileSystem::Posix().Space(data_root_);
  for (size_t tier = 0; tier < kTiers.size(); ++tier) {
    const MetricLabels labels = {{"tier", kTiers[tier]}};
    families->Gauge("engram_tier_size_bytes", totals.tier_bytes[tier], labels);
    if (!disk.ok()) continue;
    families->Gauge("engram_tier_capacity_bytes",
                    totals.tier_bytes[tier] + Number(disk->available_bytes), labels);
  }
}

void SpaceFamilies::AddMigration(MigrationScheduler& scheduler, Families* families) {
  for (const SpaceMigration& space : scheduler.Spaces(std::nullopt)) {
    const MetricLabels labels = {{"space", space.space}};
    const double ratio =
        space.count == 0 ? 1 : 1 - Number(space.remaining_old) / Number(space.count);
    families->Gauge("engram_migration_progress_ratio", std::clamp(ratio, 0.0, 1.0), labels);
    families->Gauge("engram_migration_remaining_old", Number(space.remaining_old), labels);
    families->Gauge("engram_migration_rate", space.rate, labels);
    families->Gauge("engram_migration_lag_lsn", Number(space.lag_lsn), labels);
    families->Gauge("engram_migration_phase", 1, {{"space", space.space}, {"phase", space.phase}});
    if (space.source) {
      families->Gauge("engram_upstream_damaged_places", Number(space.source->damaged), labels);
      families->Gauge("engram_upstream_undecodable_records", Number(space.source->quarantined),
                      labels);
    }
    if (space.is_judged()) {
      families->Gauge("engram_digest_match", space.digest_matches ? 1 : 0, labels);
    }
  }
  const MigrationFigures figures = scheduler.Figures();
  for (const auto& [space, migrated] : figures.spaces) {
    families->Counter("engram_migration_nodes_migrated_total", Number(migrated),
                      {{"space", space}});
  }
  families->Histogram("engram_migration_batch_duration_seconds", kBatchSecondsBounds,
                      figures.batch_buckets, figures.batch_seconds_total);
  families->Gauge("engram_migration_memory_usage_bytes", Number(figures.memory_usage_bytes));
  families->Counter("engram_migration_checkpoint_writes_total",
                    Number(figures.checkpoint_writes_total));
  families->Counter("engram_migration_failed_steps_total", Number(figures.failed_steps_total));
  for (size_t i = 0; i < kThrottleReasons.size(); ++i) {
    const MetricLabels labels = {{"reason", kThrottleReasons[i]}};
    families->Gauge("engram_migration_throttled", figures.throttles[i].active ? 1 : 0, labels);
    families->Counter("engram_migration_throttled_seconds_total",
                      figures.throttles[i].seconds_total, labels);
  }
  families->Gauge("engram_dual_memory_types", scheduler.dual_memory_types() ? 1 : 0);
}

void SpaceFamilies::Collect(SpaceRegistry& spaces, MigrationScheduler& scheduler, uint64_t now_ns,
                            Families* families) {
  DeclareSpaces(families);
  DeclareLog(families);
  DeclareMigration(families);
  Totals totals;
  std::vector<std::string> open;
  for (const SpaceHandle& space : spaces.Open()) open.push_back(space->name);
  families->Gauge("engram_open_spaces", Number(open.size()));
  // One handle at a time: who holds all keeps the registry from making room for another space.
  for (const std::string& name : open) {
    const SpaceHandle space = spaces.FindOpen(name);
    if (space == nullptr) continue;
    Opened(*space);
    const auto figures = space->space->Figures();
    if (!figures.ok()) continue;  // it is failing: /health says so
    AddSpace(*space, *figures, families, &totals);
    AddLog(*space, *figures, now_ns, families, &totals);
    Memory& memory = memories_[space->name];
    const int64_t life = space->opened_at_unix_ns.load();
    for (size_t i = 0; i < memory.gate_buckets.size(); ++i) {
      memory.gate_buckets[i].At(life, figures->mode_gate_wait[i]);
    }
    memory.gate_wait_ns.At(life, figures->mode_gate_wait_ns_total);
  }
  // Of the spaces that are closed now as well, or the totals would fall.
  for (const auto& [name, memory] : memories_) {
    for (size_t i = 0; i < memory.gate_buckets.size(); ++i) {
      totals.gate_buckets[i] += memory.gate_buckets[i].total();
    }
    totals.gate_seconds += Seconds(memory.gate_wait_ns.total());
  }
  AddTotals(totals, families);
  AddCompaction(families);
  AddMigration(scheduler, families);
}

}  // namespace engram::server
