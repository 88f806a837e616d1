#include "server/graph/space_registry.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "server/graph/in_parallel.h"
#include "server/graph/upstream_layout.h"

namespace engram::server {
namespace {

enum class Phase { kOpening, kOpen, kClosing };

struct Slot {
  Phase phase = Phase::kOpening;
  SpaceHandle handle;      // of kOpen
  uint64_t last_used = 0;  // of kOpen: a tick of the registry
  bool reopening = false;  // of kClosing: that a latched space does not close in order is known
};

int64_t WallNs() {
  Clock& clock = Clock::System();
  const int64_t seconds = clock.WallSeconds();
  return seconds * 1'000'000'000 + clock.WallNanos();
}

// What is deleted in a space before its turn to arrive comes must not come back with it.
Status AnnounceArrival(plugin::Space& space) {
  plugin::MigrateOptions announce;
  announce.flags = ENGRAM_SE_MIGRATE_ANNOUNCE;
  return space.Ingest(announce, {}).status();
}

}  // namespace

struct SpaceRegistry::State {
  State(Options given, Logger& log)
      : options(std::move(given)),
        logger(log),
        layout(FileSystem::Posix(), options.data_root, options.legacy_space) {}

  // The idle space that was used longest ago; null if all are in use.
  Slot* Idlest() ENGRAM_REQUIRES(mutex) {
    Slot* idlest = nullptr;
    for (auto& [name, slot] : slots) {
      if (slot.phase != Phase::kOpen || slot.handle.use_count() > 1) continue;
      if (idlest == nullptr || slot.last_used < idlest->last_used) idlest = &slot;
    }
    return idlest;
  }

  // Gives up the registry's own handle: the space closes with the last one.
  static SpaceHandle Release(Slot* slot) {
    slot->phase = Phase::kClosing;
    return std::move(slot->handle);
  }

  Options options;
  Logger& logger;
  const UpstreamLayout layout;

  mutable Mutex mutex;
  CondVar changed;  // a slot came, went or changed its phase
  std::unordered_map<std::string, Slot> slots ENGRAM_GUARDED_BY(mutex);
  uint64_t tick ENGRAM_GUARDED_BY(mutex) = 0;
  bool ended ENGRAM_GUARDED_BY(mutex) = false;
  Status first_close_error ENGRAM_GUARDED_BY(mutex);
};

// Runs when the last handle goes, on whatever thread that is.
struct SpaceRegistry::Closer {
  std::shared_ptr<State> state;

