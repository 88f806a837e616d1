#include <poll.h>

#include "cli/control_report.h"
#include "cli/report_output.h"
#include "cli/server_commands.h"
#include "cli/signals.h"

namespace engram::cli {
namespace {

// An answer of any kind has to be there within a second.
constexpr uint32_t kAliveDeadlineMs = 750;
constexpr uint32_t kHealthDeadlineMs = 1500;
constexpr int kWatchIntervalMs = 2000;

std::string SpaceQuery(const Session& session) {
  return session.space_given() ? "?space=" + PercentEncoded(session.space()) : "";
}

// The members of `from` that `to` lacks.
void Complete(const JsonTree& from, Report* to) {
  for (const auto& [key, value] : from.items()) {
    if (!to->contains(key)) (*to)[key] = value;
  }
}

// The server's own view: health, then what its scheduler says of each space.
void AskServer(const Session& session, const ServerLink& link, Report* report) {
  const auto health =
      link.Send("GET", "/api/v1/system/health" + SpaceQuery(session), "", kHealthDeadlineMs);
  JsonTree tree = health.ok() ? JsonTree::parse(health->body, nullptr, false) : JsonTree();
  if (!tree.is_object()) {
    (*report)["message"] = health.ok() ? ReplyError(*health).message() : health.status().message();
    return;
  }
  (*report)["health"] = tree.value("status", "unknown");
  for (const char* key : {"uptime_seconds", "checks"}) {
    if (tree.contains(key)) (*report)[key] = tree[key];
  }
  Report spaces = tree.contains("spaces") ? tree["spaces"] : Report::array();
  const auto migration =
      link.Call("GET", "/api/v1/admin/migration" + SpaceQuery(session), nullptr, kHealthDeadlineMs);
  if (migration.ok()) {
    for (const char* key : {"dual_memory_types", "knobs"}) {
      if (migration->contains(key)) (*report)[key] = (*migration)[key];
    }
    for (Report& space : spaces) {
      for (const JsonTree& state : migration->value("spaces", JsonTree::array())) {
        if (state.value("space", "") == space.value("space", "-")) Complete(state, &space);
      }
    }
  } else {
    (*report)["message"] = migration.status().message();
  }
  uint64_t count = 0;
  for (const Report& space : spaces) count += space.value("memories", uint64_t{0});
  (*report)["memory_count"] = count;
  (*report)["spaces"] = std::move(spaces);
}

// Without the server's help.
void AskControlBlocks(Session& session, Report* report) {
  auto blocks = ReadControlBlocks(session);
  if (!blocks.ok()) {
    (*report)["spaces"] = Report::array();
    (*report)["message"] = "no control block could be read: " + blocks.status().message();
    return;
  }
  uint64_t count = 0;
  for (const Report& space : (*blocks)["spaces"]) count += space.value("count", uint64_t{0});
  (*report)["memory_count"] = count;
  (*report)["spaces"] = std::move((*blocks)["spaces"]);
}

Status Unavailable(const ServerLink& link, const Status& alive) {
  if (link.running()) {
    return alive.WithContext("process " + std::to_string(link.process()->pid()) + " runs, but")
        .WithHint(
            "it may be stopped by a debugger or overloaded; `engram stop` ends it, and with "
            "--force also if it does not react");
  }
  const std::string why = link.stale().empty() ? "" : " (" + link.stale() + ")";
  return Status::NotFound("no server runs" + why, "start one with `engram start`");
}

Report Observe(Session& session, const ServerLink& link) {
  const server::Config config = link.config().config();
  Report report = {{"ok", false}, {"status", "offline"}, {"pid", nullptr}, {"port", nullptr}};
  report["process_running"] = link.running();
  report["data_root"] = config.storage.data_root;
  report["config"] = {{"path", link.config().file()}, {"warnings", link.config().Notes()}};
  Status alive = Status::NotFound("");
  if (link.running()) {
    report["pid"] = link.process()->pid();
    report["port"] = link.port();
    const auto reply = link.Send("GET", "/health/alive", "", kAliveDeadlineMs);
    alive = reply.ok() && reply->status != 200 ? ReplyError(*reply) : reply.status();
    report["status"] = alive.ok() ? "online" : "unresponsive";
  }
  if (alive.ok()) {
    report["ok"] = true;
    AskServer(session, link, &report);
  } else {
    report["error"] = ErrorObject(Unavailable(link, alive));
    AskControlBlocks(session, &report);
  }
  return report;
}

std::string Shown(const Report& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string SpaceLine(const Report& space) {
  std::string line = "  " + Shown(space, "space") + ": " +
                     Shown(space, space.contains("memories") ? "memories" : "count") + " memories";
  if (!space.contains("mode")) return line;
  line += ", " + Shown(space, "mode") + ", migration " + Shown(space, "phase") + ", " +
          Shown(space, "remaining_old") + " still old";
  const auto throttle = space.find("throttle");
  if (throttle != space.end() && throttle->is_object() && Shown(*throttle, "reason") != "-") {
    line += ", held back: " + Shown(*throttle, "reason");
  }
  return line;
}

std::string ServerText(const Report& report) {
  std::string text = "server: " + Shown(report, "status");
  if (Shown(report, "pid") != "-") {
    text += ", process " + Shown(report, "pid") + ", port " + Shown(report, "port");
  }
  if (report.contains("health")) text += ", " + Shown(report, "health");
  if (report.contains("error")) {
    text +=
        "\n  " + Shown(report["error"], "message") + "\n  hint: " + Shown(report["error"], "hint");
  }
  if (report.contains("message")) text += "\n  " + Shown(report, "message");
  for (const Report& space : report.value("spaces", Report::array())) {
    text += "\n" + SpaceLine(space);
  }
  return text;
}

// False when a signal came instead.
bool SleepUntilNext() {
  pollfd signal{CancelDescriptor(), POLLIN, 0};
  return poll(&signal, 1, kWatchIntervalMs) == 0 && !CancelFlag().load();
}

}  // namespace

int ServerStatus(Session& session, const StatusFlags& flags) {
  Console& console = session.console();
  while (true) {
    auto link = ServerLink::Open(session, flags.server);
    if (!link.ok()) return console.Fail(link.status());
    const int code = PrintReport(console, Observe(session, **link), ServerText);
    if (!flags.watch || !SleepUntilNext()) return code;
  }
}

}  // namespace engram::cli
