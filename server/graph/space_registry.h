// The open spaces of a data root. Opens on first use, keeps at most `max_open_spaces` open, closes
// the one idle longest. Reads never create a space.
#ifndef ENGRAM_SERVER_GRAPH_SPACE_REGISTRY_H_
#define ENGRAM_SERVER_GRAPH_SPACE_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::server {

// A space as the server serves it. Thread-safe. Whoever holds a handle keeps the space open, and
// the registry closes only what nobody holds: what outlives a request or a step keeps a
// std::weak_ptr (or the name), never a handle.
struct ServedSpace {
  std::string name;
  std::unique_ptr<plugin::Space> space;
  // True while an upstream directory is still being brought in: an unknown id is then "not yet"
  // (503), not "no" (404).
  std::atomic<bool> arriving{false};
  std::atomic<int64_t> opened_at_unix_ns{0};
  // Rises with every write that went through the server: response caches and the scheduler's wake.
  std::atomic<uint64_t> writes{0};
  // Writes that are in the engine now: nothing that was rendered before them is served meanwhile.
  std::atomic<uint32_t> writes_in_flight{0};
};
using SpaceHandle = std::shared_ptr<ServedSpace>;

class SpaceRegistry {
 public:
  struct Options {
    uint32_t max_open_spaces = 256;
    std::function<uint32_t()> mode_for_new =
        nullptr;  // ENGRAM_SE_MODE_* that a new space starts in
    std::function<void(const SpaceHandle&)> opened =
        nullptr;  // told of each opening, before anyone uses it
    std::function<void(const Status&)> failed = nullptr;        // told of each opening that fails
    std::function<void(const SpaceHandle&)> written = nullptr;  // told of each write
    // Told that the named space is about to be closed, with its last handle: what hangs on the
    // space (a migrator) must be gone when it returns. Never called under a lock.
    std::function<void(ServedSpace&)> closing = nullptr;
    // The folder of the spaces. What upstream left in it (<space>/wal/, and wal/ of the legacy
    // layout, which belongs to `legacy_space`) counts as a space; `opened` says whether it is
    // `arriving`.
    std::string data_root = "";
    std::string legacy_space = "default";
  };
  SpaceRegistry(std::shared_ptr<plugin::Engine> engine, Options options, Logger& logger);
  ~SpaceRegistry();

  // The space if it is open now, else null. Never waits.
  SpaceHandle FindOpen(std::string_view name);
  // For reads: null if there is no such space (an empty answer, never an error). A space of
  // upstream's without a store gets one. kBusy: `max_open_spaces` are in use.
  Result<SpaceHandle> Find(std::string_view name);
  // For writes: made if it is not there. kInvalidArgument for a bad name; kBusy as above.
  Result<SpaceHandle> FindOrCreate(std::string_view name);
  // Every space below the data root, sorted, open or not.
  Result<std::vector<std::string>> Names();
  std::vector<SpaceHandle> Open() const;  // open now, sorted by name
  // After a write through `space`.
  void Written(const SpaceHandle& space);
  // Closes the space once nobody uses it and opens it again, with the recovery of an opening: the
  // way out for a latched one. In between every use is kBusy; if it cannot be opened, every later
  // use tries again. kNotFound: it is not open. kBusy: still in use after `wait_ms`; it stays open.
  Status Reopen(const std::string& name, uint32_t wait_ms = 3000);
  // Closes all; the first failure is returned. Nobody may use a handle afterwards;
  // kFailedPrecondition names a space that is still held after `wait_ms`, it stays open.
  Status Close(uint32_t wait_ms = 2000);

  plugin::Engine& engine() { return *engine_; }

 private:
  struct State;
  struct Closer;
  Result<SpaceHandle> Acquire(const std::string& name, bool create);
  Status WaitClosed(const std::string& name, const std::weak_ptr<ServedSpace>& space,
                    uint32_t wait_ms);
  Result<SpaceHandle> OpenSlot(const std::string& name, bool create);
  Result<std::unique_ptr<plugin::Space>> OpenStore(const std::string& name, bool create,
                                                   bool from_upstream);

  std::shared_ptr<plugin::Engine> engine_;
  std::shared_ptr<State> state_;  // shared with the handles
};

// Around one or several writes: counts them in flight and reports them when it ends.
class WriteScope {
 public:
  WriteScope(SpaceRegistry& registry, SpaceHandle space);
  ~WriteScope();
  WriteScope(const WriteScope&) = delete;
  WriteScope& operator=(const WriteScope&) = delete;

 private:
  SpaceRegistry& registry_;
  SpaceHandle space_;
};

// Upstream's rule, after trimming: 3-64 characters of [a-z0-9_-].
bool IsValidSpaceId(std::string_view id);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_GRAPH_SPACE_REGISTRY_H_
