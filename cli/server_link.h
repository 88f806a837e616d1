// The way from a command to the running server of its data root: configuration, pid file, process,
// requests.
#ifndef ENGRAM_CLI_SERVER_LINK_H_
#define ENGRAM_CLI_SERVER_LINK_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cli/http_client.h"
#include "cli/session.h"
#include "plugin/loader/json_tree.h"
#include "server/config/config.h"
#include "server/config/pid_file.h"

namespace engram::cli {

using plugin::JsonTree;

// Flags of the commands that concern a server.
struct ServerFlags {
  std::optional<std::string> config_file;  // --config
  std::optional<std::string> pid_file;     // --pid-file
};

// Where the configuration of this invocation comes from: --config, ENGRAM_CONFIG_PATH or the user's
// own file if it is there; the process's environment; --data-root.
server::ConfigSet::Inputs ConfigInputs(const Session& session, const ServerFlags& flags);

class ServerLink {
 public:
  // Loads the configuration, looks for the server, sets the session's data root to the one that it
  // serves, else to the configured one.
  static Result<std::unique_ptr<ServerLink>> Open(Session& session, const ServerFlags& flags);
  // For commands that keep the session's data root.
  static Result<std::unique_ptr<ServerLink>> OpenFor(Session& session);

  server::ConfigSet& config() { return config_; }
  const server::ConfigSet& config() const { return config_; }
  bool running() const { return found_.process != nullptr; }
  // Null if none runs.
  const server::ServerProcess* process() const { return found_.process.get(); }
  uint16_t port() const { return found_.record.http_port; }
  // Of the server that was found, else as configured.
  std::string data_root() const;
  // The configuration file that the server read, "" if none; nullopt if that cannot be told.
  const std::optional<std::string>& server_config_file() const { return found_.config_file; }
  // Why a pid file that is there does not count; "" if there is none.
  const std::string& stale() const { return found_.stale; }

  // One request. REQUIRES: running().
  Result<HttpReply> Send(const std::string& method, const std::string& target,
                         const std::string& body, uint32_t deadline_ms) const;
  // The same; a reply that is no success becomes the error it describes: 400 and 422
  // kInvalidArgument, 404 kNotFound, 401, 403 and 409 kFailedPrecondition, 503 kBusy, others kIo.
  Result<JsonTree> Call(const std::string& method, const std::string& target,
                        const JsonTree& body = nullptr, uint32_t deadline_ms = 2000) const;
  // A configuration key as the server has it, its environment and command line included: {"key",
  // "value" (as text), "source", "origin"}.
  Result<JsonTree> Setting(std::string_view key) const;
  Result<JsonTree> Settings() const;  // all of them, sorted by key; secrets hidden

 private:
  ServerLink(server::ConfigSet config, server::FoundServer found)
      : config_(std::move(config)), found_(std::move(found)) {}
  static Result<std::unique_ptr<ServerLink>> Make(server::ConfigSet::Inputs inputs);

  server::ConfigSet config_;
  server::FoundServer found_;
};

// The error of a reply that is no success.
Status ReplyError(const HttpReply& reply);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_SERVER_LINK_H_
