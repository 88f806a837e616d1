// The flag and the modes that follow from it. The flag is the truth: a space that opens takes its
// mode before anyone uses it. Turning it switches the spaces that are open; of those that are not
// as many as a short while allows, the stepping thread opens the others one by one.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "server/graph/in_parallel.h"
#include "server/migration/scheduler_core.h"

namespace engram::server {
namespace {

// How long the stepping thread opens spaces for their mode before it steps again.
constexpr uint64_t kTakingModesNs = 50'000'000;

using Failures = std::vector<MigrationScheduler::Failure>;

// Calls `work` for every name, several at a time. Those that failed, in the order of the names.
template <typename Work>
Failures ForEach(const std::vector<std::string>& names, Work&& work) {
  std::vector<Status> statuses(names.size());
  InParallel(names.size(), [&](size_t i) { statuses[i] = work(names[i]); });
  Failures failures;
  for (size_t i = 0; i < names.size(); ++i) {
    // Several at a time may have been more than may be open at once.
    if (statuses[i].code() == StatusCode::kBusy) statuses[i] = work(names[i]);
    if (!statuses[i].ok()) failures.push_back({names[i], std::move(statuses[i])});
  }
  return failures;
}

uint32_t ModeFor(bool dual) { return dual ? ENGRAM_SE_MODE_DUAL : ENGRAM_SE_MODE_LEGACY; }

}  // namespace

// The mode that the flag asks of a space; 0: its mode is its own business.
uint32_t Scheduler::ModeOf(const std::string& name) {
  if (dual_.load()) return ENGRAM_SE_MODE_DUAL;
  return online_.spaces().contains(name) ? 0 : ENGRAM_SE_MODE_LEGACY;
}

void Scheduler::NoteModeDue(const std::string& name, SpaceEntry& entry) {
  const uint32_t wanted = ModeOf(name);
  entry.mode_due = wanted != 0 && entry.mode != wanted && entry.mode != ENGRAM_SE_MODE_FINALIZED;
  entry.mode_assumed = false;
  if (!entry.mode_due) entry.mode_retry.Reset();
}

Status Scheduler::SwitchSpace(const SpaceHandle& space, uint32_t mode) {
  ENGRAM_ASSIGN_OR_RETURN(uint32_t now, space->space->Mode());
  if (mode != 0 && now != mode && now != ENGRAM_SE_MODE_FINALIZED) {
    ENGRAM_TRY(space->space->SetMode(mode));
    logger_.Info("space " + space->name + ": mode " + ModeName(now) + " -> " + ModeName(mode));
    now = mode;
  }
  bool changed;
  {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[space->name];
    changed = entry.mode != now;
    if (changed) entry.online.verified = false;
    entry.mode = now;
    entry.idle = false;
    entry.mirror_due = true;
    NoteModeDue(space->name, entry);
    if (!entry.failing()) entry.error.clear();  // of a mode it did not take before
  }
  // A mode is not left to the next beat: whoever looks after a crash finds it.
  if (changed) Publish(*space, static_cast<uint32_t>(getpid()));
  return Status::Ok();
}

// Of a space that opens: nobody uses it yet. The flag may be turned meanwhile, and who turns it
// does not wait for this.
Status Scheduler::TakeFlag(const SpaceHandle& space) {
  for (;;) {
    uint32_t wanted;
    {
      MutexLock lock(mutex_);
      wanted = ModeOf(space->name);
    }
    ENGRAM_TRY(SwitchSpace(space, wanted));
    MutexLock lock(mutex_);
    if (ModeOf(space->name) == wanted) return Status::Ok();
  }
}

// A space that cannot be opened has no say. What was open since the start is known.
Status Scheduler::CheckMayTurnOff(const std::vector<std::string>& names) {
  const auto finalized = ForEach(names, [this](const std::string& name) -> Status {
    uint32_t mode = 0;
    if (OpenNow(name) == nullptr) {
      MutexLock lock(mutex_);
      mode = entries_[name].mode;
    }
    if (mode == 0) {
      const auto space = OpenSpace(name);
      if (!space.ok() || *space == nullptr) return Status::Ok();
      const auto read = (*space)->space->Mode();
      if (read.ok()) mode = *read;
    }
    if (mode != ENGRAM_SE_MODE_FINALIZED) return Status::Ok();
    return Status::FailedPrecondition(
        "it is finalized: its old records are gone, dual memory stays on",
        "restore the data root from a backup, or move the space's folder to a server of its own");
  });
  if (finalized.empty()) return Status::Ok();
  return finalized.front().why.WithContext("space " + finalized.front().space);
}

std::vector<std::string> Scheduler::KnownSpaces() {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

std::vector<std::string> Scheduler::SpacesDue() {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    if (entry.mode_due) names.push_back(name);
  }
  return names;
}

size_t Scheduler::pending_spaces() {
  MutexLock lock(mutex_);
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry.second.mode_due && !entry.second.mode_assumed;
  }));
}

