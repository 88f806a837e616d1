#include "plugin/handles.h"

#include "migration/spaces.h"

namespace engram::plugin {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
thread_local uint32_t last_wall_nanos = 0;

}  // namespace

void HostLogger::Write(LogLevel level, std::string_view message) {
  if (host_.log == nullptr || level == LogLevel::kOff) return;
  host_.log(host_.host_ctx, static_cast<int32_t>(level), message.data(), message.size());
}

uint64_t HostClock::MonotonicNs() {
  return host_.clock_monotonic_ns == nullptr ? Clock::System().MonotonicNs()
                                             : host_.clock_monotonic_ns(host_.host_ctx);
}

int64_t HostClock::WallSeconds() {
  if (host_.clock_wall_ns == nullptr) return Clock::System().WallSeconds();
  const int64_t now_ns = host_.clock_wall_ns(host_.host_ctx);
  int64_t seconds = now_ns / kNanosPerSecond;
  if (now_ns % kNanosPerSecond < 0) --seconds;
  last_wall_nanos = static_cast<uint32_t>(now_ns - seconds * kNanosPerSecond);
  return seconds;
}

uint32_t HostClock::WallNanos() {
  return host_.clock_wall_ns == nullptr ? Clock::System().WallNanos() : last_wall_nanos;
}

}  // namespace engram::plugin

engram::migration::JobContext engram_se_engine::Context() {
  engram::FileSystem& fs = engram::FileSystem::Posix();
  return {.environment = {.fs = fs, .clock = clock, .logger = logger},
          .data_root = data_root,
          .log = log,
          .map_size_bytes = map_size_bytes,
          .progress = {},
          .cancel = nullptr};
}

engram::Result<engram::engine::ControlBlock*> engram_se_space::Control() {
  std::lock_guard lock(control_mutex_);
  if (control_ != nullptr) return control_.get();
  if (store->read_only()) {
    return engram::Status::FailedPrecondition("the space is open read-only",
                                              "only who holds the space publishes its state");
  }
  const engram::migration::JobContext context = engine->Context();
  const std::string path =
      engram::engine::ControlPath(engram::migration::DualDirectory(context, store->space()));
  ENGRAM_ASSIGN_OR_RETURN(control_, engram::engine::ControlBlock::Open(context.environment.fs, path,
                                                                       store->Info().store_uuid));
  return control_.get();
}

void engram_se_space::RetireControl() {
  std::lock_guard lock(control_mutex_);
  if (control_ != nullptr) control_->Retire();
}
