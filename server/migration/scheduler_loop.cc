// The thread that steps: whose turn, whether now, one step, what came of it, sleep.
#include <algorithm>

#include "server/migration/scheduler_core.h"

namespace engram::server {
namespace {

constexpr uint64_t kMemoryWaitNs = 100'000'000;
// While there is traffic a step is cut so that it lasts about so long: a request waits for at most
// one of them.
constexpr uint64_t kStepNsMax = 8'000'000;
constexpr uint64_t kStepRecordsMin = 16;
constexpr uint64_t kIdleStepNsMax = 500'000'000;

}  // namespace

bool Scheduler::Wanted(const SpaceEntry& entry) const {
  if (!options_.enabled || entry.arriving()) return false;
  switch (entry.awaits_mode() ? 0 : entry.mode) {
    case 0:  // not open: opened for its history alone
      return knobs_.history_scan && (dual_.load() || entry.online.active);
    case ENGRAM_SE_MODE_LEGACY:
      return !knobs_.history_scan && !entry.online.active;
    case ENGRAM_SE_MODE_FINALIZED:
      return false;
    default:
      return true;
  }
}

bool Scheduler::MayGo(const SpaceEntry& entry, uint64_t now_ns) const {
  if (stop_ || knobs_.paused || !Wanted(entry) || !entry.retry.Due(now_ns)) return false;
  if (!entry.idle) return true;
  // Complete stays complete; but a write may be to a record that was kept back.
  if (entry.phase == ENGRAM_SE_PHASE_COMPLETE && entry.mode != ENGRAM_SE_MODE_LEGACY &&
      entry.quarantined == 0) {
    return false;
  }
  return entry.writes_now != entry.writes_seen;
}

void Scheduler::RefreshWrites() {
  const uint64_t total = writes_.load();
  if (total == writes_refreshed_) return;
  writes_refreshed_ = total;
  std::vector<std::pair<std::string, std::weak_ptr<ServedSpace>>> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, entry] : entries_) all.emplace_back(name, entry.served);
  }
  for (const auto& [name, served] : all) {
    const SpaceHandle space = served.lock();
    if (space == nullptr) continue;
    MutexLock lock(mutex_);
    entries_[name].writes_now = space->writes.load();
  }
}

// Asked only when some space could go, so that a reason always means that something waits.
bool Scheduler::HeldBack(uint64_t now_ns, uint64_t* wake_at_ns) {
  bucket_.SetRate(knobs_.rate_limit, now_ns);
  governor_.SetBudget(knobs_.p99_budget_percent);
  if (now_ns < memory_held_until_ns_) {
    *wake_at_ns = std::min(*wake_at_ns, memory_held_until_ns_);
    return true;
  }
  const uint64_t wait_ns = bucket_.WaitNs(now_ns);
  if (wait_ns > 0) {
    throttles_.Note(ThrottleReason::kRateLimit, now_ns, WallNs());
    *wake_at_ns = std::min(*wake_at_ns, now_ns + wait_ns);
    return true;
  }
  const ForegroundGovernor::Decision decision = governor_.Decide();
  if (decision.reason != nullptr) {
    const bool measuring = decision.reason == kThrottleReasons[3];
    throttles_.Note(measuring ? ThrottleReason::kMeasuring : ThrottleReason::kForeground, now_ns,
                    WallNs());
  }
  if (!decision.may_step) *wake_at_ns = std::min(*wake_at_ns, decision.resume_ns);
  return !decision.may_step;
}

Scheduler::Turn Scheduler::TakeTurn(uint64_t* wake_at_ns) {
  std::string name;
  uint64_t records;
  {
    MutexLock lock(mutex_);
    const uint64_t now = clock_.MonotonicNs();
    std::map<std::string, bool> may_go;
    for (const auto& [space, entry] : entries_) {
      if (MayGo(entry, now)) may_go[space] = true;
      if (!knobs_.paused && Wanted(entry) && !entry.retry.Due(now)) {
        *wake_at_ns = std::min(*wake_at_ns, entry.retry.next_ns());
      }
    }
    if (may_go.empty()) {
      throttles_.Expire(now, true);
      return Turn::kNothing;
    }
    throttles_.Expire(now, false);
    if (HeldBack(now, wake_at_ns)) return Turn::kNothing;
    name = turns_.Next(may_go, [](bool may) { return may; })->first;
    if (step_records_ == 0) step_records_ = knobs_.batch_size;
    records = bucket_.StepMax(std::min<uint64_t>(step_records_, knobs_.batch_size));
  }
  Step(name, records);
  return Turn::kStepped;
}

void Scheduler::DropMigrator(SpaceEntry& entry) {
  entry.migrator.reset();
  entry.migrated_before += entry.migrated;
  entry.migrated = 0;
}

void Scheduler::Failed(const std::string& name, SpaceEntry& entry, RetryDelay& retry,
                       const Status& why) {
  if (entry.error != why.message()) {
    logger_.Error("space " + name + ": " + why.ToString() + "; it is tried again");
  }
  entry.error = why.message();
  entry.mirror_due = true;
  retry.Failed(clock_.MonotonicNs());
  ++figures_.failed_steps_total;
}

Result<std::unique_ptr<plugin::Migrator>> Scheduler::TakeMigrator(const std::string& name,
                                                                  const SpaceHandle& space) {
  plugin::MigratorOptions options;
  {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    // The guided way needs all of the history.
    options.history_scan = knobs_.history_scan || entry.online.active;
    options.memory_budget_mb = knobs_.memory_budget_mb;
    if (entry.migrator && entry.migrator_scans_history == options.history_scan) {
      return std::move(entry.migrator);
    }
    DropMigrator(entry);
    entry.migrator_scans_history = options.history_scan;
  }
  return space->space->OpenMigrator(options);
}

