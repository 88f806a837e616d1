// What upstream left, and the guided way: long jobs beside the stepping thread.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/migration/scheduler_core.h"

namespace engram::server {
namespace {

// How long reads are compared before the new form serves them.
constexpr uint64_t kShadowNs = 2'000'000'000;

// Trying again changes nothing about these.
bool IsFinal(const Status& status) {
  switch (status.code()) {
    case StatusCode::kFailedPrecondition:
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
    case StatusCode::kUnsupported:
      return true;
    default:
      return false;
  }
}

// "" if the report of a verification is clean, else what it found.
std::string Findings(const std::string& report) {
  const auto json = nlohmann::json::parse(report, nullptr, false);
  if (!json.is_object()) return "the verification gave no report";
  if (json.value("ok", false)) return "";
  std::string text = "the verification does not hold:";
  for (const char* key : {"missing", "orphans", "mismatched", "corrupt"}) {
    if (json.contains(key) && json[key].is_array() && !json[key].empty()) {
      text += " " + std::string(key) + " " + std::to_string(json[key].size()) + ",";
    }
  }
  text.back() = text.back() == ',' ? ';' : text.back();
  return text + " run: engram verify --full";
}

}  // namespace

void Scheduler::QueueArrivals(uint64_t* wake_at_ns) {
  MutexLock lock(mutex_);
  if (stop_) return;
  const uint64_t now = clock_.MonotonicNs();
  if (!std::exchange(arrivals_shown_, true)) {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) {
      if (entry.arriving()) names.push_back(name);
    }
    // One alone is brought in at once.
    if (names.size() > 1) {
      jobs_.Add(BackgroundJobs::Kind::kIngest,
                [this, names](const std::atomic<bool>&) { ShowArrivals(names); });
    }
  }
  for (auto& [name, entry] : entries_) {
    if (!entry.arriving() || entry.arrival.queued) continue;
    if (!entry.arrival.retry.Due(now)) {
      *wake_at_ns = std::min(*wake_at_ns, entry.arrival.retry.next_ns());
      continue;
    }
    entry.arrival.queued = true;
    const std::string space = name;
    jobs_.Add(BackgroundJobs::Kind::kIngest,
              [this, space](const std::atomic<bool>& cancel) { BringIn(space, cancel); });
  }
}

// Those that wait for their turn are opened once: their control blocks then say that they wait,
// also while the server does not answer.
void Scheduler::ShowArrivals(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    {
      MutexLock lock(mutex_);
      if (stop_) return;
    }
    IgnoreError(OpenSpace(name).status(), "its ingest fails on it as well, and says so");
  }
}

void Scheduler::BringIn(const std::string& name, const std::atomic<bool>& cancel) {
  plugin::MigrateOptions options;
  options.flags = ENGRAM_SE_MIGRATE_RESUME;
  {
    MutexLock lock(mutex_);
    options.source = entries_[name].arrival.source;
    options.batch_size = knobs_.batch_size;
    options.memory_budget_mb = knobs_.memory_budget_mb;
    options.rate_limit_per_second = knobs_.rate_limit;
  }
  options.space = name;
  const auto space = OpenSpace(name);
  if (!space.ok() || *space == nullptr) {
    return Arrived(name, space.ok() ? Status::Io("the space " + name + " cannot be opened",
                                                 "see the log of the server")
                                    : space.status());
  }
  const auto mode = (*space)->space->Mode();
  if (mode.ok() && *mode == ENGRAM_SE_MODE_FINALIZED) return Arrived(name, Status::Ok());
  plugin::Job job;
  job.cancel = &cancel;
  job.progress = [&](const engram_se_progress& progress) {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    entry.arrival.rate = progress.rate_per_second;
    entry.arrival.eta_seconds = progress.eta_seconds;
    entry.mirror_due = true;
    ++changes_;
    changed_.NotifyAll();
  };
  logger_.Info("space " + name + ": bringing in what upstream left");
  const auto report = (*space)->space->Ingest(options, job);
  if (report.ok()) TakeFindings(name, *report);
  Arrived(name, report.status());
}

