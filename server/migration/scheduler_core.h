// The scheduler's inside: one table of spaces under one mutex, one thread that steps, one that runs
// long jobs while there are any. No call into a space or the registry is made under the mutex, but
// for the destruction of a migrator; and no handle is let go of under it: the last one closes the
// space on that thread, which comes back to SpaceClosing().
#ifndef ENGRAM_SERVER_MIGRATION_SCHEDULER_CORE_H_
#define ENGRAM_SERVER_MIGRATION_SCHEDULER_CORE_H_

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "server/migration/background_jobs.h"
#include "server/migration/foreground_governor.h"
#include "server/migration/online_register.h"
#include "server/migration/pace.h"
#include "server/migration/round_robin.h"
#include "server/migration/scheduler.h"
#include "server/migration/source_findings.h"
#include "server/migration/throttle_log.h"
#include "server/migration/token_bucket.h"
#include "server/migration/upstream_sources.h"

namespace engram::server {

inline constexpr uint64_t kNever = UINT64_MAX;

// What the scheduler knows of one space.
struct SpaceEntry {
  std::weak_ptr<ServedSpace> served;
  uint32_t mode = 0;  // 0: not open since the start

  // The flag asks for another mode, or may; it is not open, or did not take it.
  bool mode_due = false;
  bool mode_assumed = false;  // but its control block says that it has it
  RetryDelay mode_retry;

  // The migrator. It is away while its step runs; it never outlives the open space.
  std::unique_ptr<plugin::Migrator> migrator;
  bool migrator_scans_history = false;
  uint32_t phase = 0;  // ENGRAM_SE_PHASE_*, 0: never stepped
  bool idle = false;   // nothing to do until it is written to or the flag, a knob, the mode change
  uint64_t writes_now = 0;       // ServedSpace::writes, as of the last RefreshWrites()
  uint64_t writes_seen = 0;      // before the last step
  uint64_t migrated_before = 0;  // by migrators that are gone
  uint64_t migrated = 0;         // by the one in place
  uint64_t lag_lsn = 0;
  uint64_t quarantined = 0;  // kept back by the migrator, as of its last step
  bool digest_matches = false;
  RateMeter rate;
  RetryDelay retry;
  std::string error;  // of the last step, ingest or verification that did not work

  // What upstream left, and how far it has come in.
  struct Arrival {
    std::string source;  // "": nothing to bring in
    bool done = false;
    bool queued = false;
    bool refused = false;  // done, but nothing comes in: trying again changes nothing
    RetryDelay retry;
    double rate = 0;
    double eta_seconds = -1;
  } arrival;
  std::optional<SourceFindings> source;  // as it was read the last time

  // The guided way. `verified` holds for `mode` alone.
  struct Online {
    bool active = false;
    bool job_queued = false;
    bool verified = false;
    uint64_t shadow_since_ns = 0;
    uint64_t shadow_mismatches = 0;
    RetryDelay retry;
  } online;

  // The control block.
  bool mirror_due = true;
  uint64_t writes_mirrored = 0;

  bool arriving() const { return !arrival.source.empty() && !arrival.done; }
  bool awaits_mode() const { return mode_due && served.expired(); }
  bool failing() const {
    return retry.failing() || arrival.retry.failing() || arrival.refused || online.retry.failing();
  }
};

class Scheduler final : public MigrationScheduler {
 public:
  Scheduler(SpaceRegistry& spaces, const Options& options, OnlineRegister online,
            FindingsRegister findings, Clock& clock, Logger& logger);
  ~Scheduler() override { Stop(); }
  void Begin(const std::vector<UpstreamSource>& sources);

  Result<std::vector<Failure>> SetDualMemoryTypes(bool on) override;
  bool dual_memory_types() const override { return dual_.load(); }
  size_t pending_spaces() override;
  Status MigrateOnline(const std::optional<std::string>& space) override;
  std::set<std::string> guided_spaces() const override;
  Status SetKnobs(const SchedulerKnobs& knobs) override;
  SchedulerKnobs knobs() const override;
  void SetHttpPort(uint16_t port) override { http_port_.store(port); }
  void SpaceOpened(const SpaceHandle& space) override;
  void SpaceWritten(const SpaceHandle& space) override;
  void SpaceClosing(ServedSpace& space) override;
  ForegroundLatency& foreground() override { return governor_; }
  std::vector<SpaceMigration> Spaces(const std::optional<std::string>& space) override;
  MigrationFigures Figures() override;
  void Stop() override;

 private:
  using Entries = std::map<std::string, SpaceEntry>;

  // scheduler_flag.cc: the flag and the modes.
  Status CheckMayTurnOff(const std::vector<std::string>& names) ENGRAM_EXCLUDES(mutex_);
  void StoreFlag(bool on) ENGRAM_EXCLUDES(mutex_);
  std::vector<Failure> SwitchOpen(uint32_t mode) ENGRAM_EXCLUDES(mutex_);
  std::vector<Failure> SwitchClosed(uint32_t mode, uint64_t deadline_ns) ENGRAM_EXCLUDES(mutex_);
  Status EndGuided() ENGRAM_EXCLUDES(mutex_);
  Status VetoOf(const Failure& failure) ENGRAM_EXCLUDES(mutex_);
  void NoteNotTaken(const Failure& failure) ENGRAM_EXCLUDES(mutex_);
  uint32_t ModeOf(const std::string& name) ENGRAM_REQUIRES(mutex_);
  void NoteModeDue(const std::string& name, SpaceEntry& entry) ENGRAM_REQUIRES(mutex_);
  std::vector<std::string> KnownSpaces() ENGRAM_EXCLUDES(mutex_);
  std::vector<std::string> SpacesDue() ENGRAM_EXCLUDES(mutex_);
  Status SwitchSpace(const SpaceHandle& space, uint32_t mode) ENGRAM_EXCLUDES(mutex_);
  Status TakeFlag(const SpaceHandle& space) ENGRAM_EXCLUDES(mutex_);
  void FindModesDue() ENGRAM_EXCLUDES(mutex_);
  void TakeModes(uint64_t* wake_at_ns) ENGRAM_EXCLUDES(mutex_);
  Status TakeMode(const std::string& name) ENGRAM_EXCLUDES(mutex_);

