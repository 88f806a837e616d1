// The knobs, and what the registry reports.
#include "server/migration/scheduler.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "plugin/loader/memory_text.h"
#include "server/migration/scheduler_core.h"

namespace engram::server {
namespace {

constexpr uint64_t kBatchMax = 1'000'000;

Status CheckKnobs(const SchedulerKnobs& knobs) {
  if (!(knobs.p99_budget_percent >= 0 && knobs.p99_budget_percent <= 1000)) {
    return Status::InvalidArgument("p99_budget_percent is out of range",
                                   "give a number from 0 to 1000, for example 5");
  }
  if (knobs.batch_size == 0 || knobs.batch_size > kBatchMax) {
    return Status::InvalidArgument("batch_size is out of range",
                                   "give a number from 1 to 1000000, for example 1000");
  }
  if (knobs.memory_budget_mb == 0) {
    return Status::InvalidArgument("memory_budget_mb is 0",
                                   "give a number of MiB, for example 512");
  }
  return Status::Ok();
}

}  // namespace

const char* ModeName(uint32_t mode) {
  const std::string_view text = plugin::ModeText(mode);
  return text.empty() ? "unknown" : text.data();
}

Result<std::unique_ptr<MigrationScheduler>> MigrationScheduler::Start(SpaceRegistry& spaces,
                                                                      const Options& options,
                                                                      Clock& clock,
                                                                      Logger& logger) {
  ENGRAM_TRY(CheckKnobs(options.knobs));
  FileSystem& fs = FileSystem::Posix();
  std::vector<UpstreamSource> sources;
  if (!options.data_root.empty()) {
    ENGRAM_ASSIGN_OR_RETURN(sources,
                            FindUpstreamSources(fs, options.data_root, options.default_space));
  }
  ENGRAM_ASSIGN_OR_RETURN(OnlineRegister online, OnlineRegister::Load(fs, options.data_root));
  ENGRAM_ASSIGN_OR_RETURN(const auto names, spaces.Names());
  auto scheduler =
      std::make_unique<Scheduler>(spaces, options, std::move(online),
                                  FindingsRegister::Load(fs, options.data_root), clock, logger);
  scheduler->Begin(sources);
  return std::unique_ptr<MigrationScheduler>(std::move(scheduler));
}

Scheduler::Scheduler(SpaceRegistry& spaces, const Options& options, OnlineRegister online,
                     FindingsRegister findings, Clock& clock, Logger& logger)
    : spaces_(spaces),
      options_(options),
      clock_(clock),
      logger_(logger),
      dual_(options.dual_memory_types),
      knobs_(options.knobs),
      online_(std::move(online)),
      findings_(std::move(findings)),
      governor_(clock) {}

void Scheduler::Begin(const std::vector<UpstreamSource>& sources) {
  const auto names = spaces_.Names();
  {
    MutexLock lock(mutex_);
    if (knobs_.paused) {
      throttles_.Note(ThrottleReason::kPaused, clock_.MonotonicNs(), WallNs());
    }
    std::set<std::string> with_source;
    for (const UpstreamSource& source : sources) {
      entries_[source.space].arrival.source = source.directory;
      with_source.insert(source.space);
    }
    IgnoreError(findings_.Retain(with_source), "it is tried again at the next start");
    for (const auto& [name, findings] : findings_.spaces()) entries_[name].source = findings;
    if (names.ok()) {
      for (const std::string& name : *names) entries_[name];
    }
    for (const std::string& name : online_.spaces()) entries_[name].online.active = true;
  }
  for (const SpaceHandle& space : spaces_.Open()) SpaceOpened(space);
  thread_ = std::thread([this] { Loop(); });
}

int64_t Scheduler::WallNs() {
  const int64_t seconds = clock_.WallSeconds();
  return seconds * 1'000'000'000 + clock_.WallNanos();
}

// With the history scan off only what is written while a migrator is open gets converted, so it is
// open before the first write.
void Scheduler::OpenTailer(const SpaceHandle& space) {
  {
    MutexLock lock(mutex_);
    const SpaceEntry& entry = entries_[space->name];
    if (knobs_.history_scan || entry.online.active || !options_.enabled || entry.migrator ||
        entry.mode == ENGRAM_SE_MODE_FINALIZED) {
      return;
    }
  }
  plugin::MigratorOptions options;
  options.history_scan = false;
  options.memory_budget_mb = knobs().memory_budget_mb;
  auto migrator = space->space->OpenMigrator(options);
  if (!migrator.ok()) {
    logger_.Warning("space " + space->name +
                    ": what is written is not converted yet: " + migrator.status().message());
    return;  // the loop tries again
  }
  MutexLock lock(mutex_);
  SpaceEntry& entry = entries_[space->name];
  entry.migrator = std::move(*migrator);
  entry.migrator_scans_history = false;
}

void Scheduler::SpaceOpened(const SpaceHandle& space) {
  {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[space->name];
    entry.served = space;
    entry.writes_now = entry.writes_seen = entry.writes_mirrored = 0;
    if (entry.arriving()) space->arriving.store(true);
  }
  const Status status = TakeFlag(space);
  if (!status.ok()) {
    logger_.Error("space " + space->name + ": its mode cannot be set: " + status.message());
    MutexLock lock(mutex_);
    entries_[space->name].error = status.message();
  }
  OpenTailer(space);
  Wake();
}

void Scheduler::SpaceClosing(ServedSpace& space) {
  {
    MutexLock lock(mutex_);
    const auto at = entries_.find(space.name);
    if (at != entries_.end()) DropMigrator(at->second);
  }
  // What is shown of it while it is closed.
  Publish(space, 0);
}

void Scheduler::SpaceWritten(const SpaceHandle&) {
  writes_.fetch_add(1);
  // Only who sleeps for good needs to hear of it; see SleepUntil.
  if (!sleeping_for_good_.load()) return;
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

void Scheduler::Wake() {
  MutexLock lock(mutex_);
  ++changes_;
  changed_.NotifyAll();
}

// Null if it is not open; does not count as a use of it.
SpaceHandle Scheduler::OpenNow(const std::string& name) {
  std::weak_ptr<ServedSpace> served;
  {
    MutexLock lock(mutex_);
    const auto at = entries_.find(name);
    if (at != entries_.end()) served = at->second.served;
  }
  return served.lock();
}

Result<SpaceHandle> Scheduler::OpenSpace(const std::string& name) {
  ENGRAM_ASSIGN_OR_RETURN(SpaceHandle space, spaces_.Find(name));
  if (space == nullptr) return space;
  const bool known = OpenNow(name) == space;
  if (!known) SpaceOpened(space);  // before the registry's callbacks are wired
  return space;
}

SchedulerKnobs Scheduler::knobs() const {
  MutexLock lock(mutex_);
  return knobs_;
}

Status Scheduler::SetKnobs(const SchedulerKnobs& knobs) {
  ENGRAM_TRY(CheckKnobs(knobs));
  {
    MutexLock lock(mutex_);
    // An ingest takes its rate when it begins, and no pause halts it.
    if (knobs.rate_limit != knobs_.rate_limit) {
      jobs_.CancelCurrent(BackgroundJobs::Kind::kIngest);
    }
    if (knobs.paused) jobs_.CancelCurrent(BackgroundJobs::Kind::kVerification);
    knobs_ = knobs;
    const uint64_t now = clock_.MonotonicNs();
    if (knobs.paused) {
      throttles_.Note(ThrottleReason::kPaused, now, WallNs());
    } else {
      throttles_.End(ThrottleReason::kPaused, now);
    }
    for (auto& [name, entry] : entries_) {
      entry.idle = false;
      entry.mirror_due = true;
    }
  }
  std::vector<std::string> names;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, entry] : entries_) names.push_back(name);
  }
  for (const std::string& name : names) {
    if (const SpaceHandle space = OpenNow(name)) OpenTailer(space);
  }
  Wake();
  return Status::Ok();
}

void Scheduler::Stop() {
  {
    MutexLock lock(mutex_);
    if (stop_) return;
    stop_ = true;
    ++changes_;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  jobs_.Stop();
  MutexLock lock(mutex_);
  for (auto& [name, entry] : entries_) DropMigrator(entry);
}

}  // namespace engram::server
