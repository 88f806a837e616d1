// engram config get|set|list|path, engram validate config.
#ifndef ENGRAM_CLI_CONFIG_COMMANDS_H_
#define ENGRAM_CLI_CONFIG_COMMANDS_H_

#include <optional>
#include <string>

#include "cli/server_link.h"
#include "cli/session.h"

namespace engram::cli {

struct ConfigFlags {
  ServerFlags server;
  std::string key;
  std::string value;
  std::optional<std::string> section;
};

// Each returns the exit code.
// From the running server, else from this invocation's own sources.
int ConfigGet(Session& session, const ConfigFlags& flags);
// While a server runs, a key that may change then changes there, at once; others, and without a
// server all, change in the file.
int ConfigSetValue(Session& session, const ConfigFlags& flags);
int ConfigList(Session& session, const ConfigFlags& flags);
int ConfigPath(Session& session, const ConfigFlags& flags);
int ValidateConfig(Session& session, const std::string& file);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_CONFIG_COMMANDS_H_
