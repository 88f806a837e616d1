#include "server/migration/control_mirror.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/crypto.h"
#include "plugin/loader/memory_text.h"

namespace engram::server {

const char* PhaseName(uint32_t phase) {
  const std::string_view text = plugin::PhaseText(phase);
  return text.empty() ? "off" : text.data();
}

uint32_t PhaseNumber(std::string_view name) {
  for (uint32_t phase = ENGRAM_SE_PHASE_TAIL; phase <= ENGRAM_SE_PHASE_INGEST; ++phase) {
    if (name == PhaseName(phase)) return phase;
  }
  return 0;
}

void TakeFigures(const engram_se_figures& figures, SpaceMigration* status) {
  status->mode = figures.mode;
  status->lsn = figures.lsn;
  status->count = figures.count;
  status->remaining_old = figures.old_count;
  status->converted = figures.dual_count;
  status->quarantined = figures.quarantined_count;
  status->digest = ToHex(Bytes(figures.digest, sizeof figures.digest));
}

void TakeControl(const engram_se_control& control, SpaceMigration* status) {
  status->mode = control.mode;
  status->lsn = control.lsn;
  status->count = control.count;
  status->remaining_old = control.old_count;
  status->converted = control.count - std::min(control.count, control.old_count);
  status->quarantined = control.quarantined;
  status->lag_lsn = control.lag_lsn;
  status->digest = ToHex(Bytes(control.digest, sizeof control.digest));
}

engram_se_control MirrorOf(const SpaceMigration& status, const MirrorContext& context) {
  engram_se_control control{};
  control.struct_size = sizeof control;
  control.mode = status.mode;
  control.phase = context.phase;
  control.pid = context.pid;
  control.pid_start_time = context.pid == 0 ? 0 : OwnStartTime();
  control.updated_unix_ns = context.now_unix_ns;
  control.lsn = status.lsn;
  control.count = status.count;
  control.old_count = status.remaining_old;
  control.converted = status.converted;
  control.quarantined = status.quarantined;
  control.lag_lsn = status.lag_lsn;
  control.rate_per_second = status.rate;
  control.eta_seconds = status.eta_seconds;
  control.rate_limit_per_second = context.rate_limit;
  control.paused = context.paused ? 1 : 0;
  control.history_scan = context.history_scan ? 1 : 0;
  control.throttled_since_unix_ns = context.throttled_since_unix_ns;
  const size_t length = std::min(status.throttle_reason.size(), sizeof control.throttle_reason - 1);
  std::memcpy(control.throttle_reason, status.throttle_reason.data(), length);
  const auto digest = ParseSha256Hex(status.digest);
  if (digest.ok()) std::memcpy(control.digest, digest->data(), sizeof control.digest);
  control.http_port = context.http_port;
  return control;
}

uint64_t OwnStartTime() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  const size_t behind_name = text.rfind(')');
  if (behind_name == std::string::npos) return 0;
  std::istringstream fields(text.substr(behind_name + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) {
    if (!(fields >> field)) return 0;
  }
  uint64_t value = 0;
  std::from_chars(field.data(), field.data() + field.size(), value);
  return value;
}

}  // namespace engram::server