// Each place is told once, when the source is read: a source that did not change is not.
void Scheduler::TakeFindings(const std::string& name, const std::string& report) {
  std::string folder;
  {
    MutexLock lock(mutex_);
    const std::string& source = entries_[name].arrival.source;
    const std::string root = JoinPath(options_.data_root, "");
    if (source.starts_with(root)) folder = JoinPath(source.substr(root.size()), "");
  }
  auto findings = FindingsOf(report, folder);
  if (!findings) return;
  for (const SourceFindings::Place& place : findings->places) {
    logger_.Write(LogLevel::kWarning, "what upstream left is not readable here",
                  {{"space", name},
                   {"file", place.file},
                   {"offset", place.offset},
                   {"finding", place.quarantined ? "quarantined" : "damaged"},
                   {"detail", place.what}});
  }
  const uint64_t all = findings->damaged + findings->quarantined;
  if (all > findings->places.size()) {
    logger_.Warning("space " + name + ": and " + std::to_string(all - findings->places.size()) +
                    " more places; engram inspect source lists all");
  }
  MutexLock lock(mutex_);
  entries_[name].source = *findings;
  const Status kept = findings_.Set(name, std::move(*findings));
  if (!kept.ok()) {
    logger_.Warning("space " + name +
                    ": what was found in upstream's log is not kept: " + kept.message());
  }
}

void Scheduler::Arrived(const std::string& name, const Status& status) {
  SpaceHandle space;
  std::string lost;
  {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    if (entry.source && !entry.source->clean()) lost = entry.source->Summary();
    entry.arrival.queued = false;
    entry.mirror_due = true;
    if (status.ok() || IsFinal(status)) {
      entry.arrival.done = true;
      entry.arrival.refused = !status.ok();
      entry.arrival.retry.Reset();
      entry.idle = false;
      entry.error = status.ok() ? "" : status.message();
      space = entry.served.lock();
      if (space) space->arriving.store(false);
    } else if (status.code() != StatusCode::kCancelled) {
      Failed(name, entry, entry.arrival.retry, status);
    }
    ++changes_;
    changed_.NotifyAll();
  }
  if (status.ok() && lost.empty()) {
    logger_.Info("space " + name + ": everything upstream left is in");
  } else if (status.ok()) {
    logger_.Warning("space " + name + ": what upstream left is in, but for " + lost);
  }
  if (IsFinal(status)) {
    logger_.Error("space " + name + ": what upstream left does not come in: " + status.ToString());
  }
}

void Scheduler::AdvanceOnline(uint64_t* wake_at_ns) {
  std::vector<std::string> names;
  {
    MutexLock lock(mutex_);
    if (knobs_.paused || stop_ || !options_.enabled) return;
    const uint64_t now = clock_.MonotonicNs();
    for (auto& [name, entry] : entries_) {
      if (!entry.online.active || entry.online.job_queued || entry.arriving()) continue;
      if (!entry.online.retry.Due(now)) {
        *wake_at_ns = std::min(*wake_at_ns, entry.online.retry.next_ns());
      } else {
        names.push_back(name);
      }
    }
  }
  for (const std::string& name : names) AdvanceOnline(name, wake_at_ns);
}