Failures Scheduler::SwitchOpen(uint32_t mode) {
  return ForEach(KnownSpaces(), [&](const std::string& name) {
    const SpaceHandle space = OpenNow(name);
    return space == nullptr ? Status::Ok() : SwitchSpace(space, mode);
  });
}

// Those that it does not get to by `deadline_ns` take their mode later.
Failures Scheduler::SwitchClosed(uint32_t mode, uint64_t deadline_ns) {
  return ForEach(SpacesDue(), [&](const std::string& name) -> Status {
    if (OpenNow(name) != nullptr || clock_.MonotonicNs() >= deadline_ns) return Status::Ok();
    ENGRAM_ASSIGN_OR_RETURN(const SpaceHandle space, OpenSpace(name));
    return space == nullptr ? Status::Ok() : SwitchSpace(space, mode);
  });
}

// OK: the space is not written to until it is opened again, and takes the mode then. Else it would
// go on storing what the flag says is over.
Status Scheduler::VetoOf(const Failure& failure) {
  const SpaceHandle space = OpenNow(failure.space);
  if (space == nullptr) return Status::Ok();
  const auto figures = space->space->Figures();
  if (figures.ok() && (figures->latched != 0 || figures->mode == ModeFor(dual_.load()))) {
    return Status::Ok();
  }
  switch (failure.why.code()) {
    case StatusCode::kBusy:
    case StatusCode::kFull:
    case StatusCode::kCancelled:
    case StatusCode::kFailedPrecondition:
      return failure.why.WithContext("space " + failure.space);
    default:
      return Status::FailedPrecondition(
          "space " + failure.space + " does not take the mode: " + failure.why.message(),
          "run: engram verify --full --space=" + failure.space);
  }
}

void Scheduler::NoteNotTaken(const Failure& failure) {
  MutexLock lock(mutex_);
  SpaceEntry& entry = entries_[failure.space];
  if (entry.error != failure.why.message()) {
    logger_.Error("space " + failure.space +
                  " takes the flag when it can be opened: " + failure.why.ToString());
  }
  entry.error = failure.why.message();
  entry.mode_retry.Failed(clock_.MonotonicNs());
}

// From here on a space that opens takes the mode by itself.
void Scheduler::StoreFlag(bool on) {
  dual_.store(on);
  MutexLock lock(mutex_);
  for (auto& [name, entry] : entries_) NoteModeDue(name, entry);
}

Result<Failures> Scheduler::SetDualMemoryTypes(bool on) {
  MutexLock flag(flag_mutex_);
  const uint64_t deadline_ns =
      clock_.MonotonicNs() + options_.closed_spaces_wait_ms * uint64_t{1'000'000};
  ENGRAM_ASSIGN_OR_RETURN(const auto names, spaces_.Names());
  if (!on) ENGRAM_TRY(CheckMayTurnOff(names));
  {
    MutexLock lock(mutex_);
    for (const std::string& name : names) entries_[name];
  }
  const bool before = dual_.load();
  StoreFlag(on);
  Failures failures = SwitchOpen(ModeFor(on));
  for (Failure& failure : SwitchClosed(ModeFor(on), deadline_ns)) {
    failures.push_back(std::move(failure));
  }
  Status status;
  for (const Failure& failure : failures) {
    if (status.ok()) status = VetoOf(failure);
  }
  if (status.ok()) status = EndGuided();
  if (!status.ok()) {
    // The first failure is reported; a space takes its mode again when it opens.
    StoreFlag(before);
    SwitchOpen(ModeFor(before));
    return status;
  }
  // Who opened one of the guided spaces meanwhile left it its mode.
  if (!on) SwitchOpen(ModeFor(on));
  std::sort(failures.begin(), failures.end(),
            [](const Failure& a, const Failure& b) { return a.space < b.space; });
  for (const Failure& failure : failures) NoteNotTaken(failure);
  const size_t due = pending_spaces();
  logger_.Info(std::string("dual_memory_types is ") + (on ? "on" : "off") +
               (due == 0 ? "" : "; " + std::to_string(due) + " spaces take it when they open"));
  Wake();
  return failures;
}

