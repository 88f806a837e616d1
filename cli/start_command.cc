#include <unistd.h>

#include "cli/report_output.h"
#include "cli/server_commands.h"
#include "cli/signals.h"
#include "server/server.h"

namespace engram::cli {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Flags as keys of the configuration; the later one of a key wins.
Result<Pairs> CommandLineKeys(const StartFlags& flags) {
  Pairs keys;
  const std::pair<const char*, const std::optional<std::string>&> named[] = {
      {"server.http_port", flags.port},
      {"server.http_bind", flags.bind},
      {"server.grpc_port", flags.grpc_port},
      {"features.dual_memory_types", flags.dual_memory_types}};
  for (const auto& [key, value] : named) {
    if (value) keys.emplace_back(key, *value);
  }
  if (flags.insecure) keys.emplace_back("server.insecure", "true");
  for (const std::string& pair : flags.set) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) {
      return Status::InvalidArgument(
          "--set \"" + pair + "\" has no value",
          "write --set KEY=VALUE, for example --set logging.format=json");
    }
    keys.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return keys;
}

Result<server::ConfigSet::Inputs> InputsOf(Session& session, const StartFlags& flags) {
  server::ConfigSet::Inputs inputs = ConfigInputs(session, flags.server);
  ENGRAM_ASSIGN_OR_RETURN(const Pairs keys, CommandLineKeys(flags));
  inputs.command_line.insert(inputs.command_line.end(), keys.begin(), keys.end());
  return inputs;
}

// Whether it is the flags that are wrong: a key, or a value that no file would be allowed either.
bool IsWrongUsage(Session& session, const StartFlags& flags) {
  const auto inputs = InputsOf(session, flags);
  if (!inputs.ok()) return true;
  return !server::ConfigSet::Load(*inputs).ok() &&
         server::ConfigSet::Load(ConfigInputs(session, flags.server)).ok();
}

Result<server::ServerOptions> OptionsOf(Session& session, const StartFlags& flags) {
  server::ServerOptions options;
  ENGRAM_ASSIGN_OR_RETURN(options.inputs, InputsOf(session, flags));
  options.version = ENGRAM_VERSION;
  ENGRAM_ASSIGN_OR_RETURN(const auto set, server::ConfigSet::Load(options.inputs));
  const server::Config config = set.config();
  ENGRAM_TRY(server::CheckServable(config));
  ENGRAM_ASSIGN_OR_RETURN(options.plugin_path, session.PluginPath(config.storage.plugin));
  return options;
}

Status SayStarted(Console& console, const std::string& url, uint16_t port) {
  if (console.json()) {
    const Report report = {
        {"ok", true}, {"status", "started"}, {"pid", getpid()}, {"port", port}, {"url", url}};
    return console.Write(Dump(report) + "\n");
  }
  if (console.quiet()) return Status::Ok();
  // Upstream's lines: scripts look for them.
  return console.Write(" Engram server started successfully!\n HTTP API: " + url +
                       "\n Health: " + url + "/health\n API Docs: " + url + "/docs\n");
}

}  // namespace

int ServerStart(Session& session, const StartFlags& flags) {
  Console& console = session.console();
  auto options = OptionsOf(session, flags);
  if (!options.ok() && IsWrongUsage(session, flags)) return console.FailUsage(options.status());
  if (!options.ok()) return console.Fail(options.status());
  bool started = false;
  options->stop_is_asked = [] { return CancelFlag().load(); };
  options->started = [&](const std::string& url, uint16_t port) {
    started = true;
    IgnoreError(SayStarted(console, url, port), "the server serves, whoever reads its output");
  };
  Status served = server::RunServer(*options);
  if (served.ok()) return kExitDone;
  if (!started || !console.json()) return console.Fail(served);
  // The one object on stdout is out already; the log has the details.
  return kExitFailed;
}

}  // namespace engram::cli
