#include "cli/session.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "base/ids.h"

namespace engram::cli {
namespace {

constexpr char kDefaultDataRoot[] = "./engram-data";
constexpr char kDefaultSpace[] = "default";
constexpr char kPluginName[] = "libengram_dual.so";

std::optional<std::string> FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

Result<uint32_t> ParseLogIoFlag(const std::string& name) {
  if (name == "auto") return ENGRAM_SE_LOG_IO_AUTO;
  if (name == "uring") return ENGRAM_SE_LOG_IO_URING;
  if (name == "pwrite") return ENGRAM_SE_LOG_IO_PWRITE;
  return Status::InvalidArgument("unknown --log-io \"" + name + "\"",
                                 "use one of auto, uring, pwrite");
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

// The engine of this installation: the folder that the build knows, else ../lib.
Result<std::string> InstalledPlugin() {
  ENGRAM_ASSIGN_OR_RETURN(const std::string built_in,
                          BesideProgram(std::string(ENGRAM_PLUGIN_FOLDER) + "/" + kPluginName));
  if (access(built_in.c_str(), F_OK) == 0) return built_in;
  return BesideProgram(std::string("../lib/") + kPluginName);
}

bool IsPlainWord(const std::string& word) {
  return !word.empty() && word.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "-_=./,:@+%") == std::string::npos;
}

std::string ShellQuoted(const std::string& word) {
  if (IsPlainWord(word)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

Result<std::string> BesideProgram(const std::string& relative) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Status::FromErrno(error.value(), "read /proc/self/exe");
  return (program.parent_path() / relative).lexically_normal().string();
}

Result<std::unique_ptr<Session>> Session::Make(const GlobalFlags& flags, Console& console,
                                               std::vector<std::string> command_line) {
  std::unique_ptr<Session> session(new Session(console));
  ENGRAM_ASSIGN_OR_RETURN(const LogLevel level, ParseLogLevel(flags.log_level));
  session->logger_ = MakeStderrLogger(level);
  ENGRAM_ASSIGN_OR_RETURN(session->log_io_, ParseLogIoFlag(flags.log_io));
  ENGRAM_ASSIGN_OR_RETURN(const SpaceId space, SpaceId::Parse(flags.space.value_or(kDefaultSpace)));
  session->space_ = space.str();
  session->space_given_ = flags.space.has_value();
  session->all_spaces_ = flags.all_spaces;
  if (flags.all_spaces && flags.space) {
    return Status::InvalidArgument("--space and --all-spaces exclude each other", "give one");
  }
  session->data_root_flag_ = flags.data_root;
  session->data_root_ = flags.data_root.value_or(
      FromEnvironment("ENGRAM_DATA_DIR").value_or(std::string(kDefaultDataRoot)));
  if (session->data_root_.empty()) {
    return Status::InvalidArgument("--data-root is empty", "name the folder that holds the spaces");
  }
  const auto plugin = flags.plugin ? flags.plugin : FromEnvironment("ENGRAM_STORAGE_PLUGIN");
  if (plugin) session->plugin_path_ = Absolute(*plugin);
  session->command_line_ = std::move(command_line);
  return session;
}

Result<std::string> Session::PluginPath(const std::string& configured) const {
  if (!plugin_path_.empty()) return plugin_path_;
  return configured.empty() ? InstalledPlugin() : Result<std::string>(Absolute(configured));
}

Result<std::shared_ptr<plugin::Engine>> Session::OpenEngine() {
  if (engine_ != nullptr) return engine_;
  ENGRAM_ASSIGN_OR_RETURN(plugin_path_, PluginPath(""));
  ENGRAM_ASSIGN_OR_RETURN(auto library, plugin::Plugin::Load(plugin_path_, *logger_));
  ENGRAM_ASSIGN_OR_RETURN(
      engine_,
      plugin::Engine::Open(std::move(library), {.data_root = data_root_, .log_io = log_io_}));
  return engine_;
}

Result<std::unique_ptr<plugin::Space>> Session::OpenSpace(uint32_t access) {
  ENGRAM_ASSIGN_OR_RETURN(auto engine, OpenEngine());
  return engine->OpenSpace({.space = space_, .access = access});
}

Result<std::vector<std::string>> Session::Spaces() {
  if (!all_spaces_) return std::vector<std::string>{space_};
  ENGRAM_ASSIGN_OR_RETURN(auto engine, OpenEngine());
  return engine->ListSpaces();
}

std::string Session::CommandLine(const std::string& flag) const {
  std::string command;
  bool has_flag = flag.empty();
  for (const std::string& word : command_line_) {
    has_flag = has_flag || word == flag;
    command += (command.empty() ? "" : " ") + ShellQuoted(word);
  }
  return has_flag ? command : command + " " + flag;
}

}  // namespace engram::cli
