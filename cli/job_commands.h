// engram migrate-dual ..., verify, compact, space ...: commands whose result is a report.
#ifndef ENGRAM_CLI_JOB_COMMANDS_H_
#define ENGRAM_CLI_JOB_COMMANDS_H_

#include <optional>
#include <string>

#include "cli/session.h"

namespace engram::cli {

// What is not given is the command's own default offline, and the server's setting online.
struct MigrateFlags {
  std::optional<std::string> source;
  std::string mode = "offline";  // or "online"
  bool dry_run = false;
  bool resume = false;
  bool no_history_scan = false;
  bool snapshot = false;
  std::optional<uint64_t> batch_size;
  std::optional<uint64_t> checkpoint_interval;
  std::optional<uint64_t> memory_budget_mb;
  std::optional<uint64_t> rate_limit;  // 0: none
  std::optional<uint32_t> parallel_workers;
};
struct VerifyFlags {
  std::optional<std::string> source;
  uint64_t sample = 0;  // 0: all
  bool full = false;
};

struct InspectFlags {
  std::string what;  // "source", "log" or "store"
  std::string path;
  bool jsonl = false;
};

// Each returns the exit code.
int MigrateDual(Session& session, const MigrateFlags& flags);
int Verify(Session& session, const VerifyFlags& flags);
// What the stores themselves say, while nobody holds them.
int MigrateStatus(Session& session);
struct RollbackFlags {
  std::string to = "format";  // or "state"
  bool dry_run = false;
  bool yes = false;
};
// To format: at once, every write is kept. To state: needs --yes, writes since are given up.
int MigrateRollback(Session& session, const RollbackFlags& flags);
int MigrateCanRollback(Session& session);
int Compact(Session& session, bool finalize);

// Prints the mode, or with a value sets it; a space that does not exist yet is created then.
int SpaceMode(Session& session, const std::optional<std::string>& mode);
int SpaceList(Session& session);
struct SalvageFlags {
  bool dry_run = false;
  bool yes = false;
};
// Without --yes only what would be done is shown; 1 if there is anything to do.
int SpaceSalvage(Session& session, const SalvageFlags& flags);
int SpaceStats(Session& session);

// Replaces this process by engram-inspect. Returns only if that fails.
int Inspect(Session& session, const InspectFlags& flags);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_JOB_COMMANDS_H_