void Scheduler::AdvanceOnline(const std::string& name, uint64_t* wake_at_ns) {
  MutexLock flag(flag_mutex_);
  const auto space = OpenSpace(name);
  Status status = space.status();
  if (status.ok() && *space != nullptr) {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    if (!entry.online.active) return;
    if (entry.mode == ENGRAM_SE_MODE_DUAL || entry.mode == ENGRAM_SE_MODE_FINALIZED) {
      entry.online.active = false;
      entry.idle = false;
      logger_.Info("space " + name + ": the guided migration is done");
      return;
    }
    // Between the modes: all of the history, then a while of compared reads, each then verified.
    if (entry.mode == ENGRAM_SE_MODE_DUAL_WRITE &&
        !(entry.idle && entry.phase == ENGRAM_SE_PHASE_COMPLETE)) {
      return;
    }
    const uint64_t now = clock_.MonotonicNs();
    if (entry.mode == ENGRAM_SE_MODE_SHADOW) {
      if (entry.online.shadow_since_ns == 0) entry.online.shadow_since_ns = now;
      const uint64_t until = entry.online.shadow_since_ns + kShadowNs;
      if (now < until) {
        *wake_at_ns = std::min(*wake_at_ns, until);
        return;
      }
    }
    if (!entry.online.verified) {
      entry.online.job_queued = true;
      entry.mirror_due = true;
      jobs_.Add(BackgroundJobs::Kind::kVerification,
                [this, name](const std::atomic<bool>& cancel) { VerifyOnline(name, cancel); });
      return;
    }
  }
  if (status.ok() && *space != nullptr) status = NextOnlineMode(*space);
  MutexLock lock(mutex_);
  SpaceEntry& entry = entries_[name];
  if (!status.ok()) {
    Failed(name, entry, entry.online.retry, status);
    *wake_at_ns = std::min(*wake_at_ns, entry.online.retry.next_ns());
    return;
  }
  entry.online.verified = false;
  *wake_at_ns = 0;  // the next step begins at once
}

Status Scheduler::NextOnlineMode(const SpaceHandle& space) {
  ENGRAM_ASSIGN_OR_RETURN(const uint32_t mode, space->space->Mode());
  ENGRAM_ASSIGN_OR_RETURN(const engram_se_figures figures, space->space->Figures());
  uint32_t next = ENGRAM_SE_MODE_DUAL_WRITE;
  if (mode == ENGRAM_SE_MODE_DUAL_WRITE) {
    next = ENGRAM_SE_MODE_SHADOW;
    MutexLock lock(mutex_);
    SpaceEntry::Online& online = entries_[space->name].online;
    online.shadow_since_ns = 0;
    online.shadow_mismatches = figures.shadow_mismatches_total;
  } else if (mode == ENGRAM_SE_MODE_SHADOW) {
    next = ENGRAM_SE_MODE_DUAL;
    MutexLock lock(mutex_);
    SpaceEntry::Online& online = entries_[space->name].online;
    if (figures.shadow_mismatches_total > online.shadow_mismatches) {
      const uint64_t found = figures.shadow_mismatches_total - online.shadow_mismatches;
      online.shadow_mismatches = figures.shadow_mismatches_total;
      online.shadow_since_ns = 0;
      online.verified = false;
      return Status::Corruption(std::to_string(found) + " reads differed between the two forms",
                                "run: engram verify --full; the old form goes on serving reads");
    }
  }
  return SwitchSpace(space, next);
}

void Scheduler::VerifyOnline(const std::string& name, const std::atomic<bool>& cancel) {
  {
    MutexLock lock(mutex_);
    if (knobs_.paused) {  // queued behind something else when the pause came
      entries_[name].online.job_queued = false;
      return;
    }
  }
  const auto space = OpenSpace(name);
  Status status = space.status();
  uint32_t mode = 0;
  if (status.ok() && *space != nullptr) {
    plugin::VerifyOptions options;
    options.space = name;
    plugin::Job job;
    job.cancel = &cancel;
    const auto before = (*space)->space->Mode();
    if (before.ok()) mode = *before;
    const auto report = (*space)->space->Verify(options, job);
    status = report.status();
    if (report.ok()) {
      const std::string findings = Findings(*report);
      if (!findings.empty()) status = Status::Corruption(findings);
    }
  }
  MutexLock lock(mutex_);
  SpaceEntry& entry = entries_[name];
  entry.online.job_queued = false;
  entry.mirror_due = true;
  if (status.ok()) {
    entry.online.verified = entry.mode == mode;
    if (entry.online.retry.failing()) entry.error.clear();
    entry.online.retry.Reset();
  } else if (status.code() != StatusCode::kCancelled) {
    Failed(name, entry, entry.online.retry, status);
  }
  ++changes_;
  changed_.NotifyAll();
}

}  // namespace engram::server