void Scheduler::Step(const std::string& name, uint64_t records_max) {
  const auto space = OpenSpace(name);
  if (!space.ok() || *space == nullptr) {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    if (space.ok()) {
      entry.idle = true;  // gone
    } else {
      Failed(name, entry, entry.retry, space.status());
    }
    return;
  }
  const uint64_t writes = (*space)->writes.load();
  {
    MutexLock lock(mutex_);
    // It may have opened in a mode that wants no step.
    if (!MayGo(entries_[name], clock_.MonotonicNs())) return;
  }
  auto migrator = TakeMigrator(name, *space);
  Status status = migrator.status();
  engram_se_migrator_state state{};
  const uint64_t began = clock_.MonotonicNs();
  if (status.ok()) {
    governor_.StepBegins();
    const auto result = (*migrator)->Step(records_max);
    governor_.StepEnds();
    status = result.status();
    if (result.ok()) state = *result;
    if (status.ok() && state.phase == ENGRAM_SE_PHASE_FAILED) {
      status = Status::Corruption("a verification of what was converted did not hold",
                                  "run: engram verify --full");
    }
  }
  MutexLock lock(mutex_);
  SpaceEntry& entry = entries_[name];
  if (!status.ok()) {
    if (migrator.ok()) *migrator = nullptr;
    entry.migrated_before += entry.migrated;
    entry.migrated = 0;
    Failed(name, entry, entry.retry, status);
    return;
  }
  entry.migrator = std::move(*migrator);
  entry.writes_seen = writes;
  Account(entry, state, clock_.MonotonicNs() - began);
}

void Scheduler::Account(SpaceEntry& entry, const engram_se_migrator_state& state,
                        uint64_t took_ns) {
  const uint64_t now = clock_.MonotonicNs();
  if (entry.retry.failing()) entry.error.clear();
  entry.retry.Reset();
  entry.phase = state.phase;
  entry.migrated = state.converted_total;
  entry.quarantined = state.quarantined_total;
  entry.digest_matches = state.digest_matches != 0;
  entry.lag_lsn = state.lsn_durable - std::min(state.lsn_durable, state.lsn_tailed);
  entry.mirror_due = true;
  entry.idle = state.done == 0 || state.phase == ENGRAM_SE_PHASE_COMPLETE;
  // What is complete needs no migrator until the mode changes; what tails keeps its own.
  if (state.phase == ENGRAM_SE_PHASE_COMPLETE && entry.migrator_scans_history &&
      entry.quarantined == 0) {
    DropMigrator(entry);
  }
  figures_.memory_usage_bytes = state.resident_budget_used_bytes;
  if (state.done == 0) return;
  entry.rate.Add(now, state.done);
  bucket_.Charge(state.done);
  const double seconds = static_cast<double>(took_ns) / 1e9;
  const auto bucket =
      std::lower_bound(kBatchSecondsBounds.begin(), kBatchSecondsBounds.end(), seconds) -
      kBatchSecondsBounds.begin();
  ++figures_.batch_buckets[static_cast<size_t>(bucket)];
  ++figures_.batches_total;
  ++figures_.checkpoint_writes_total;
  figures_.batch_seconds_total += seconds;
  const uint64_t step_ns_max = governor_.traffic() ? kStepNsMax : kIdleStepNsMax;
  if (took_ns > step_ns_max) {
    step_records_ = std::max(kStepRecordsMin, step_records_ / 2);
  } else if (took_ns < step_ns_max / 2) {
    step_records_ = std::min<uint64_t>(knobs_.batch_size, step_records_ * 2);
  }
  if (state.resident_budget_used_bytes > knobs_.memory_budget_mb << 20) {
    throttles_.Note(ThrottleReason::kMemoryBudget, now, WallNs());
    memory_held_until_ns_ = now + kMemoryWaitNs;
    step_records_ = std::max(kStepRecordsMin, step_records_ / 2);
    DropMigrator(entry);  // and with it its buffers
  }
}

void Scheduler::SleepUntil(uint64_t wake_at_ns, uint64_t changes_seen, uint64_t writes_seen) {
  MutexLock lock(mutex_);
  // A writer adds to writes_ before it looks at the flag, the sleeper sets the flag before it looks
  // at writes_: one of them sees the other.
  sleeping_for_good_.store(wake_at_ns == kNever);
  while (!stop_ && changes_ == changes_seen) {
    if (wake_at_ns == kNever) {
      if (writes_.load() != writes_seen) break;
      changed_.Wait(mutex_);
    } else {
      const uint64_t now = clock_.MonotonicNs();
      if (now >= wake_at_ns) break;
      changed_.WaitFor(mutex_, std::chrono::nanoseconds(wake_at_ns - now));
    }
  }
  sleeping_for_good_.store(false);
}

void Scheduler::Loop() {
  for (;;) {
    uint64_t changes;
    {
      MutexLock lock(mutex_);
      if (stop_) return;
      changes = changes_;
    }
    const uint64_t writes = writes_.load();
    uint64_t wake_at_ns = kNever;
    RefreshWrites();
    QueueArrivals(&wake_at_ns);
    TakeModes(&wake_at_ns);
    AdvanceOnline(&wake_at_ns);
    const Turn turn = TakeTurn(&wake_at_ns);
    PublishDue(&wake_at_ns);
    if (turn == Turn::kNothing) SleepUntil(wake_at_ns, changes, writes);
  }
}

}  // namespace engram::server
