// What the opaque handles of the boundary hold.
#ifndef ENGRAM_PLUGIN_HANDLES_H_
#define ENGRAM_PLUGIN_HANDLES_H_

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "compat/memory_backend.h"
#include "engram/engram_storage_engine.h"
#include "migration/migration.h"

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
  std::unique_ptr<engram::engine::Store> store;
  std::unique_ptr<engram::compat::MemoryBackend> backend;  // destroyed before the store
};

#endif  // ENGRAM_PLUGIN_HANDLES_H_
