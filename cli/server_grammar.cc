#include "cli/server_grammar.h"

#include <CLI/CLI.hpp>

namespace engram::cli {
namespace {

void AddConfigFlag(CLI::App* command, ServerFlags* flags) {
  command->add_option("--config", flags->config_file,
                      "Configuration file (else ENGRAM_CONFIG_PATH, else "
                      "~/.config/engram/config.toml if it is there)");
}

void AddPidFlag(CLI::App* command, ServerFlags* flags) {
  command->add_option("--pid-file", flags->pid_file,
                      "File that holds PID:HTTP_PORT (else ENGRAM_PID_PATH, else engram.pid in the "
                      "temporary folder)");
}

void AddStart(CLI::App& app, const GrammarHooks& hooks, StartFlags* flags) {
  CLI::App* start = app.add_subcommand(
      "start", "Serve every space below the data root over HTTP, until it is stopped");
  AddConfigFlag(start, &flags->server);
  start->add_option("-p,--port,--http-port", flags->port, "Port to listen on (default 7432)");
  start->add_option("--bind", flags->bind, "Address to listen on (default 127.0.0.1)");
  start->add_flag("--insecure", flags->insecure,
                  "Listen beyond this machine without an API key: whoever reaches it rules it");
  start->add_option("--dual-memory-types", flags->dual_memory_types,
                    "The flag, true or false; fixed as long as this server runs");
  start->add_option("--set", flags->set, "KEY=VALUE for any key of the configuration; repeatable");
  AddPidFlag(start, &flags->server);
  start->add_option("-g,--grpc-port", flags->grpc_port, "Accepted; there is no gRPC listener");
  hooks.example(start,
                "engram start --data-root /var/lib/engram\n"
                "  ENGRAM_FEATURES_DUAL_MEMORY_TYPES=true engram start --config engram.toml");
  hooks.runs(start, [flags](Session& s) { return ServerStart(s, *flags); });
}

void AddStopAndStatus(CLI::App& app, const GrammarHooks& hooks, ServerGrammarFlags* flags) {
  CLI::App* stop = app.add_subcommand("stop", "End the server of the data root in order");
  AddConfigFlag(stop, &flags->stop.server);
  stop->add_flag("--force", flags->stop.force, "Kill it if it does not react");
  AddPidFlag(stop, &flags->stop.server);
  hooks.example(stop, "engram stop --data-root /var/lib/engram");
  hooks.runs(stop, [flags](Session& s) { return ServerStop(s, flags->stop); });

  CLI::App* status = app.add_subcommand(
      "status", "Whether the server answers, and the state of its spaces; 0 only when online");
  AddConfigFlag(status, &flags->status.server);
  AddPidFlag(status, &flags->status.server);
  status->add_flag("--watch", flags->status.watch, "Again and again, until interrupted");
  status
      ->add_option("--wait", flags->status.wait_seconds,
                   "Seconds to wait for a server that is starting (default 0)")
      ->check(CLI::Range(0u, 86'400u));
  hooks.example(status, "engram status --json\n  engram start & engram status --wait 30");
  hooks.runs(status, [flags](Session& s) { return ServerStatus(s, flags->status); });
}

void AddConfig(CLI::App& app, const GrammarHooks& hooks, ConfigFlags* flags) {
  CLI::App* config = app.add_subcommand("config", "Show and change the server's configuration");
  config->require_subcommand(1);
  hooks.example(config, "engram config list");
  AddConfigFlag(config, &flags->server);

  CLI::App* get = config->add_subcommand("get", "The value of a key");
  get->add_option("key", flags->key, "section.key")->required();
  hooks.example(get, "engram config get features.dual_memory_types");
  hooks.runs(get, [flags](Session& s) { return ConfigGet(s, *flags); });

  CLI::App* set = config->add_subcommand(
      "set", "Change a key: in the running server if it can, else in the file");
  set->add_option("key", flags->key, "section.key")->required();
  set->add_option("value", flags->value, "Its new value; lists by commas")->required();
  hooks.example(set, "engram config set features.dual_memory_types true");
  hooks.runs(set, [flags](Session& s) { return ConfigSetValue(s, *flags); });

  CLI::App* list = config->add_subcommand("list", "Every key, its value and where it comes from");
  list->add_option("--section", flags->section, "Only this section");
  hooks.example(list, "engram config list --section migration");
  hooks.runs(list, [flags](Session& s) { return ConfigList(s, *flags); });

  CLI::App* path = config->add_subcommand("path", "The file that is read and changed");
  hooks.example(path, "engram config path");
  hooks.runs(path, [flags](Session& s) { return ConfigPath(s, *flags); });
}

void AddValidate(CLI::App& app, const GrammarHooks& hooks, std::string* file) {
  CLI::App* validate = app.add_subcommand("validate", "Check without changing anything");
  validate->require_subcommand(1);
  hooks.example(validate, "engram validate config engram.toml");
  CLI::App* config = validate->add_subcommand(
      "config", "Everything that is wrong with a configuration file; 1 if the server refuses it");
  config->add_option("file", *file, "The file")->required();
  hooks.example(config, "engram validate config engram.toml");
  hooks.runs(config, [file](Session& s) { return ValidateConfig(s, *file); });
}

}  // namespace

void AddServerCommands(CLI::App& app, const GrammarHooks& hooks, ServerGrammarFlags* flags) {
  AddStart(app, hooks, &flags->start);
  AddStopAndStatus(app, hooks, flags);
  AddConfig(app, hooks, &flags->config);
  AddValidate(app, hooks, &flags->file);
}

}  // namespace engram::cli
