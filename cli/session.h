// What every command shares: the global flags after validation, and the way to the engine.
#ifndef ENGRAM_CLI_SESSION_H_
#define ENGRAM_CLI_SESSION_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "cli/console.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::cli {

// As given on the command line.
struct GlobalFlags {
  std::optional<std::string> data_root;
  std::optional<std::string> space;
  std::optional<std::string> plugin;
  std::string log_level = "warn";
  std::string log_io = "auto";
  bool all_spaces = false;
  bool json = false;
  bool quiet = false;
};

class Session {
 public:
  // Applies the environment and the defaults. kInvalidArgument is wrong usage. `command_line` is
  // the whole of argv, for the text that says how to resume.
  static Result<std::unique_ptr<Session>> Make(const GlobalFlags& flags, Console& console,
                                               std::vector<std::string> command_line);

  Console& console() { return console_; }
  const std::string& data_root() const { return data_root_; }
  // As given with --data-root.
  const std::optional<std::string>& data_root_flag() const { return data_root_flag_; }
  // For commands that take their data root from the server's configuration too. REQUIRES: no engine
  // is open yet.
  void UseDataRoot(const std::string& data_root) { data_root_ = data_root; }
  // The engine's library: --plugin, ENGRAM_STORAGE_PLUGIN, `configured` unless it is empty, else
  // the installed one.
  Result<std::string> PluginPath(const std::string& configured) const;
  // The space of --space, else "default".
  const std::string& space() const { return space_; }
  bool space_given() const { return space_given_; }
  bool all_spaces() const { return all_spaces_; }
  // This command, quoted for a shell; with `flag` (unless empty) if it is not there already.
  std::string CommandLine(const std::string& flag) const;

  // Loads the plugin once.
  Result<std::shared_ptr<plugin::Engine>> OpenEngine();
  Result<std::unique_ptr<plugin::Space>> OpenSpace(uint32_t access);
  // The spaces the command is about: --space, or with --all-spaces every one below the data root.
  Result<std::vector<std::string>> Spaces();

 private:
  explicit Session(Console& console) : console_(console) {}

  Console& console_;
  std::unique_ptr<Logger> logger_;
  std::string data_root_;
  std::optional<std::string> data_root_flag_;
  std::string space_;
  std::string plugin_path_;
  uint32_t log_io_ = ENGRAM_SE_LOG_IO_AUTO;
  bool space_given_ = false;
  bool all_spaces_ = false;
  std::vector<std::string> command_line_;
  std::shared_ptr<plugin::Engine> engine_;
};

// Absolute path of `relative` below the folder of the running program.
Result<std::string> BesideProgram(const std::string& relative);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_SESSION_H_
