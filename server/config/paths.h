// Where the configuration, what was set at run time, and the pid file lie.
#ifndef ENGRAM_SERVER_CONFIG_PATHS_H_
#define ENGRAM_SERVER_CONFIG_PATHS_H_

#include <map>
#include <optional>
#include <string>

#include "server/config/config.h"

namespace engram::server {

// $XDG_CONFIG_HOME/engram/config.toml, else ~/.config/engram/config.toml, as upstream has it;
// nullopt without a home.
std::optional<std::string> UserConfigPath(const std::map<std::string, std::string>& environment);

// Below the data root. No space can have this name: the first character is a dot.
std::string ControlFolder(const std::string& data_root);
std::string RuntimeFilePath(const std::string& data_root);

// server.pid_file, else engram.pid in $TMPDIR or /tmp, where upstream's scripts look for it.
std::string PidFilePath(const Config& config);

// "~/x" with the home of `environment`; other texts as they are.
std::string WithHome(const std::string& path,
                     const std::map<std::string, std::string>& environment);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_CONFIG_PATHS_H_
