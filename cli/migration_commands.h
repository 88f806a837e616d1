// migrate-dual status, pause, resume, throttle and --mode online: the migrator of a running server.
#ifndef ENGRAM_CLI_MIGRATION_COMMANDS_H_
#define ENGRAM_CLI_MIGRATION_COMMANDS_H_

#include "cli/job_commands.h"
#include "cli/server_link.h"
#include "cli/session.h"

namespace engram::cli {

// Each returns the exit code. Without a server they refuse, but for the status: that comes from the
// server, else from the control blocks, else from the stores themselves.
int MigrationStatus(Session& session);
int MigrationPause(Session& session);
int MigrationResume(Session& session);
int MigrationThrottle(Session& session, std::optional<uint64_t> rate_limit);
// Starts the guided migration and shows its progress until it is done. An interruption ends the
// watching only.
int MigrateOnline(Session& session, const MigrateFlags& flags);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_MIGRATION_COMMANDS_H_
