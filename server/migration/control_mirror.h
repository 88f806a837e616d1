// Between the engine's figures, the control block and what an operator sees.
#ifndef ENGRAM_SERVER_MIGRATION_CONTROL_MIRROR_H_
#define ENGRAM_SERVER_MIGRATION_CONTROL_MIRROR_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "server/migration/scheduler.h"

namespace engram::server {

// "tail", ...; "off" for 0.
const char* PhaseName(uint32_t phase);
// The other way; 0 for what is no phase of a control block.
uint32_t PhaseNumber(std::string_view name);

// Fill what the source knows: mode, counts, digest, LSN; of a control block also the rest.
void TakeFigures(const engram_se_figures& figures, SpaceMigration* status);
void TakeControl(const engram_se_control& control, SpaceMigration* status);

struct MirrorContext {
  uint32_t phase = 0;
  uint32_t pid = 0;
  uint16_t http_port = 0;
  uint64_t rate_limit = 0;
  bool paused = false;
  bool history_scan = true;
  uint64_t converted = 0;
  int64_t throttled_since_unix_ns = 0;
  int64_t now_unix_ns = 0;
};
engram_se_control MirrorOf(const SpaceMigration& status, const MirrorContext& context);

// Field 22 of /proc/self/stat; 0 if it cannot be read.
uint64_t OwnStartTime();

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_CONTROL_MIRROR_H_