Status Scheduler::EndGuided() {
  MutexLock lock(mutex_);
  ENGRAM_TRY(online_.Set({}));
  for (auto& [name, entry] : entries_) {
    entry.online = {};
    NoteModeDue(name, entry);
  }
  return Status::Ok();
}

// At the start. With the flag on every space is due until it was open, or what was finalized
// meanwhile would be known too late. Else only what the last server left for later.
void Scheduler::FindModesDue() {
  for (const std::string& name : KnownSpaces()) {
    const auto control = spaces_.engine().ReadControl(name);
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    if (entry.mode != 0) continue;
    NoteModeDue(name, entry);
    entry.mode_assumed = !control.ok() || control->mode == ModeFor(dual_.load());
    entry.mode_due = entry.mode_due && (dual_.load() || !entry.mode_assumed);
  }
}

// Opens some of the spaces that are due.
void Scheduler::TakeModes(uint64_t* wake_at_ns) {
  if (!std::exchange(modes_known_, true)) FindModesDue();
  const uint64_t began_ns = clock_.MonotonicNs();
  for (const std::string& name : SpacesDue()) {
    {
      MutexLock lock(mutex_);
      const SpaceEntry& entry = entries_[name];
      if (stop_) return;
      if (entry.arriving()) continue;  // whoever brings it in opens it
      if (!entry.mode_retry.Due(clock_.MonotonicNs())) {
        *wake_at_ns = std::min(*wake_at_ns, entry.mode_retry.next_ns());
        continue;
      }
      if (clock_.MonotonicNs() - began_ns >= kTakingModesNs) {
        *wake_at_ns = 0;
        return;
      }
    }
    const Status taken = TakeMode(name);
    if (taken.ok()) continue;
    NoteNotTaken({name, taken});
    MutexLock lock(mutex_);
    *wake_at_ns = std::min(*wake_at_ns, entries_[name].mode_retry.next_ns());
  }
}

// Opening it is enough, but for one that was open and did not take it.
Status Scheduler::TakeMode(const std::string& name) {
  ENGRAM_ASSIGN_OR_RETURN(const SpaceHandle space, OpenSpace(name));
  {
    MutexLock lock(mutex_);
    SpaceEntry& entry = entries_[name];
    if (space == nullptr) entry.mode_due = false;  // gone
    if (!entry.mode_due) return Status::Ok();
  }
  MutexLock flag(flag_mutex_);
  return TakeFlag(space);
}

Status Scheduler::MigrateOnline(const std::optional<std::string>& space) {
  MutexLock flag(flag_mutex_);
  ENGRAM_ASSIGN_OR_RETURN(auto names, spaces_.Names());
  if (space) {
    if (std::find(names.begin(), names.end(), *space) == names.end()) {
      return Status::NotFound("there is no space " + *space, "list them with: engram space list");
    }
    names = {*space};
  }
  if (dual_.load()) return Status::Ok();  // every space is dual already
  {
    MutexLock lock(mutex_);
    std::set<std::string> guided = online_.spaces();
    guided.insert(names.begin(), names.end());
    ENGRAM_TRY(online_.Set(std::move(guided)));
    for (const std::string& name : names) {
      SpaceEntry& entry = entries_[name];
      if (entry.online.active) {
        if (entry.online.retry.failing()) {
          // Asked again: what failed before is tried now, and is no answer to this.
          entry.online.retry.Reset();
          entry.error.clear();
        }
        continue;
      }
      DropMigrator(entry);
      entry.online = {};
      entry.online.active = true;
      entry.idle = false;
      NoteModeDue(name, entry);
    }
  }
  Wake();
  return Status::Ok();
}

std::set<std::string> Scheduler::guided_spaces() const {
  MutexLock lock(mutex_);
  return online_.spaces();
}

}  // namespace engram::server
