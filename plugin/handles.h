// What the opaque handles of the boundary hold.
#ifndef ENGRAM_PLUGIN_HANDLES_H_
#define ENGRAM_PLUGIN_HANDLES_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "compat/memory_backend.h"
#include "engine/control_block.h"
#include "engram/engram_storage_engine.h"
#include "migration/migration.h"
#include "migration/online/migrator.h"

namespace engram::plugin {

// The host's services as the engine takes them. The host table must outlive both.
class HostLogger final : public Logger {
 public:
  explicit HostLogger(const engram_se_host& host) : host_(host) {}
  void Write(LogLevel level, std::string_view message) override;

 private:
  const engram_se_host host_;
};

class HostClock final : public Clock {
 public:
  explicit HostClock(const engram_se_host& host) : host_(host) {}
  uint64_t MonotonicNs() override;
  int64_t WallSeconds() override;
  uint32_t WallNanos() override;
  void SleepNs(uint64_t duration_ns) override { Clock::System().SleepNs(duration_ns); }

 private:
  const engram_se_host host_;
};

}  // namespace engram::plugin

struct engram_se_engine {
  engram::plugin::HostLogger logger;
  engram::plugin::HostClock clock;
  std::string data_root;
  engram::wal::LogOptions log;
  uint64_t map_size_bytes = 0;

  // Without progress and cancel flag.
  engram::migration::JobContext Context();
};

struct engram_se_space {
  engram_se_engine* engine = nullptr;
  std::unique_ptr<engram::engine::Store> store;
  std::unique_ptr<engram::compat::MemoryBackend> backend;  // destroyed before the store
  std::atomic<bool> has_migrator{false};

  // The block of this space, made at the first call.
  engram::Result<engram::engine::ControlBlock*> Control();
  // Leaves word that nobody holds the space any more.
  void RetireControl();

 private:
  std::mutex control_mutex_;
  std::unique_ptr<engram::engine::ControlBlock> control_;  // guarded by control_mutex_
};

struct engram_se_migrator {
  engram_se_space* space = nullptr;
  std::unique_ptr<engram::migration::online::Migrator> migrator;
};

#endif  // ENGRAM_PLUGIN_HANDLES_H_
