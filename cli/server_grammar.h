// The part of the command line's grammar that concerns a server: start, stop, status, config,
// validate.
#ifndef ENGRAM_CLI_SERVER_GRAMMAR_H_
#define ENGRAM_CLI_SERVER_GRAMMAR_H_

#include <functional>
#include <string>

#include "cli/config_commands.h"
#include "cli/server_commands.h"

namespace CLI {
class App;
}

namespace engram::cli {

struct ServerGrammarFlags {
  StartFlags start;
  StopFlags stop;
  StatusFlags status;
  ConfigFlags config;
  std::string file;
};

// How the whole grammar binds a command to its function and gives it an example.
struct GrammarHooks {
  std::function<void(CLI::App*, std::function<int(Session&)>)> runs;
  std::function<void(CLI::App*, const std::string&)> example;
};

// `flags` lives as long as `app`.
void AddServerCommands(CLI::App& app, const GrammarHooks& hooks, ServerGrammarFlags* flags);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_SERVER_GRAMMAR_H_
