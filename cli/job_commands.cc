#include "cli/job_commands.h"

#include <unistd.h>

#include <cerrno>
#include <functional>

#include "base/clock.h"
#include "cli/progress_view.h"
#include "cli/remote_space.h"
#include "cli/report_output.h"
#include "cli/signals.h"
#include "plugin/loader/memory_json.h"

namespace engram::cli {
namespace {

using plugin::Engine;
using plugin::Job;

// Of an offline migration.
constexpr uint64_t kBatchSize = 1000;
constexpr uint64_t kCheckpointInterval = 10'000;
constexpr uint64_t kMemoryBudgetMb = 512;

// One job on one space (or on all, for migrate): its report as JSON text.
using SpaceJob = std::function<Result<std::string>(Engine&, const std::string& space, const Job&)>;

Report ErrorReport(const std::string& space, const Status& error) {
  return {{"space", space}, {"ok", false}, {"error", ErrorObject(error)}};
}

// A job's error as the user sees it: an interrupted one says how to go on. Only a migration has a
// checkpoint to resume from, the others start over.
Status Explained(Session& session, const Status& error, const std::string& resume_flag = "") {
  const std::string how = "resume with: " + session.CommandLine(resume_flag);
  if (error.code() == StatusCode::kCancelled) return error.WithHint(how);
  // The device filled up after work was done: that is kept.
  const bool keeps = error.code() == StatusCode::kFull && !resume_flag.empty() &&
                     error.hint().find(resume_flag) != std::string::npos;
  return keeps ? error.WithHint("free space there, then " + how) : NamingTheServer(session, error);
}

class JobRunner {
 public:
  JobRunner(Session& session, const ProgressStyle& style)
      : session_(session), view_(stderr, Terminal(style), Clock::System()) {
    if (!session.console().quiet()) {
      job_.progress = [this](const engram_se_progress& p) { view_.Update(p); };
    }
    job_.cancel = &CancelFlag();
  }
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  // The report of one space.
  Result<Report> Run(const std::string& space, const SpaceJob& job) {
    ENGRAM_ASSIGN_OR_RETURN(auto engine, session_.OpenEngine());
    ENGRAM_ASSIGN_OR_RETURN(const std::string json, job(*engine, space, job_));
    ENGRAM_ASSIGN_OR_RETURN(Report report, ParseReport(json));
    // The answer "no" is exit code 1, and `ok` always agrees with the exit code.
    if (!IsTrue(report, "can_rollback")) report["ok"] = false;
    return report;
  }

 private:
  static ProgressStyle Terminal(ProgressStyle style) {
    style.terminal = isatty(STDERR_FILENO) != 0;
    return style;
  }