  // scheduler.cc: the knobs, what the registry reports.
  void OpenTailer(const SpaceHandle& space) ENGRAM_EXCLUDES(mutex_);
  SpaceHandle OpenNow(const std::string& name) ENGRAM_EXCLUDES(mutex_);
  Result<SpaceHandle> OpenSpace(const std::string& name) ENGRAM_EXCLUDES(mutex_);
  void Wake() ENGRAM_EXCLUDES(mutex_);

  // scheduler_loop.cc: the thread.
  enum class Turn { kStepped, kNothing };
  void Loop();
  void RefreshWrites() ENGRAM_EXCLUDES(mutex_);
  Turn TakeTurn(uint64_t* wake_at_ns);
  bool Wanted(const SpaceEntry& entry) const ENGRAM_REQUIRES(mutex_);
  bool MayGo(const SpaceEntry& entry, uint64_t now_ns) const ENGRAM_REQUIRES(mutex_);
  bool HeldBack(uint64_t now_ns, uint64_t* wake_at_ns) ENGRAM_REQUIRES(mutex_);
  void Step(const std::string& name, uint64_t records_max) ENGRAM_EXCLUDES(mutex_);
  Result<std::unique_ptr<plugin::Migrator>> TakeMigrator(const std::string& name,
                                                         const SpaceHandle& space)
      ENGRAM_EXCLUDES(mutex_);
  void Account(SpaceEntry& entry, const engram_se_migrator_state& state, uint64_t took_ns)
      ENGRAM_REQUIRES(mutex_);
  void Failed(const std::string& name, SpaceEntry& entry, RetryDelay& retry, const Status& why)
      ENGRAM_REQUIRES(mutex_);
  void DropMigrator(SpaceEntry& entry) ENGRAM_REQUIRES(mutex_);
  void SleepUntil(uint64_t wake_at_ns, uint64_t changes_seen, uint64_t writes_seen)
      ENGRAM_EXCLUDES(mutex_);

  // scheduler_status.cc: what others see.
  bool PublishDue(uint64_t* wake_at_ns) ENGRAM_EXCLUDES(mutex_);
  void Publish(ServedSpace& space, uint32_t pid) ENGRAM_EXCLUDES(mutex_);
  void Describe(const std::string& name, uint64_t now_ns, SpaceMigration* status)
      ENGRAM_REQUIRES(mutex_);
  SpaceMigration StatusOf(const std::string& name) ENGRAM_EXCLUDES(mutex_);
  std::string PhaseOf(const SpaceEntry& entry) const ENGRAM_REQUIRES(mutex_);

  // scheduler_jobs.cc: what upstream left, and the guided way.
  void QueueArrivals(uint64_t* wake_at_ns) ENGRAM_EXCLUDES(mutex_);
  void ShowArrivals(const std::vector<std::string>& names) ENGRAM_EXCLUDES(mutex_);
  void BringIn(const std::string& name, const std::atomic<bool>& cancel) ENGRAM_EXCLUDES(mutex_);
  void Arrived(const std::string& name, const Status& status) ENGRAM_EXCLUDES(mutex_);
  void TakeFindings(const std::string& name, const std::string& report) ENGRAM_EXCLUDES(mutex_);
  void AdvanceOnline(uint64_t* wake_at_ns) ENGRAM_EXCLUDES(mutex_);
  void AdvanceOnline(const std::string& name, uint64_t* wake_at_ns) ENGRAM_EXCLUDES(mutex_);
  Status NextOnlineMode(const SpaceHandle& space) ENGRAM_EXCLUDES(mutex_);
  void VerifyOnline(const std::string& name, const std::atomic<bool>& cancel)
      ENGRAM_EXCLUDES(mutex_);

  int64_t WallNs();

  SpaceRegistry& spaces_;
  const Options options_;
  Clock& clock_;
  Logger& logger_;

  std::atomic<bool> dual_;
  std::atomic<uint16_t> http_port_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<bool> sleeping_for_good_{false};

  Mutex flag_mutex_;  // one change of the flag or of the register at a time; taken before mutex_

  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t changes_ ENGRAM_GUARDED_BY(mutex_) = 0;
  bool stop_ ENGRAM_GUARDED_BY(mutex_) = false;
  SchedulerKnobs knobs_ ENGRAM_GUARDED_BY(mutex_);
  Entries entries_ ENGRAM_GUARDED_BY(mutex_);
  OnlineRegister online_ ENGRAM_GUARDED_BY(mutex_);
  FindingsRegister findings_ ENGRAM_GUARDED_BY(mutex_);
  ThrottleLog throttles_ ENGRAM_GUARDED_BY(mutex_);
  MigrationFigures figures_ ENGRAM_GUARDED_BY(mutex_);

  // The stepping thread's own.
  RoundRobin turns_;
  TokenBucket bucket_;
  uint64_t step_records_ = 0;
  uint64_t memory_held_until_ns_ = 0;
  uint64_t published_ns_ = 0;
  uint64_t writes_refreshed_ = 0;
  bool arrivals_shown_ = false;
  bool modes_known_ = false;

  ForegroundGovernor governor_;
  BackgroundJobs jobs_;
  std::thread thread_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_SCHEDULER_CORE_H_
