#include "cli/server_link.h"

#include <unistd.h>

#include <cerrno>

#include "base/file_system.h"
#include "server/config/paths.h"

extern char** environ;

namespace engram::cli {
namespace {

using server::ConfigSet;

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

// A server that listens everywhere is reached through the loopback.
std::string ReachableAddress(const std::string& bind) {
  if (bind == "0.0.0.0") return "127.0.0.1";
  return bind == "::" ? "::1" : bind;
}

std::string TextOf(const JsonTree& tree, const char* key) {
  const auto found = tree.find(key);
  return found != tree.end() && found->is_string() ? found->get<std::string>() : "";
}

bool IsSetting(const JsonTree& tree) {
  if (!tree.is_object()) return false;
  const auto value = tree.find("value");
  return value != tree.end() && value->is_string();
}

Status Unreadable(std::string_view subject) {
  return Status::Io("the server's reply about " + std::string(subject) + " cannot be read",
                    "check that the server and this program are of one version");
}

StatusCode CodeOf(int status) {
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return StatusCode::kInvalidArgument;
    case 401:
    case 403:
    case 409:
      return StatusCode::kFailedPrecondition;
    case 404:
      return StatusCode::kNotFound;
    case 503:
      return StatusCode::kBusy;
    default:
      return StatusCode::kIo;
  }
}

Result<ConfigSet> LoadReadable(ConfigSet::Inputs inputs) {
  auto loaded = ConfigSet::Load(inputs);
  if (loaded.ok() || loaded.status().os_errno() != EACCES || inputs.runtime_file == "") {
    return loaded;
  }
  // Another user's server: what was set there at run time is not for us, where it is may be.
  inputs.runtime_file = "";
  return ConfigSet::Load(inputs);
}

}  // namespace

ConfigSet::Inputs ConfigInputs(const Session& session, const ServerFlags& flags) {
  ConfigSet::Inputs inputs;
  inputs.environment = Environment();
  const auto named = inputs.environment.find("ENGRAM_CONFIG_PATH");
  if (flags.config_file) {
    inputs.file = flags.config_file;
  } else if (named != inputs.environment.end() && !named->second.empty()) {
    inputs.file = named->second;
  } else if (const auto own = server::UserConfigPath(inputs.environment)) {
    if (Exists(FileSystem::Posix(), *own)) inputs.file = own;
  }
  if (session.data_root_flag()) {
    inputs.command_line.emplace_back("storage.data_root", *session.data_root_flag());
  }
  if (flags.pid_file) inputs.command_line.emplace_back("server.pid_file", *flags.pid_file);
  return inputs;
}

Result<std::unique_ptr<ServerLink>> ServerLink::Make(ConfigSet::Inputs inputs) {
  ENGRAM_ASSIGN_OR_RETURN(ConfigSet config, LoadReadable(inputs));
  ENGRAM_ASSIGN_OR_RETURN(const server::Source root, config.SourceOf("storage.data_root"));
  server::FoundServer found =
      server::FindServer(config.config(), /*any_root=*/root == server::Source::kDefault);
  if (found.process != nullptr && found.data_root != config.config().storage.data_root) {
    // What was set at run time lies in the data root that it was set for.
    inputs.runtime_file = server::RuntimeFilePath(found.data_root);
    ENGRAM_ASSIGN_OR_RETURN(config, LoadReadable(inputs));
  }
  return std::unique_ptr<ServerLink>(new ServerLink(std::move(config), std::move(found)));
}

std::string ServerLink::data_root() const {
  return running() ? found_.data_root : config_.config().storage.data_root;
}

Result<std::unique_ptr<ServerLink>> ServerLink::Open(Session& session, const ServerFlags& flags) {
  ENGRAM_ASSIGN_OR_RETURN(auto link, Make(ConfigInputs(session, flags)));
  session.UseDataRoot(link->data_root());
  return link;
}

Result<std::unique_ptr<ServerLink>> ServerLink::OpenFor(Session& session) {
  ConfigSet::Inputs inputs = ConfigInputs(session, {});
  inputs.command_line = {{"storage.data_root", session.data_root()}};
  return Make(inputs);
}

Result<HttpReply> ServerLink::Send(const std::string& method, const std::string& target,
                                   const std::string& body, uint32_t deadline_ms) const {
  const server::Config config = config_.config();
  return cli::Send({.address = ReachableAddress(found_.address),
                    .port = found_.record.http_port,
                    .method = method,
                    .target = target,
                    .body = body,
                    .api_key = config.server.api_key,
                    .deadline_ms = deadline_ms});
}

Result<JsonTree> ServerLink::Call(const std::string& method, const std::string& target,
                                  const JsonTree& body, uint32_t deadline_ms) const {
  const std::string text =
      body.is_null() ? "" : body.dump(-1, ' ', false, JsonTree::error_handler_t::replace);
  ENGRAM_ASSIGN_OR_RETURN(const HttpReply reply, Send(method, target, text, deadline_ms));
  if (reply.status < 200 || reply.status > 299) return ReplyError(reply);
  JsonTree tree = JsonTree::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (tree.is_discarded()) {
    return Status::Io("the server's reply to " + method + " " + target + " is not JSON",
                      "check that the server and this program are of one version");
  }
  return tree;
}

Result<JsonTree> ServerLink::Setting(std::string_view key) const {
  ENGRAM_ASSIGN_OR_RETURN(JsonTree setting,
                          Call("GET", "/api/v1/admin/config/" + PercentEncoded(key)));
  if (IsSetting(setting)) return setting;
  return Unreadable(key);
}

Result<JsonTree> ServerLink::Settings() const {
  ENGRAM_ASSIGN_OR_RETURN(JsonTree all, Call("GET", "/api/v1/admin/config"));
  const auto settings = all.find("settings");
  if (settings == all.end() || !settings->is_array()) return Unreadable("its configuration");
  for (const JsonTree& setting : *settings) {
    if (!IsSetting(setting)) return Unreadable("its configuration");
  }
  return std::move(*settings);
}

Status ReplyError(const HttpReply& reply) {
  const std::string fallback = "the server answered " + std::to_string(reply.status);
  const JsonTree tree = JsonTree::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  std::string message;
  std::string hint;
  if (tree.is_object() && tree.contains("error") && tree["error"].is_object()) {
    message = TextOf(tree["error"], "message");
    hint = TextOf(tree["error"], "cognitive_guidance");
  }
  if (reply.status == 401) {
    hint = "set server.api_key (ENGRAM_SERVER_API_KEY) as the server has it";
  }
  return Status(CodeOf(reply.status), message.empty() ? fallback : message, hint);
}

}  // namespace engram::cli
