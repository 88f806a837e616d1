#include "cli/control_report.h"

#include <cstring>

#include "base/crypto.h"
#include "base/rfc3339.h"
#include "plugin/loader/memory_text.h"

namespace engram::cli {
namespace {

Report TimeOrNull(int64_t unix_ns) {
  constexpr int64_t kSecondNs = 1'000'000'000;
  if (unix_ns <= 0) return nullptr;
  return FormatTime(unix_ns / kSecondNs, static_cast<uint32_t>(unix_ns % kSecondNs));
}

Report SpaceReport(const std::string& space, const engram_se_control& control) {
  // The block is another process's memory: its text may end nowhere.
  const std::string reason(control.throttle_reason,
                           strnlen(control.throttle_reason, sizeof control.throttle_reason));
  const std::string_view phase = plugin::PhaseText(control.phase);
  return {{"space", space},
          {"mode", std::string(plugin::ModeText(control.mode))},
          {"phase", std::string(phase.empty() ? "unknown" : phase)},
          {"count", control.count},
          {"remaining_old", control.old_count},
          {"converted", control.converted},
          {"quarantined", control.quarantined},
          {"rate", control.rate_per_second},
          {"eta_seconds", control.eta_seconds < 0 ? Report(nullptr) : Report(control.eta_seconds)},
          {"lag_lsn", control.lag_lsn},
          {"throttle",
           {{"reason", reason.empty() ? Report(nullptr) : Report(reason)},
            {"since", TimeOrNull(control.throttled_since_unix_ns)}}},
          {"digest", ToHex(control.digest)},
          {"lsn", control.lsn},
          {"paused", control.paused != 0},
          {"rate_limit", control.rate_limit_per_second},
          {"history_scan", control.history_scan != 0},
          {"pid", control.pid == 0 ? Report(nullptr) : Report(control.pid)},
          {"updated_at", TimeOrNull(control.updated_unix_ns)}};
}

}  // namespace

Result<Report> ReadControlBlocks(Session& session) {
  ENGRAM_ASSIGN_OR_RETURN(auto engine, session.OpenEngine());
  std::vector<std::string> names = {session.space()};
  if (!session.space_given()) {
    ENGRAM_ASSIGN_OR_RETURN(names, engine->ListSpaces());
  }
  Report spaces = Report::array();
  for (const std::string& name : names) {
    const auto control = engine->ReadControl(name);
    if (control.ok()) spaces.push_back(SpaceReport(name, *control));
    // A space that no server has opened yet has none.
    if (!control.ok() && control.status().code() != StatusCode::kNotFound) return control.status();
  }
  return Report{{"spaces", std::move(spaces)}};
}

}  // namespace engram::cli