  void operator()(ServedSpace* served) const {
    std::unique_ptr<ServedSpace> owned(served);
    if (state->options.closing) state->options.closing(*owned);
    const Status closed = owned->space->Close();
    if (!closed.ok()) {
      state->logger.Error("space " + owned->name + " did not close in order: " + closed.message());
    }
    const std::string name = owned->name;
    owned.reset();
    MutexLock lock(state->mutex);
    const bool known = state->slots[name].reopening;
    if (!known && state->first_close_error.ok()) state->first_close_error = closed;
    state->slots.erase(name);
    state->changed.NotifyAll();
  }
};

SpaceRegistry::SpaceRegistry(std::shared_ptr<plugin::Engine> engine, Options options,
                             Logger& logger)
    : engine_(std::move(engine)), state_(std::make_shared<State>(std::move(options), logger)) {}

SpaceRegistry::~SpaceRegistry() { IgnoreError(Close(), "the closer has logged it"); }

SpaceHandle SpaceRegistry::FindOpen(std::string_view name) {
  MutexLock lock(state_->mutex);
  const auto found = state_->slots.find(std::string(name));
  if (found == state_->slots.end() || found->second.phase != Phase::kOpen) return nullptr;
  found->second.last_used = ++state_->tick;
  return found->second.handle;
}

Result<SpaceHandle> SpaceRegistry::Find(std::string_view name) {
  const auto id = SpaceId::Parse(name);
  if (!id.ok()) return SpaceHandle();
  return Acquire(id->str(), false);
}

Result<SpaceHandle> SpaceRegistry::FindOrCreate(std::string_view name) {
  ENGRAM_ASSIGN_OR_RETURN(const SpaceId id, SpaceId::Parse(name));
  return Acquire(id.str(), true);
}

// One caller opens, the others wait for it; a failure is everybody's own to repeat.
Result<SpaceHandle> SpaceRegistry::Acquire(const std::string& name, bool create) {
  State& state = *state_;
  for (;;) {
    SpaceHandle released;  // closes behind the lock
    MutexLock lock(state.mutex);
    if (state.ended) return Status::Busy("the server is shutting down", "try another server");
    const auto found = state.slots.find(name);
    if (found != state.slots.end()) {
      if (found->second.phase == Phase::kOpen) {
        found->second.last_used = ++state.tick;
        return found->second.handle;
      }
      // It waits for whoever uses it, and that may be for long: nobody else does.
      if (found->second.reopening) {
        return Status::Busy("the space " + name + " is being reopened", "try again in a moment");
      }
      state.changed.Wait(state.mutex);
      continue;
    }
    if (state.slots.size() < state.options.max_open_spaces) {
      state.slots.try_emplace(name);
      break;
    }
    Slot* idlest = state.Idlest();
    if (idlest == nullptr) {
      return Status::Busy("all " + std::to_string(state.options.max_open_spaces) +
                              " spaces that may be open at once are in use",
                          "try again, or raise storage.max_open_spaces");
    }
    released = State::Release(idlest);
  }
  return OpenSlot(name, create);
}

// REQUIRES: the caller has put the slot there.
Result<SpaceHandle> SpaceRegistry::OpenSlot(const std::string& name, bool create) {
  const bool from_upstream = state_->layout.HasLog(name);
  auto store = OpenStore(name, create, from_upstream);
  SpaceHandle handle;
  if (store.ok() && *store != nullptr) {
    auto served = std::make_unique<ServedSpace>();
    served->name = name;
    served->space = std::move(*store);
    served->opened_at_unix_ns = WallNs();
    handle = SpaceHandle(served.release(), Closer{state_});
    if (state_->options.opened) state_->options.opened(handle);
  }
  if (!store.ok() && state_->options.failed) state_->options.failed(store.status());
  MutexLock lock(state_->mutex);
  if (handle == nullptr) {
    state_->slots.erase(name);
  } else if (state_->ended) {  // closes when the caller lets go of it
    state_->slots[name].phase = Phase::kClosing;
  } else {
    state_->slots[name] = {Phase::kOpen, handle, ++state_->tick};
  }
  state_->changed.NotifyAll();
  if (!store.ok()) return store.status();
  return handle;
}

// Null if there is no such space and none is to be made.
Result<std::unique_ptr<plugin::Space>> SpaceRegistry::OpenStore(const std::string& name,
                                                                bool create, bool from_upstream) {
  auto opened = engine_->OpenSpace({.space = name, .access = ENGRAM_SE_ACCESS_READ_WRITE});
  if (opened.ok() && from_upstream) ENGRAM_TRY(AnnounceArrival(**opened));
  if (opened.ok() || opened.status().code() != StatusCode::kNotFound) return opened;
  if (!create && !from_upstream) return std::unique_ptr<plugin::Space>();
  ENGRAM_ASSIGN_OR_RETURN(auto made,
                          engine_->OpenSpace({.space = name, .access = ENGRAM_SE_ACCESS_CREATE}));
  const uint32_t mode =
      state_->options.mode_for_new ? state_->options.mode_for_new() : ENGRAM_SE_MODE_LEGACY;
  if (mode != ENGRAM_SE_MODE_LEGACY) ENGRAM_TRY(made->SetMode(mode));
  if (from_upstream) ENGRAM_TRY(AnnounceArrival(*made));
  return made;
}

Result<std::vector<std::string>> SpaceRegistry::Names() {
  ENGRAM_ASSIGN_OR_RETURN(std::vector<std::string> names, engine_->ListSpaces());
  const std::vector<std::string> upstream = state_->layout.Spaces();
  names.insert(names.end(), upstream.begin(), upstream.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<SpaceHandle> SpaceRegistry::Open() const {
  std::vector<SpaceHandle> open;
  {
    MutexLock lock(state_->mutex);
    for (const auto& [name, slot] : state_->slots) {
      if (slot.phase == Phase::kOpen) open.push_back(slot.handle);
    }
  }
  std::sort(open.begin(), open.end(),
            [](const SpaceHandle& a, const SpaceHandle& b) { return a->name < b->name; });
  return open;
}

void SpaceRegistry::Written(const SpaceHandle& space) {
  space->writes.fetch_add(1);
  if (state_->options.written) state_->options.written(space);
}

// Behind Reopen(): its slot is gone, or was taken by who opened it again. A space that is still in
// use when the time is up stays open as it is.
Status SpaceRegistry::WaitClosed(const std::string& name, const std::weak_ptr<ServedSpace>& space,
                                 uint32_t wait_ms) {
  State& state = *state_;
  Clock& clock = Clock::System();
  const uint64_t deadline = clock.MonotonicNs() + wait_ms * uint64_t{1'000'000};
  SpaceHandle held;  // goes behind the lock
  MutexLock lock(state.mutex);
  for (;;) {
    const auto found = state.slots.find(name);
    if (found == state.slots.end() || !found->second.reopening) return Status::Ok();
    const uint64_t now = clock.MonotonicNs();
    if (now < deadline) {
      state.changed.WaitFor(state.mutex, std::chrono::nanoseconds(deadline - now));
      continue;
    }
    held = space.lock();
    if (held == nullptr) {  // it closes now
      state.changed.Wait(state.mutex);
      continue;
    }
    if (!state.ended) found->second = {Phase::kOpen, held, ++state.tick};
    return Status::Busy("the space " + name + " is still in use and stays open",
                        "try again once what uses it is done: an arrival, a verification");
  }
}

Status SpaceRegistry::Reopen(const std::string& name, uint32_t wait_ms) {
  State& state = *state_;
  SpaceHandle released;
  {
    MutexLock lock(state.mutex);
    const auto found = state.slots.find(name);
    if (found == state.slots.end() || found->second.phase != Phase::kOpen) {
      return Status::NotFound("the space " + name + " is not open", "it opens when it is used");
    }
    found->second.reopening = true;
    released = State::Release(&found->second);
  }
  const std::weak_ptr<ServedSpace> space = released;
  released.reset();
  ENGRAM_TRY(WaitClosed(name, space, wait_ms));
  return Acquire(name, false).status();
}

Status SpaceRegistry::Close(uint32_t wait_ms) {
  std::vector<SpaceHandle> released;
  {
    MutexLock lock(state_->mutex);
    state_->ended = true;
    for (auto& [name, slot] : state_->slots) {
      if (slot.phase == Phase::kOpen) released.push_back(State::Release(&slot));
    }
  }
  InParallel(released.size(), [&](size_t i) { released[i].reset(); });
  Clock& clock = Clock::System();
  const uint64_t deadline = clock.MonotonicNs() + wait_ms * uint64_t{1'000'000};
  MutexLock lock(state_->mutex);
  while (!state_->slots.empty()) {
    const uint64_t now = clock.MonotonicNs();
    if (now >= deadline) {
      return Status::FailedPrecondition(
          "space " + state_->slots.begin()->first + " is still in use and was not closed",
          "nothing acknowledged is lost: its log is replayed when it is opened again");
    }
    state_->changed.WaitFor(state_->mutex, std::chrono::nanoseconds(deadline - now));
  }
  return state_->first_close_error;
}

WriteScope::WriteScope(SpaceRegistry& registry, SpaceHandle space)
    : registry_(registry), space_(std::move(space)) {
  space_->writes_in_flight.fetch_add(1);
}

WriteScope::~WriteScope() {
  registry_.Written(space_);
  space_->writes_in_flight.fetch_sub(1);
}

bool IsValidSpaceId(std::string_view id) { return SpaceId::Parse(id).ok(); }

}  // namespace engram::server
