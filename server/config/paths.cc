#include "server/config/paths.h"

#include <cstdlib>

#include "base/file_system.h"

namespace engram::server {
namespace {

std::string Lookup(const std::map<std::string, std::string>& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

}  // namespace

std::optional<std::string> UserConfigPath(const std::map<std::string, std::string>& environment) {
  std::string folder = Lookup(environment, "XDG_CONFIG_HOME");
  if (folder.empty()) {
    const std::string home = Lookup(environment, "HOME");
    if (home.empty()) return std::nullopt;
    folder = JoinPath(home, ".config");
  }
  return JoinPath(folder, "engram/config.toml");
}

std::string ControlFolder(const std::string& data_root) { return JoinPath(data_root, ".engram"); }

std::string RuntimeFilePath(const std::string& data_root) {
  return JoinPath(ControlFolder(data_root), "runtime.toml");
}

std::string PidFilePath(const Config& config) {
  if (!config.server.pid_file.empty()) return config.server.pid_file;
  const char* folder = std::getenv("TMPDIR");
  return JoinPath(folder == nullptr || *folder == '\0' ? "/tmp" : folder, "engram.pid");
}

std::string WithHome(const std::string& path,
                     const std::map<std::string, std::string>& environment) {
  const std::string home = Lookup(environment, "HOME");
  if (!path.starts_with("~/") || home.empty()) return path;
  return JoinPath(home, path.substr(2));
}

}  // namespace engram::server
