#include "cli/migration_commands.h"

#include <poll.h>

#include <cstdlib>

#include "cli/control_report.h"
#include "cli/report_output.h"
#include "cli/signals.h"

namespace engram::cli {
namespace {

constexpr char kTarget[] = "/api/v1/admin/migration";
constexpr uint32_t kStatusDeadlineMs = 700;  // then the control blocks answer
constexpr uint32_t kChangeDeadlineMs = 10'000;
constexpr int kPollMs = 500;
constexpr int kPollsPerLine = 4;

Result<std::unique_ptr<ServerLink>> RequireServer(Session& session, const std::string& command) {
  ENGRAM_ASSIGN_OR_RETURN(auto link, ServerLink::Open(session, {}));
  if (link->running()) return link;
  const std::string why = link->stale().empty() ? "" : " (" + link->stale() + ")";
  return Status::FailedPrecondition(
      "`engram " + command + "` needs the running server of this data root, and none is running" +
          why,
      "start it with `engram start`; an offline migration is stopped with Ctrl-C, continued with "
      "`engram migrate-dual --resume`, and slowed with --rate-limit");
}

std::string Target(const Session& session) {
  return session.space_given() ? std::string(kTarget) + "?space=" + PercentEncoded(session.space())
                               : kTarget;
}

Report WithOk(const JsonTree& reply) {
  Report report = {{"ok", true}};
  for (const auto& [key, value] : reply.items()) report[key] = value;
  return report;
}

// Changes the knobs, then shows what the server made of them.
int Change(Session& session, const std::string& command, const JsonTree& body) {
  Console& console = session.console();
  auto link = RequireServer(session, command);
  if (!link.ok()) return console.Fail(link.status());
  auto changed = (*link)->Call("POST", kTarget, body, kChangeDeadlineMs);
  if (!changed.ok()) return console.Fail(changed.status());
  auto now = (*link)->Call("GET", Target(session));
  if (!now.ok()) return console.Fail(now.status());
  return PrintReport(console, WithOk(*now), StatusText);
}

// The mirror, or what one can read of the stores if nobody holds them.
int StatusWithoutServer(Session& session, const Status& why) {
  Console& console = session.console();
  auto blocks = ReadControlBlocks(session);
  if (!blocks.ok() || (*blocks)["spaces"].empty()) {
    return why.code() == StatusCode::kNotFound ? MigrateStatus(session) : console.Fail(why);
  }
  Report report = {{"ok", true}, {"source", "control block"}, {"reason", why.message()}};
  report["spaces"] = (*blocks)["spaces"];
  return PrintReport(console, report, StatusText);
}

std::string TextOf(const Report& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

uint64_t NumberOf(const Report& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string ThrottleReason(const Report& space) {
  const auto throttle = space.find("throttle");
  return throttle != space.end() && throttle->is_object() ? TextOf(*throttle, "reason") : "";
}

// Complete is what the migrator has verified. One that is not to work has nothing to say.
bool IsDone(const Report& space, bool history_scan) {
  const std::string mode = TextOf(space, "mode");
  if (mode != "dual" && mode != "finalized") return false;
  if (!TextOf(space, "online_step").empty()) return false;
  const std::string phase = TextOf(space, "phase");
  if (!history_scan || phase == "complete") return true;
  return NumberOf(space, "remaining_old") == 0 &&
         (phase == "off" || ThrottleReason(space) == "paused");
}

// What is complete and still old could not be converted: the answer is no, and says how to go on.
void JudgeQuarantine(Report* space) {
  const uint64_t left = NumberOf(*space, "remaining_old");
  if (left == 0 || TextOf(*space, "phase") != "complete") return;
  const std::string name = TextOf(*space, "space");
  (*space)["ok"] = false;
  (*space)["error"] = ErrorObject(Status::Corruption(
      "the migration is complete but for " + WithThousands(left) +
          (left == 1 ? " record" : " records") +
          " that cannot be converted; they are kept as they are",
      "`engram verify --full --space=" + name +
          "` names them: write or delete them, or bring them back from a backup, before `engram "
          "compact --finalize`"));
}

Status Failure(const Report& space) {
  std::string why = TextOf(space, "error");
  if (why.empty()) why = "the server's log says why";
  return Status::FailedPrecondition(
      "space " + TextOf(space, "space") + ": the migration failed: " + why,
      "what was acknowledged is served as before; `engram migrate-dual status` shows the state, "
      "`engram verify --full` what differs");
}

// The last state of all spaces once every one is done.
Result<JsonTree> WatchUntilDone(Session& session, const ServerLink& link) {
  for (int poll_count = 0;; ++poll_count) {
    ENGRAM_ASSIGN_OR_RETURN(JsonTree state,
                            link.Call("GET", Target(session), nullptr, kChangeDeadlineMs));
    const auto knobs = state.find("knobs");
    const bool history_scan =
        knobs == state.end() || !knobs->is_object() || knobs->value("history_scan", true);
    bool done = true;
    for (const Report& space : state["spaces"]) {
      if (TextOf(space, "phase") == "failed") return Failure(space);
      const bool space_done = IsDone(space, history_scan);
      done = done && space_done;
      if (!space_done && poll_count % kPollsPerLine == 0)
        session.console().Say(SpaceProgressText(space));
    }
    if (done) return state;
    pollfd signal{CancelDescriptor(), POLLIN, 0};
    poll(&signal, 1, kPollMs);
    if (CancelFlag().load()) {
      return Status::Cancelled("interrupted; the server goes on with the migration",
                               "watch it with `engram migrate-dual status`, halt it with `engram "
                               "migrate-dual pause`, watch again with: " +
                                   session.CommandLine(""));
    }
  }
}

// Flags that have no meaning beside a server.
Status CheckOnlineFlags(const MigrateFlags& flags) {
  if (flags.source || flags.dry_run || flags.resume) {
    return Status::InvalidArgument(
        "--source, --dry-run and --resume belong to --mode offline",
        "a server brings in what upstream left in its own data root by itself, and an online "
        "migration goes on by itself after a restart");
  }
  if (flags.snapshot) {
    return Status::InvalidArgument("--snapshot belongs to --mode offline",
                                   "stop the server to take one: engram stop");
  }
  if (flags.parallel_workers) {
    return Status::InvalidArgument(
        "--parallel-workers belongs to --mode offline",
        "a server converts beside its clients, on one thread; --rate-limit says how fast at most");
  }
  return Status::Ok();
}

// What the server cannot do as asked, in place of a wait that never ends.
Status CheckServerCan(const ServerLink& link, const MigrateFlags& flags) {
  ENGRAM_ASSIGN_OR_RETURN(const JsonTree enabled, link.Setting("migration.enabled"));
  if (TextOf(enabled, "value") == "false") {
    return Status::FailedPrecondition(
        "the server converts nothing in the background: its migration.enabled is false",
        "set it to true and restart the server, or stop it and run the migration offline");
  }
  if (!flags.checkpoint_interval) return Status::Ok();
  // Each batch is a commit that keeps its own place: more often than every batch there is none.
  uint64_t batch_size = flags.batch_size.value_or(0);
  if (!flags.batch_size) {
    ENGRAM_ASSIGN_OR_RETURN(const JsonTree setting, link.Setting("migration.batch_size"));
    batch_size = std::strtoull(TextOf(setting, "value").c_str(), nullptr, 10);
  }
  if (*flags.checkpoint_interval >= batch_size) return Status::Ok();
  return Status::FailedPrecondition(
      "a server keeps its place with every batch, and a batch is " + std::to_string(batch_size) +
          " nodes: that is more than --checkpoint-interval",
      "give a --batch-size of at most " + std::to_string(*flags.checkpoint_interval));
}

// The knobs that were given, then the start.
Status StartOnline(const Session& session, const ServerLink& link, const MigrateFlags& flags) {
  JsonTree knobs = JsonTree::object();
  if (flags.rate_limit) knobs["rate_limit"] = *flags.rate_limit;
  if (flags.batch_size) knobs["batch_size"] = *flags.batch_size;
  if (flags.memory_budget_mb) knobs["memory_budget_mb"] = *flags.memory_budget_mb;
  if (flags.no_history_scan) knobs["history_scan"] = false;
  if (!knobs.empty()) ENGRAM_TRY(link.Call("POST", kTarget, knobs, kChangeDeadlineMs).status());
  JsonTree start = {{"action", "online"}};
  if (session.space_given()) start["space"] = session.space();
  return link.Call("POST", kTarget, start, kChangeDeadlineMs).status();
}

}  // namespace

int MigrationStatus(Session& session) {
  Console& console = session.console();
  auto link = ServerLink::Open(session, {});
  if (!link.ok()) return console.Fail(link.status());
  if (!(*link)->running()) {
    return StatusWithoutServer(session, Status::NotFound("no server runs"));
  }
  auto reply = (*link)->Call("GET", Target(session), nullptr, kStatusDeadlineMs);
  if (reply.ok()) return PrintReport(console, WithOk(*reply), StatusText);
  // A refusal is an answer; silence is not.
  const StatusCode code = reply.status().code();
  const bool silent =
      code == StatusCode::kBusy || code == StatusCode::kIo || code == StatusCode::kNotFound;
  return silent ? StatusWithoutServer(session, reply.status()) : console.Fail(reply.status());
}

int MigrationPause(Session& session) {
  return Change(session, "migrate-dual pause", {{"paused", true}});
}

int MigrationResume(Session& session) {
  return Change(session, "migrate-dual resume", {{"paused", false}});
}

int MigrationThrottle(Session& session, std::optional<uint64_t> rate_limit) {
  constexpr char kCommand[] = "migrate-dual throttle";
  if (rate_limit) return Change(session, kCommand, {{"rate_limit", *rate_limit}});
  return session.console().FailUsage(Status::InvalidArgument(
      "--rate-limit is missing", "say how many nodes a second, 0 for no limit"));
}

int MigrateOnline(Session& session, const MigrateFlags& flags) {
  Console& console = session.console();
  const Status sensible = CheckOnlineFlags(flags);
  if (!sensible.ok()) return console.FailUsage(sensible);
  auto link = RequireServer(session, "migrate-dual --mode online");
  if (!link.ok()) return console.Fail(link.status());
  Status started = CheckServerCan(**link, flags);
  if (started.ok()) started = StartOnline(session, **link, flags);
  if (!started.ok()) return console.Fail(started);
  auto done = WatchUntilDone(session, **link);
  if (!done.ok()) return console.Fail(done.status());
  Report report = WithOk(*done);
  report["command"] = "migrate-dual";
  for (Report& space : report["spaces"]) {
    JudgeQuarantine(&space);
    if (!IsTrue(space, "ok")) report["ok"] = false;
  }
  if (!IsTrue(report, "dual_memory_types")) {
    console.Say(
        "the flag is still off: spaces that are created later begin in the old model, until: "
        "engram config set features.dual_memory_types true");
  }
  return PrintReport(console, report, StatusText);
}

}  // namespace engram::cli
