#include <signal.h>

#include "base/clock.h"
#include "cli/report_output.h"
#include "cli/server_commands.h"

namespace engram::cli {
namespace {

constexpr uint32_t kRequestDeadlineMs = 2000;
// Beyond the drain of requests: spaces close, files go.
constexpr uint32_t kGraceMs = 5000;
constexpr uint32_t kKillDeadlineMs = 10'000;

struct Ending {
  bool ended = false;
  std::string how;
};

// The gentle way first; the next one only if the process is still there.
Result<Ending> End(const ServerLink& link, bool force) {
  const server::ServerProcess& process = *link.process();
  const uint32_t patience_ms = link.config().config().server.drain_deadline_ms + kGraceMs;
  const auto reply = link.Send("POST", "/shutdown", "", kRequestDeadlineMs);
  if (reply.ok() && reply->status == 200 && process.WaitForEnd(patience_ms)) {
    return Ending{true, "shutdown"};
  }
  Status signalled = process.Signal(SIGTERM);
  if (!signalled.ok() && signalled.code() != StatusCode::kNotFound) return signalled;
  if (process.WaitForEnd(patience_ms)) return Ending{true, "SIGTERM"};
  if (!force) return Ending{false, "SIGTERM"};
  signalled = process.Signal(SIGKILL);
  if (!signalled.ok() && signalled.code() != StatusCode::kNotFound) return signalled;
  return Ending{process.WaitForEnd(kKillDeadlineMs), "SIGKILL"};
}

std::string StoppedText(const Report& report) {
  if (!report.contains("pid")) return "no server runs";
  return "server stopped (process " + report["pid"].dump() + ", by " +
         report["how"].get<std::string>() + ")";
}

// Nothing to stop: done, unless a pid file names a process that must not be touched.
int NothingToStop(Console& console, const ServerLink& link) {
  const std::string& stale = link.stale();
  if (!stale.empty() && !stale.ends_with("gone")) {
    return console.Fail(Status::FailedPrecondition(
        stale + "; nothing was signalled",
        "name the right --data-root or ENGRAM_PID_PATH; if no server runs, remove the file"));
  }
  return PrintReport(console, {{"ok", true}, {"status", "offline"}, {"stopped", false}},
                     StoppedText);
}

}  // namespace

int ServerStop(Session& session, const StopFlags& flags) {
  Console& console = session.console();
  auto link = ServerLink::Open(session, flags.server);
  if (!link.ok()) return console.Fail(link.status());
  if (!(*link)->running()) return NothingToStop(console, **link);
  const int32_t pid = (*link)->process()->pid();
  const uint64_t start_ns = Clock::System().MonotonicNs();
  auto ending = End(**link, flags.force);
  if (!ending.ok()) return console.Fail(ending.status());
  if (!ending->ended) {
    return console.Fail(Status::Busy(
        "the server, process " + std::to_string(pid) + ", did not end after " + ending->how,
        flags.force ? "the kernel has not let it go yet; look at its state in /proc"
                    : "`engram stop --force` kills it: what was acknowledged stays"));
  }
  const double seconds = static_cast<double>(Clock::System().MonotonicNs() - start_ns) / 1e9;
  return PrintReport(console,
                     {{"ok", true},
                      {"status", "stopped"},
                      {"stopped", true},
                      {"pid", pid},
                      {"port", (*link)->port()},
                      {"how", ending->how},
                      {"seconds", seconds}},
                     StoppedText);
}

}  // namespace engram::cli
