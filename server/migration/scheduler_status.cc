// What others see: the status, the figures for the metrics, the control blocks.
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/crypto.h"
#include "base/rfc3339.h"
#include "server/migration/control_mirror.h"
#include "server/migration/scheduler_core.h"

namespace engram::server {
namespace {

constexpr uint64_t kPublishNs = 500'000'000;

}  // namespace

std::string Scheduler::PhaseOf(const SpaceEntry& entry) const {
  if (entry.failing()) return "failed";
  if (entry.arriving()) return "ingest";
  if (entry.mode == ENGRAM_SE_MODE_FINALIZED) return "complete";
  if (entry.online.active && entry.online.job_queued) return "verify";
  if (!Wanted(entry)) return "off";
  // Before its first step.
  if (entry.phase == 0 || entry.awaits_mode()) return knobs_.history_scan ? "backfill" : "tail";
  return PhaseName(entry.phase);
}

void Scheduler::Describe(const std::string& name, uint64_t now_ns, SpaceMigration* status) {
  status->space = name;
  status->phase = PhaseName(0);
  const auto at = entries_.find(name);
  if (at == entries_.end()) return;
  SpaceEntry& entry = at->second;
  if (entry.mode != 0) status->mode = entry.mode;
  const bool known = status->mode != 0;
  if (entry.mode_due && known && status->mode != ModeOf(name)) status->mode_due = ModeOf(name);
  status->phase = PhaseOf(entry);
  status->lag_lsn = entry.lag_lsn;
  status->digest_matches = entry.digest_matches;
  status->error = entry.error;
  status->source = entry.source;
  status->rate = entry.arriving() ? entry.arrival.rate : entry.rate.PerSecond(now_ns);
  if (entry.arriving()) {
    status->eta_seconds = entry.arrival.eta_seconds;
  } else if (status->remaining_old == 0 || entry.phase == ENGRAM_SE_PHASE_COMPLETE) {
    status->eta_seconds = 0;
  } else if (status->rate > 0) {
    status->eta_seconds = static_cast<double>(status->remaining_old) / status->rate;
  }
  if (entry.online.active) {
    status->online_step = entry.online.job_queued ? "verify" : ModeName(entry.mode);
  }
  const auto throttle = throttles_.Current();
  // A pause does not halt what comes in.
  const bool concerned =
      entry.arriving() ? !knobs_.paused : knobs_.paused || (Wanted(entry) && !entry.idle);
  if (throttle && concerned) {
    status->throttle_reason = throttle->reason;
    status->throttle_since =
        FormatTime(throttle->since_wall_ns / 1'000'000'000,
                   static_cast<uint32_t>(throttle->since_wall_ns % 1'000'000'000));
  }
}

SpaceMigration Scheduler::StatusOf(const std::string& name) {
  SpaceMigration status;
  if (const SpaceHandle space = OpenNow(name)) {
    const auto figures = space->space->Figures();
    if (figures.ok()) {
      TakeFigures(*figures, &status);
    } else {
      status.error = figures.status().message();
    }
  } else {
    const auto control = spaces_.engine().ReadControl(name);
    if (control.ok()) TakeControl(*control, &status);
  }
  const std::string error = status.error;
  MutexLock lock(mutex_);
  Describe(name, clock_.MonotonicNs(), &status);
  if (status.error.empty()) status.error = error;
  return status;
}

std::vector<SpaceMigration> Scheduler::Spaces(const std::optional<std::string>& space) {
  std::vector<std::string> names;
  if (space) {
    names.push_back(*space);
  } else if (const auto listed = spaces_.Names(); listed.ok()) {
    names = *listed;
  }
  std::vector<SpaceMigration> all;
  for (const std::string& name : names) all.push_back(StatusOf(name));
  return all;
}

MigrationFigures Scheduler::Figures() {
  MutexLock lock(mutex_);
  MigrationFigures figures = figures_;
  const uint64_t now = clock_.MonotonicNs();
  for (size_t i = 0; i < figures.throttles.size(); ++i) {
    figures.throttles[i] = throttles_.Figures(i, now);
  }
  for (const auto& [name, entry] : entries_) {
    figures.spaces.push_back({name, entry.migrated_before + entry.migrated});
  }
  return figures;
}

void Scheduler::Publish(ServedSpace& space, uint32_t pid) {
  const std::string& name = space.name;
  const auto figures = space.space->Figures();
  SpaceMigration status;
  if (figures.ok()) TakeFigures(*figures, &status);
  MirrorContext context;
  {
    MutexLock lock(mutex_);
    Describe(name, clock_.MonotonicNs(), &status);
    const SpaceEntry& entry = entries_[name];
    context.phase = PhaseNumber(status.phase);
    context.rate_limit = knobs_.rate_limit;
    context.paused = knobs_.paused;
    context.history_scan = knobs_.history_scan;
    const auto throttle = throttles_.Current();
    if (throttle && !status.throttle_reason.empty()) {
      context.throttled_since_unix_ns = throttle->since_wall_ns;
    }
    context.converted = entry.migrated_before + entry.migrated;
  }
  context.pid = pid;
  context.http_port = http_port_.load();
  context.now_unix_ns = WallNs();
  const Status published = space.space->PublishControl(MirrorOf(status, context));
  if (!published.ok()) {
    logger_.Debug("space " + name + ": control block: " + published.message());
  }
}

// Twice a second while something changes, and once more when nothing does any longer.
bool Scheduler::PublishDue(uint64_t* wake_at_ns) {
  const uint64_t now = clock_.MonotonicNs();
  if (now - published_ns_ < kPublishNs && published_ns_ != 0) {
    // What changed since is published at the next beat; whether anything did is seen there.
    *wake_at_ns = std::min(*wake_at_ns, published_ns_ + kPublishNs);
    return true;
  }
  std::vector<std::string> due;
  {
    MutexLock lock(mutex_);
    for (auto& [name, entry] : entries_) {
      if (!entry.mirror_due && entry.writes_now == entry.writes_mirrored) continue;
      entry.mirror_due = false;
      entry.writes_mirrored = entry.writes_now;
      due.push_back(name);
    }
  }
  bool published = false;
  for (const std::string& name : due) {
    const SpaceHandle space = OpenNow(name);
    if (space == nullptr) continue;
    Publish(*space, static_cast<uint32_t>(getpid()));
    published = true;
  }
  if (!published) return false;
  published_ns_ = now;
  *wake_at_ns = std::min(*wake_at_ns, now + kPublishNs);
  return true;
}

}  // namespace engram::server
