// engram start, stop, status.
#ifndef ENGRAM_CLI_SERVER_COMMANDS_H_
#define ENGRAM_CLI_SERVER_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/server_link.h"
#include "cli/session.h"

namespace engram::cli {

struct StartFlags {
  ServerFlags server;
  // As given; the configuration checks them.
  std::optional<std::string> port;
  std::optional<std::string> grpc_port;
  std::optional<std::string> bind;
  std::optional<std::string> dual_memory_types;
  std::vector<std::string> set;  // KEY=VALUE
  bool insecure = false;
};
struct StopFlags {
  ServerFlags server;
  bool force = false;
};
struct StatusFlags {
  ServerFlags server;
  bool watch = false;
  uint32_t wait_seconds = 0;  // for the server to be online
};

// Each returns the exit code.
int ServerStart(Session& session, const StartFlags& flags);
int ServerStop(Session& session, const StopFlags& flags);
int ServerStatus(Session& session, const StatusFlags& flags);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_SERVER_COMMANDS_H_
