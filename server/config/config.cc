#include "server/config/config.h"

#include <arpa/inet.h>

#include "base/file_system.h"
#include "base/mutex.h"
#include "server/config/layers.h"
#include "server/config/paths.h"
#include "server/config/toml_file.h"
#include "server/config/value.h"

namespace engram::server {
namespace {

constexpr char kRuntimeHeader[] =
    "# What was set while the server ran. A line that is removed gives its key back to the\n"
    "# configuration file at the next start or SIGHUP.\n\n";
constexpr std::string_view kHidden = "(set)";

std::string TextOf(const Layer& layer, const std::string& key, const std::string& otherwise) {
  const auto found = layer.find(key);
  return found == layer.end() ? otherwise : found->second.text;
}

bool IsLoopback(const std::string& address) {
  in_addr v4{};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace

std::string_view SourceName(Source source) {
  switch (source) {
    case Source::kDefault:
      return "default";
    case Source::kFile:
      return "file";
    case Source::kRuntime:
      return "run time";
    case Source::kEnvironment:
      return "environment";
    case Source::kCommandLine:
      return "command line";
  }
  return "default";
}

Status CheckServable(const Config& config) {
  if (config.security.auth_mode == "api_key" && config.server.api_key.empty()) {
    return Status::FailedPrecondition(
        "security.auth_mode is \"api_key\" and server.api_key is not set",
        "set server.api_key in the configuration file or ENGRAM_SERVER_API_KEY; keys of upstream's "
        "database are not read");
  }
  if (!IsLoopback(config.server.http_bind) && config.server.api_key.empty() &&
      !config.server.insecure) {
    return Status::FailedPrecondition(
        "server.http_bind " + config.server.http_bind +
            " can be reached from other machines and no API key is set",
        "set server.api_key (ENGRAM_SERVER_API_KEY), listen on 127.0.0.1, or start with --insecure "
        "if everyone who reaches the port may read, write and stop the server");
  }
  return Status::Ok();
}

// Everything but `mutex` is guarded by it; `changing` serializes those who write files.
struct ConfigSet::State {
  Mutex changing;
  mutable Mutex mutex;
  Inputs inputs;
  std::string file;
  std::string runtime_file;
  Layer values;
  Layer runtime;  // as in the run-time file
  Config config;
  std::vector<std::string> notes;

  Status Build();
  Status ReadFiles(Layer* file_layer, const Layer& environment, const Layer& command_line);
  void NoteHidden(const Layer& lower, Source higher);
  void Fill();
};

Status ConfigSet::State::ReadFiles(Layer* file_layer, const Layer& environment,
                                   const Layer& command_line) {
  if (inputs.file) {
    auto layer = ReadLayer(*inputs.file, Source::kFile);
    if (!layer.ok()) {
      return layer.status()
          .WithContext("configuration file")
          .WithHint("name a readable file with --config or ENGRAM_CONFIG_PATH");
    }
    ENGRAM_TRY(FirstFault(layer->faults, *inputs.file));
    *file_layer = std::move(layer->values);
    notes = std::move(layer->notes);
    file = *inputs.file;
  }
  std::string root = TextOf(*file_layer, "storage.data_root", Config{}.storage.data_root);
  root = TextOf(command_line, "storage.data_root", TextOf(environment, "storage.data_root", root));
  runtime_file = inputs.runtime_file ? *inputs.runtime_file
                                     : RuntimeFilePath(WithHome(root, inputs.environment));
  if (runtime_file.empty()) return Status::Ok();
  auto layer = ReadLayer(runtime_file, Source::kRuntime);
  if (!layer.ok()) {
    // A data root that is a file is refused by whoever opens it, with better words.
    const bool none =
        layer.status().code() == StatusCode::kNotFound || layer.status().os_errno() == ENOTDIR;
    return none ? Status::Ok() : layer.status().WithContext("what was set at run time");
  }
  ENGRAM_TRY(FirstFault(layer->faults, runtime_file));
  runtime = std::move(layer->values);
  return Status::Ok();
}

void ConfigSet::State::NoteHidden(const Layer& lower, Source higher) {
  for (const auto& [key, value] : lower) {
    const Value& wins = values.at(key);
    if (wins.source < higher || wins.text == value.text) continue;
    notes.push_back(value.origin + ": " + key + " has no effect, " + wins.origin + " wins");
  }
}

void ConfigSet::State::Fill() {
  config = Config{};
  for (const auto& [name, value] : values) Apply(*FindKey(name), value.text, &config);
  config.storage.data_root = WithHome(config.storage.data_root, inputs.environment);
}

Status ConfigSet::State::Build() {
  Layer file_layer;
  Layer command_line;
  ENGRAM_ASSIGN_OR_RETURN(const Layer environment, EnvironmentLayer(inputs.environment));
  for (const auto& [key, text] : inputs.command_line) {
    ENGRAM_TRY(AddText(key, text, Source::kCommandLine, "the command line", &command_line));
  }
  ENGRAM_TRY(ReadFiles(&file_layer, environment, command_line));
  for (const KeyInfo& key : Keys()) {
    if (key.field != nullptr) {
      values[std::string(key.name)] = {DefaultText(key), Source::kDefault, ""};
    }
  }
  const Layer* const layers[] = {&file_layer, &runtime, &environment, &command_line};
  for (const Layer* layer : layers) {
    for (const auto& [key, value] : *layer) values[key] = value;
  }
  // A file below the environment is how they are meant to be used; these two surprise.
  NoteHidden(runtime, Source::kEnvironment);
  for (const auto& [key, value] : runtime) {
    if (file_layer.count(key) != 0) NoteHidden({{key, file_layer.at(key)}}, Source::kRuntime);
  }
  NoteNearVariables(inputs.environment, &notes);
  Fill();
  return Status::Ok();
}

ConfigSet::ConfigSet(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigSet::ConfigSet(ConfigSet&&) noexcept = default;
ConfigSet& ConfigSet::operator=(ConfigSet&&) noexcept = default;
ConfigSet::~ConfigSet() = default;

Result<ConfigSet> ConfigSet::Load(const Inputs& inputs) {
  auto state = std::make_unique<State>();
  state->inputs = inputs;
  ENGRAM_TRY(state->Build());
  return ConfigSet(std::move(state));
}

Result<ConfigSet::FileReport> ConfigSet::Validate(const std::string& file) {
  ENGRAM_ASSIGN_OR_RETURN(FileLayer layer, ReadLayer(file, Source::kFile));
  FileReport report;
  for (const Status& fault : layer.faults) report.faults.push_back(fault.message());
  report.warnings = std::move(layer.notes);
  if (!report.faults.empty()) return report;
  Config config;
  for (const auto& [name, value] : layer.values) Apply(*FindKey(name), value.text, &config);
  Status servable = CheckServable(config);
  if (!servable.ok()) {
    report.warnings.push_back(file + ": on its own it does not start: " + servable.message() +
                              "; " + servable.hint());
  }
  return report;
}

Config ConfigSet::config() const {
  MutexLock lock(state_->mutex);
  return state_->config;
}

Result<std::string> ConfigSet::Get(std::string_view key) const {
  if (FindKey(key) == nullptr) {
    return UnknownKey(StatusCode::kNotFound, "", std::string(key));
  }
  MutexLock lock(state_->mutex);
  return TextOf(state_->values, std::string(key), "");
}

Result<Source> ConfigSet::SourceOf(std::string_view key) const {
  ENGRAM_TRY(Get(key).status());
  MutexLock lock(state_->mutex);
  const auto found = state_->values.find(std::string(key));
  return found == state_->values.end() ? Source::kDefault : found->second.source;
}

Result<std::string> ConfigSet::OriginOf(std::string_view key) const {
  ENGRAM_TRY(Get(key).status());
  MutexLock lock(state_->mutex);
  const auto found = state_->values.find(std::string(key));
  return found == state_->values.end() ? std::string() : found->second.origin;
}

std::vector<std::pair<std::string, std::string>> ConfigSet::All() const {
  MutexLock lock(state_->mutex);
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [name, value] : state_->values) {
    const bool hidden = FindKey(name)->secret && !value.text.empty();
    all.emplace_back(name, hidden ? std::string(kHidden) : value.text);
  }
  return all;
}

std::vector<std::string> ConfigSet::Notes() const {
  MutexLock lock(state_->mutex);
  return state_->notes;
}

const std::string& ConfigSet::file() const { return state_->file; }
const std::string& ConfigSet::runtime_file() const { return state_->runtime_file; }

namespace {

Status CheckChangeable(const KeyInfo& key) {
  if (key.change == Change::kRunTime) return Status::Ok();
  const std::string name(key.name);
  if (key.field == nullptr) {
    return Status::FailedPrecondition(name + " has no effect: " + std::string(key.text),
                                      "nothing needs to be set");
  }
  if (key.change == Change::kReload) {
    return Status::FailedPrecondition(name + " is taken from the configuration file alone",
                                      "change the file, then send the server SIGHUP");
  }
  return Status::FailedPrecondition(name + " cannot change while the server runs",
                                    "change the configuration file, then restart the server");
}

Status WriteRuntimeFile(const std::string& path, const Layer& runtime) {
  std::map<std::string, std::string> literals;
  for (const auto& [name, value] : runtime) {
    literals[name] = TomlLiteral(*FindKey(name), value.text);
  }
  const std::string text = kRuntimeHeader + ToTomlText(literals);
  FileSystem& fs = FileSystem::Posix();
  ENGRAM_TRY(CreateDirectories(fs, ParentPath(path)));
  return ReplaceFileDurably(fs, path, AsBytes(text));
}

}  // namespace

Status ConfigSet::SetRuntime(std::string_view key, std::string_view value) {
  return SetRuntime(Changes{{std::string(key), std::string(value)}});
}

Status ConfigSet::SetRuntime(const Changes& changes) {
  if (changes.empty()) return Status::Ok();
  Changes canonical;
  for (const auto& [name, value] : changes) {
    ENGRAM_TRY(Get(name).status());
    const KeyInfo& info = *FindKey(name);
    ENGRAM_TRY(CheckChangeable(info));
    ENGRAM_ASSIGN_OR_RETURN(std::string text, Canonical(info, value));
    canonical.emplace_back(name, std::move(text));
  }
  MutexLock changing(state_->changing);
  Layer runtime;
  {
    MutexLock lock(state_->mutex);
    runtime = state_->runtime;
    for (auto& [name, text] : canonical) {
      const Value& now = state_->values.at(name);
      if (now.source > Source::kRuntime) {
        return Status::FailedPrecondition(
            name + " is fixed by " + now.origin + ", which wins over what is set at run time",
            "start the server without it to change the key while it runs");
      }
      runtime[name] = {std::move(text), Source::kRuntime, state_->runtime_file};
    }
  }
  if (!state_->runtime_file.empty()) {
    ENGRAM_TRY(WriteRuntimeFile(state_->runtime_file, runtime));
  }
  MutexLock lock(state_->mutex);
  for (const auto& [name, text] : canonical) state_->values[name] = runtime[name];
  state_->runtime = std::move(runtime);
  state_->Fill();
  return Status::Ok();
}

Result<std::vector<std::string>> ConfigSet::Reload() {
  MutexLock changing(state_->changing);
  State fresh;
  fresh.inputs = state_->inputs;
  fresh.inputs.runtime_file = state_->runtime_file;  // the data root does not move
  ENGRAM_TRY(fresh.Build());
  MutexLock lock(state_->mutex);
  std::vector<std::string> changed;
  for (auto& [name, value] : fresh.values) {
    const auto old = state_->values.find(name);
    const bool same = old != state_->values.end() && old->second.text == value.text;
    const KeyInfo& key = *FindKey(name);
    if (same || key.field == nullptr) continue;
    if (key.change == Change::kRestart) {
      fresh.notes.push_back(value.origin + (value.origin.empty() ? "" : ": ") + name +
                            " changed and takes effect at the next start");
      value = old->second;
    } else {
      changed.push_back(name);
    }
  }
  fresh.Fill();
  ENGRAM_TRY(CheckServable(fresh.config));  // a lost key must not mean an open server
  state_->values = std::move(fresh.values);
  state_->runtime = std::move(fresh.runtime);
  state_->notes = std::move(fresh.notes);
  state_->Fill();
  return changed;
}

}  // namespace engram::server
