#include <poll.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/control_report.h"
#include "cli/report_output.h"
#include "cli/server_commands.h"
#include "cli/signals.h"

namespace engram::cli {
namespace {

// For all requests together: with what the control blocks take, an answer is there within a second.
constexpr uint32_t kAnswersDeadlineMs = 700;
constexpr int kWaitIntervalMs = 100;
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

// Of several steps together.
class Deadline {
 public:
  explicit Deadline(uint64_t ms) : end_ns_(Clock::System().MonotonicNs() + ms * 1'000'000) {}
  uint32_t left_ms() const {
    const uint64_t now_ns = Clock::System().MonotonicNs();
    return now_ns >= end_ns_ ? 0 : static_cast<uint32_t>((end_ns_ - now_ns) / 1'000'000);
  }

 private:
  const uint64_t end_ns_;
};

// What the server says at `target`. One that has no thread left to say it, or says so late, has not
// answered: an error.
struct Answer {
  Status refusal;  // not OK: it does not tell us
  JsonTree tree;
};
Result<Answer> Ask(const ServerLink& link, const std::string& target, const Deadline& deadline) {
  ENGRAM_ASSIGN_OR_RETURN(const HttpReply reply,
                          link.Send("GET", target, "", std::max(1u, deadline.left_ms())));
  Answer answer{Status::Ok(), JsonTree::parse(reply.body, nullptr, /*allow_exceptions=*/false)};
  // An unhealthy server says so with a 503 as well; the probe of the event loop has no body.
  const bool has_object = answer.tree.is_object();
  const bool told = reply.status == 200 || (has_object && !answer.tree.contains("error"));
  if (!told) answer.refusal = ReplyError(reply);
  if (!has_object) answer.tree = JsonTree::object();
  if (answer.refusal.code() == StatusCode::kBusy) return answer.refusal;
  return answer;
}

// Adds what the scheduler says of its spaces: to those that are there, and the others.
void AddStates(const JsonTree& states, Report* spaces) {
  for (const JsonTree& state : states) {
    const auto same = std::find_if(spaces->begin(), spaces->end(), [&](const Report& space) {
      return space.value("space", "-") == state.value("space", "");
    });
    if (same == spaces->end()) {
      spaces->push_back(state);
    } else {
      Complete(state, &*same);
    }
  }
}

uint64_t MemoryCount(const Report& spaces) {
  uint64_t count = 0;
  for (const Report& space : spaces) {
    count += space.value("memories", space.value("count", uint64_t{0}));
  }
  return count;
}

// Without the server's help.
void AskControlBlocks(Session& session, Report* report) {
  auto blocks = ReadControlBlocks(session);
  if (!blocks.ok()) {
    (*report)["spaces"] = Report::array();
    (*report)["message"] = "no control block could be read: " + blocks.status().message();
    return;
  }
  (*report)["memory_count"] = MemoryCount((*blocks)["spaces"]);
  (*report)["spaces"] = std::move((*blocks)["spaces"]);
}

// The server's own view: health, then what its scheduler says of each space. An error if it does
// not give it in time; nothing is in the report then.
Status AskServer(Session& session, const ServerLink& link, const Deadline& deadline,
                 Report* report) {
  ENGRAM_ASSIGN_OR_RETURN(Answer alive, Ask(link, "/health/alive", deadline));
  ENGRAM_TRY(alive.refusal);
  ENGRAM_ASSIGN_OR_RETURN(Answer health,
                          Ask(link, "/api/v1/system/health" + SpaceQuery(session), deadline));
  ENGRAM_ASSIGN_OR_RETURN(Answer migration,
                          Ask(link, "/api/v1/admin/migration" + SpaceQuery(session), deadline));
  if (health.refusal.ok()) {
    for (const char* key : {"uptime_seconds", "checks"}) {
      if (health.tree.contains(key)) (*report)[key] = health.tree[key];
    }
    (*report)["spaces"] = health.tree.value("spaces", JsonTree::array());
  } else {
    AskControlBlocks(session, report);
  }
  (*report)["health"] = health.refusal.ok() ? health.tree.value("status", "unknown") : "unknown";
  if (migration.refusal.ok()) {
    for (const char* key : {"dual_memory_types", "knobs"}) {
      if (migration.tree.contains(key)) (*report)[key] = migration.tree[key];
    }
    AddStates(migration.tree.value("spaces", JsonTree::array()), &(*report)["spaces"]);
  }
  for (const Answer* answer : {&migration, &health}) {
    if (answer->refusal.ok()) continue;
    (*report)["message"] = answer->refusal.message();
    (*report)["hint"] = HintOf(answer->refusal);
  }
  (*report)["memory_count"] = MemoryCount((*report)["spaces"]);
  return Status::Ok();
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
  Report report = {{"ok", false}, {"status", "offline"}, {"pid", nullptr}, {"port", nullptr}};
  report["process_running"] = link.running();
  report["data_root"] = link.data_root();
  report["config"] = {{"path", link.config().file()}, {"warnings", link.config().Notes()}};
  Status answered = Status::NotFound("");
  if (link.running()) {
    report["pid"] = link.process()->pid();
    report["port"] = link.port();
    answered = AskServer(session, link, Deadline(kAnswersDeadlineMs), &report);
    report["status"] = answered.ok() ? "online" : "unresponsive";
  }
  report["ok"] = answered.ok();
  if (!answered.ok()) {
    report["error"] = ErrorObject(Unavailable(link, answered));
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
  if (report.contains("hint")) text += "\n  hint: " + Shown(report, "hint");
  for (const Report& space : report.value("spaces", Report::array())) {
    text += "\n" + SpaceLine(space);
  }
  return text;
}

// False when a signal came instead.
bool Sleep(int milliseconds) {
  pollfd signal{CancelDescriptor(), POLLIN, 0};
  return poll(&signal, 1, milliseconds) == 0 && !CancelFlag().load();
}

}  // namespace

int ServerStatus(Session& session, const StatusFlags& flags) {
  Console& console = session.console();
  const Deadline wait(flags.wait_seconds * 1000);
  while (true) {
    auto link = ServerLink::Open(session, flags.server);
    if (!link.ok()) return console.Fail(link.status());
    Report report = Observe(session, **link);
    if (!IsTrue(report, "ok") && wait.left_ms() > 0 && Sleep(kWaitIntervalMs)) continue;
    const int code = PrintReport(console, std::move(report), ServerText);
    if (!flags.watch || !Sleep(kWatchIntervalMs)) return code;
  }
}

}  // namespace engram::cli