  Session& session_;
  ProgressView view_;
  Job job_;
};

// {"ok", "spaces": [...]}: a space whose job fails is listed with its error, the others go on.
Result<Report> RunOnEach(Session& session, JobRunner* runner,
                         const std::vector<std::string>& spaces, const SpaceJob& job) {
  Report all = {{"ok", true}, {"spaces", Report::array()}};
  for (const std::string& space : spaces) {
    Result<Report> one = runner->Run(space, job);
    if (!one.ok() && one.status().code() == StatusCode::kCancelled) return one.status();
    Report element = one.ok() ? *one : ErrorReport(space, Explained(session, one.status()));
    if (!element.contains("space")) element["space"] = space;
    if (!IsTrue(element, "ok")) all["ok"] = false;
    all["spaces"].push_back(std::move(element));
  }
  return all;
}

// The object of --space, or {"ok", "spaces"} with --all-spaces.
int RunReport(Session& session, const ProgressStyle& style, ReportToText to_text,
              const SpaceJob& job) {
  Console& console = session.console();
  JobRunner runner(session, style);
  auto spaces = session.Spaces();
  if (!spaces.ok()) return console.Fail(spaces.status());
  Result<Report> report = session.all_spaces() ? RunOnEach(session, &runner, *spaces, job)
                                               : runner.Run(session.space(), job);
  if (!report.ok()) return console.Fail(Explained(session, report.status()));
  return PrintReport(console, *report, to_text);
}

// {"ok", "spaces"} of the given space, or of every space of the data root.
Result<Report> ListReport(Session& session, bool every_space, const SpaceJob& job) {
  JobRunner runner(session, {});
  if (!every_space) {
    ENGRAM_ASSIGN_OR_RETURN(Report one, runner.Run(session.space(), job));
    const bool ok = IsTrue(one, "ok");
    return Report{{"ok", ok}, {"spaces", Report::array({std::move(one)})}};
  }
  ENGRAM_ASSIGN_OR_RETURN(auto engine, session.OpenEngine());
  ENGRAM_ASSIGN_OR_RETURN(const auto spaces, engine->ListSpaces());
  return RunOnEach(session, &runner, spaces, job);
}

int RunList(Session& session, ReportToText to_text, bool every_space, const SpaceJob& job) {
  Result<Report> report = ListReport(session, every_space, job);
  if (!report.ok()) return session.console().Fail(report.status());
  return PrintReport(session.console(), *report, to_text);
}

// What would be done, where doing it needs the user's word: unless `yes`, the report becomes a
// refusal if its key `asks` is true (or is not there).
Result<std::string> UnlessConfirmed(const Result<std::string>& json, bool yes, const char* asks) {
  if (!json.ok() || yes) return json;
  ENGRAM_ASSIGN_OR_RETURN(Report report, ParseReport(*json));
  if (!IsTrue(report, asks)) return json;
  report["ok"] = false;
  report["error"] = ErrorObject(Status::FailedPrecondition(
      "nothing was changed: this command gives up what is listed here",
      "read the list, then run the same command with --yes; --dry-run only looks"));
  return Dump(report);
}

int RollbackToState(Session& session, const RollbackFlags& flags) {
  const bool dry_run = flags.dry_run || !flags.yes;
  return RunReport(session, {.tag = "rollback", .verb = "rollback"}, StateRollbackText,
                   [&](Engine& engine, const std::string& space, const Job& job) {
                     auto report =
                         engine.RollbackToState({.space = space, .dry_run = dry_run}, job);
                     return flags.dry_run ? report : UnlessConfirmed(report, flags.yes, "ok");
                   });
}

uint32_t MigrateFlagBits(const MigrateFlags& flags) {
  return (flags.dry_run ? ENGRAM_SE_MIGRATE_DRY_RUN : 0) |
         (flags.resume ? ENGRAM_SE_MIGRATE_RESUME : 0) |
         (flags.no_history_scan ? ENGRAM_SE_MIGRATE_NO_HISTORY_SCAN : 0) |
         (flags.snapshot ? ENGRAM_SE_MIGRATE_SNAPSHOT : 0);
}

uint32_t ModeFromText(const std::string& text) {
  return text == "dual" ? ENGRAM_SE_MODE_DUAL : ENGRAM_SE_MODE_LEGACY;
}

// One space's mode, set first if one is given, as a report.
Result<Report> ModeOf(Session& session, const std::string& name,
                      const std::optional<std::string>& mode) {
  ENGRAM_ASSIGN_OR_RETURN(auto engine, session.OpenEngine());
  const uint32_t access = mode ? ENGRAM_SE_ACCESS_CREATE : ENGRAM_SE_ACCESS_READ_ONLY;
  auto space = engine->OpenSpace({.space = name, .access = access});
  if (!space.ok()) return NamingTheServer(session, space.status());
  if (mode) ENGRAM_TRY((*space)->SetMode(ModeFromText(*mode)));
  ENGRAM_ASSIGN_OR_RETURN(const uint32_t now, (*space)->Mode());
  ENGRAM_TRY((*space)->Close());
  return Report{{"ok", true}, {"space", name}, {"mode", plugin::ModeText(now)}};
}

}  // namespace

int MigrateDual(Session& session, const MigrateFlags& flags) {
  Console& console = session.console();
  JobRunner runner(session,
                   {.tag = "migration",
                    .verb = flags.dry_run ? "dry run of the migration" : flags.mode + " migration",
                    .batch_size = flags.batch_size.value_or(kBatchSize),
                    .memory_budget_mb = flags.memory_budget_mb.value_or(kMemoryBudgetMb),
                    .rate_limit_per_second = flags.rate_limit.value_or(0)});
  plugin::MigrateOptions options;
  options.source = flags.source;
  // A source says which spaces there are; of what is here nothing is changed that was not named.
  const bool every_space = session.all_spaces() || flags.source;
  if (session.space_given() || !every_space) options.space = session.space();
  options.flags = MigrateFlagBits(flags);
  options.batch_size = flags.batch_size.value_or(kBatchSize);
  options.checkpoint_interval = flags.checkpoint_interval.value_or(kCheckpointInterval);
  options.memory_budget_mb = flags.memory_budget_mb.value_or(kMemoryBudgetMb);
  options.rate_limit_per_second = flags.rate_limit.value_or(0);
  options.parallel_workers = flags.parallel_workers.value_or(0);  // half the cores
  Result<Report> report =
      runner.Run(session.space(), [&](Engine& engine, const std::string&, const Job& job) {
        return engine.Migrate(options, job);
      });
  if (!report.ok()) return console.Fail(Explained(session, report.status(), "--resume"));
  return PrintReport(console, *report, MigrateText);
}

int Verify(Session& session, const VerifyFlags& flags) {
  return RunReport(
      session, {.tag = "verify", .verb = "verification"}, VerifyText,
      [&](Engine& engine, const std::string& space, const Job& job) -> Result<std::string> {
        Result<std::string> report = engine.Verify(
            {.space = space, .source = flags.source, .sample = flags.sample, .full = flags.full},
            job);
        // A source is a folder of this machine: the server does not open it for us.
        if (flags.source) return report;
        auto server = ServerBeside(session, report.status());
        if (server == nullptr) return report;
        session.console().Say("the running server verifies space " + space +
                              " and answers when it is done");
        return RemoteSpace(std::move(server), space).Verify(flags.sample, flags.full);
      });
}

int MigrateStatus(Session& session) {
  return RunList(session, StatusText, !session.space_given(),
                 [](Engine& engine, const std::string& space, const Job& job) {
                   return engine.MigrationStatus(space, job);
                 });
}

int MigrateRollback(Session& session, const RollbackFlags& flags) {
  if (flags.to == "state") return RollbackToState(session, flags);
  if (flags.dry_run) return MigrateCanRollback(session);
  return RunReport(session, {.tag = "rollback", .verb = "rollback"}, RollbackText,
                   [](Engine& engine, const std::string& space, const Job& job) {
                     return engine.Rollback(space, job);
                   });
}

int MigrateCanRollback(Session& session) {
  return RunReport(session, {}, PlainText,
                   [](Engine& engine, const std::string& space, const Job& job) {
                     return engine.CanRollback(space, job);
                   });
}

int Compact(Session& session, bool finalize) {
  return RunReport(session, {.tag = "compact", .verb = "compaction"}, CompactText,
                   [&](Engine& engine, const std::string& space, const Job& job) {
                     return engine.Compact({.space = space, .finalize = finalize}, job);
                   });
}

int SpaceMode(Session& session, const std::optional<std::string>& mode) {
  Console& console = session.console();
  auto spaces = session.Spaces();
  if (!spaces.ok()) return console.Fail(spaces.status());
  Report all = {{"ok", true}, {"spaces", Report::array()}};
  for (const std::string& name : *spaces) {
    Result<Report> one = ModeOf(session, name, mode);
    if (!session.all_spaces()) {
      return one.ok() ? PrintReport(console, *one, PlainText) : console.Fail(one.status());
    }
    if (!one.ok()) all["ok"] = false;
    all["spaces"].push_back(one.ok() ? *one : ErrorReport(name, one.status()));
  }
  return PrintReport(console, std::move(all), ModesText);
}

int SpaceSalvage(Session& session, const SalvageFlags& flags) {
  const bool dry_run = flags.dry_run || !flags.yes;
  return RunReport(session, {.tag = "salvage", .verb = "salvage"}, SalvageText,
                   [&](Engine& engine, const std::string& space, const Job& job) {
                     auto report = engine.Salvage({.space = space, .dry_run = dry_run}, job);
                     return flags.dry_run ? report : UnlessConfirmed(report, flags.yes, "needed");
                   });
}

namespace {

// The statistics of a space, from its server if that has it open.
SpaceJob StatsJob(Session& session) {
  return
      [&session](Engine& engine, const std::string& space, const Job& job) -> Result<std::string> {
        Result<std::string> stats = engine.SpaceStats(space, job);
        auto server = ServerBeside(session, stats.status());
        return server == nullptr ? stats : RemoteSpace(std::move(server), space).Stats();
      };
}

}  // namespace

int SpaceList(Session& session) {
  return RunList(session, SpacesText, /*every_space=*/true, StatsJob(session));
}

int SpaceStats(Session& session) {
  return RunList(session, SpacesText, session.all_spaces(), StatsJob(session));
}

int Inspect(Session& session, const InspectFlags& flags) {
  Console& console = session.console();
  Result<std::string> program = BesideProgram("engram-inspect");
  if (!program.ok()) return console.Fail(program.status());
  std::vector<std::string> words = {*program, flags.what, flags.path};
  if (flags.jsonl) words.push_back("--jsonl");
  if (console.json()) words.push_back("--json");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program->c_str(), argv.data());
  return console.Fail(Status::FromErrno(errno, "start " + *program)
                          .WithHint("engram-inspect is installed beside engram: install again"));
}

}  // namespace engram::cli
