#include "cli/config_commands.h"

#include <sys/stat.h>

#include <filesystem>

#include "cli/report_output.h"
#include "server/config/key_table.h"
#include "server/config/paths.h"
#include "server/config/toml_file.h"
#include "server/config/value.h"

namespace engram::cli {
namespace {

using server::Change;
using server::ConfigSet;
using server::KeyInfo;
using server::KeyType;
using server::Source;

constexpr uint64_t kFileSizeBytesMax = 1 << 20;

// The JSON value that the canonical text stands for.
Report Typed(const KeyInfo& key, const std::string& text) {
  if (text.empty() && key.field == nullptr) return nullptr;
  switch (key.type) {
    case KeyType::kBool:
    case KeyType::kInteger:
    case KeyType::kNumber:
      return Report::parse(text, nullptr, /*allow_exceptions=*/false);
    case KeyType::kTextList:
      return server::SplitList(text);
    case KeyType::kText:
    case KeyType::kAny:
      break;
  }
  return text;
}

Report ValueReport(const ConfigSet& config, const std::string& name, const std::string& text) {
  const KeyInfo& key = *server::FindKey(name);
  const auto source = config.SourceOf(name);
  const auto origin = config.OriginOf(name);
  Report report = {{"key", name}, {"value", key.secret ? Report(text) : Typed(key, text)}};
  report["source"] = source.ok() ? std::string(server::SourceName(*source)) : "";
  report["origin"] = origin.ok() && !origin->empty() ? Report(*origin) : Report(nullptr);
  return report;
}

// What scripts want to catch goes to stdout also without --json.
int PrintValue(Console& console, const Report& report, const std::string& text) {
  if (console.json()) return PrintReport(console, report, PlainText);
  Status written = console.Write(text + "\n");
  return written.ok() ? kExitDone : console.Fail(written);
}

// The file that this invocation reads, else the user's own.
Result<std::string> OwnFile(const Session& session, const ServerFlags& flags) {
  const ConfigSet::Inputs inputs = ConfigInputs(session, flags);
  if (inputs.file) return *inputs.file;
  if (const auto own = server::UserConfigPath(inputs.environment)) return *own;
  return Status::FailedPrecondition("there is no home folder to keep a configuration file in",
                                    "name the file with --config or ENGRAM_CONFIG_PATH");
}

// The file that a change goes to: the one that is named, else the one that the running server
// reads.
Result<std::string> FileToChange(const Session& session, const ServerLink& link,
                                 const ServerFlags& flags) {
  const auto environment = ConfigInputs(session, flags).environment;
  const auto named = environment.find("ENGRAM_CONFIG_PATH");
  const bool is_named = flags.config_file || (named != environment.end() && !named->second.empty());
  const auto& of_server = link.server_config_file();
  if (!is_named && of_server && !of_server->empty()) return *of_server;
  return OwnFile(session, flags);
}

bool SameFile(const std::string& one, const std::string& other) {
  std::error_code error;
  return std::filesystem::equivalent(one, other, error) && !error;
}

// What an operator may not expect of a change that went to `path`; "" if there is nothing.
std::string NoteOn(const ServerLink& link, const KeyInfo& key, const std::string& path) {
  const auto& of_server = link.server_config_file();
  if (link.running() && of_server && !SameFile(*of_server, path)) {
    return "the running server, process " + std::to_string(link.process()->pid()) +
           (of_server->empty() ? ", was started without a configuration file"
                               : ", reads " + *of_server);
  }
  if (link.running() || key.change != Change::kRunTime) return "";
  return "no running server was found for the data root " + link.data_root() +
         ": nothing has changed in one, and every server that reads this file will start with it. "
         "If one is just starting, wait for it with `engram status --wait 30` and set the key "
         "again";
}

Status WriteToFile(const std::string& path, const KeyInfo& key, const std::string& canonical) {
  FileSystem& fs = FileSystem::Posix();
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  const std::string target = error ? path : real.string();  // a link stays a link
  std::string text;
  uint32_t mode = 0600;
  if (Exists(fs, target)) {
    ENGRAM_ASSIGN_OR_RETURN(text, ReadFile(fs, target, kFileSizeBytesMax));
    ENGRAM_ASSIGN_OR_RETURN(const FileInfo info, fs.Stat(target));
    mode = info.mode;
  } else {
    ENGRAM_TRY(CreateDirectories(fs, ParentPath(target)));
  }
  ENGRAM_ASSIGN_OR_RETURN(
      const std::string edited,
      server::WithValue(text, key.name, server::TomlLiteral(key, canonical), path));
  ENGRAM_TRY(ReplaceFileDurably(fs, target, AsBytes(edited)));
  if (chmod(target.c_str(), mode) != 0) return Status::FromErrno(errno, "chmod " + target);
  return Status::Ok();
}

Status Fixed(ConfigSet& config, const std::string& key, Source below) {
  ENGRAM_ASSIGN_OR_RETURN(const Source source, config.SourceOf(key));
  if (source <= below) return Status::Ok();
  ENGRAM_ASSIGN_OR_RETURN(const std::string origin, config.OriginOf(key));
  return Status::FailedPrecondition(key + " is fixed by " + origin,
                                    "change it there: it wins over the file");
}

Report Changed(const std::string& key, const Report& value, const std::string& where,
               const std::string& effect, const std::string& note = "") {
  return {{"ok", true},       {"key", key},
          {"value", value},   {"written_to", where},
          {"effect", effect}, {"note", note.empty() ? Report(nullptr) : Report(note)}};
}

std::string ChangedText(const Report& report) {
  const Report& value = report["value"];
  std::string text = report["key"].get<std::string>() + " = " +
                     (value.is_string() ? value.get<std::string>() : value.dump()) + " in " +
                     report["written_to"].get<std::string>() + "; takes effect " +
                     report["effect"].get<std::string>();
  for (const Report& failed : report.value("failed_spaces", Report::array())) {
    text += "\n  but in " + failed.value("space", "") +
            " when it can be opened: " + failed.value("error", "");
  }
  if (!report["note"].is_null()) text += "\nnote: " + report["note"].get<std::string>();
  return text;
}

Result<Report> SetThroughServer(const ServerLink& link, const KeyInfo& key,
                                const std::string& canonical) {
  const std::string name(key.name);
  const Report value = Typed(key, canonical);
  ENGRAM_ASSIGN_OR_RETURN(const JsonTree answer,
                          link.Call("POST", "/api/v1/admin/config/" + name, {{"value", value}}));
  Report report = Changed(name, value, "the running server", "at once");
  if (answer.contains("failed_spaces")) report["failed_spaces"] = answer["failed_spaces"];
  return report;
}

Result<Report> SetWithoutServer(Session& session, ServerLink& link, const ConfigFlags& flags,
                                const KeyInfo& key, const std::string& canonical) {
  const std::string name(key.name);
  const Report value = key.secret ? Report("(set)") : Typed(key, canonical);
  ENGRAM_ASSIGN_OR_RETURN(const Source source, link.config().SourceOf(name));
  const bool running = link.running();
  const std::string effect = running && key.change == Change::kReload
                                 ? "when the server gets SIGHUP"
                                 : "at the next start";
  if (source == Source::kRuntime) {
    // What was set at run time hides the file: the change belongs where it counts.
    ENGRAM_TRY(link.config().SetRuntime(name, canonical));
    return Changed(name, value, link.config().runtime_file(), effect);
  }
  ENGRAM_TRY(Fixed(link.config(), name, Source::kFile));
  ENGRAM_ASSIGN_OR_RETURN(const std::string path, FileToChange(session, link, flags.server));
  ENGRAM_TRY(WriteToFile(path, key, canonical));
  return Changed(name, value, path, effect, NoteOn(link, key, path));
}

Result<Report> SetValue(Session& session, const ConfigFlags& flags) {
  ENGRAM_ASSIGN_OR_RETURN(auto link, ServerLink::Open(session, flags.server));
  ENGRAM_TRY(link->config().Get(flags.key).status());
  const KeyInfo& key = *server::FindKey(flags.key);
  if (key.field == nullptr) {
    return Status::FailedPrecondition(flags.key + " has no effect: " + std::string(key.text),
                                      "nothing needs to be set");
  }
  ENGRAM_ASSIGN_OR_RETURN(const std::string canonical, server::Canonical(key, flags.value));
  if (link->running() && key.change == Change::kRunTime) {
    return SetThroughServer(*link, key, canonical);
  }
  return SetWithoutServer(session, *link, flags, key, canonical);
}

std::string ListText(const Report& report) {
  std::string text = report["server"].is_null()
                         ? ""
                         : "# of the running server, process " + report["server"].dump() + "\n";
  for (const Report& warning : report["warnings"]) {
    text += "# " + warning.get<std::string>() + "\n";
  }
  std::string section;
  for (const Report& value : report["values"]) {
    const std::string key = value["key"].get<std::string>();
    const size_t dot = key.rfind('.');
    if (key.substr(0, dot) != section) {
      section = key.substr(0, dot);
      text += (text.empty() ? "[" : "\n[") + section + "]\n";
    }
    text += key.substr(dot + 1) + " = " + value["value"].dump() + "  # " +
            value["source"].get<std::string>() + "\n";
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string ValidationText(const Report& report) {
  std::string text;
  for (const char* list : {"errors", "warnings"}) {
    for (const Report& line : report[list]) {
      text += (std::string(list) == "errors" ? "error: " : "warning: ") + line.get<std::string>() +
              "\n";
    }
  }
  const bool good = report["errors"].empty();
  return text + report["file"].get<std::string>() + (good ? ": good" : ": the server refuses it");
}

// A setting of the server with the value that its text stands for.
Report WithType(Report report) {
  const KeyInfo* key = server::FindKey(report.value("key", ""));
  if (key != nullptr && !key->secret) {
    report["value"] = Typed(*key, report["value"].get<std::string>());
  }
  return report;
}

// nullopt if no server runs, or it would hide the value. The error of one that runs and is silent:
// what this invocation would start with need not be what it has.
Result<std::optional<Report>> AskServer(Session& session, const ConfigFlags& flags) {
  std::optional<Report> none;
  const KeyInfo* key = server::FindKey(flags.key);
  if (key == nullptr || key->secret) return none;
  const auto link = ServerLink::Open(session, flags.server);
  if (!link.ok() || !(*link)->running()) return none;
  auto report = (*link)->Setting(flags.key);
  const StatusCode code = report.status().code();
  if (code == StatusCode::kBusy || code == StatusCode::kIo) {
    return Status(code, "the running server, process " + std::to_string((*link)->process()->pid()) +
                            ", does not say its value: " + report.status().message())
        .WithHint("see `engram status`; `engram config list` shows what a new server would have");
  }
  if (!report.ok()) return none;
  (*report)["ok"] = true;
  return std::optional<Report>(std::move(*report));
}

// Every value that the running server shows.
Result<Report> ServerValues(const ServerLink& link) {
  ENGRAM_ASSIGN_OR_RETURN(const JsonTree settings, link.Settings());
  Report values = Report::array();
  for (const JsonTree& setting : settings) values.push_back(WithType(setting));
  return values;
}

// As this invocation would start a server.
Report OwnValues(const ConfigSet& config) {
  Report values = Report::array();
  for (const auto& [key, text] : config.All()) values.push_back(ValueReport(config, key, text));
  return values;
}

Result<Report> ListValues(Session& session, const ConfigFlags& flags) {
  ENGRAM_ASSIGN_OR_RETURN(const auto link, ServerLink::Open(session, flags.server));
  const ConfigSet& config = link->config();
  std::vector<std::string> warnings = config.Notes();
  Report report = {{"ok", true},
                   {"server", nullptr},
                   {"file", config.file()},
                   {"runtime_file", config.runtime_file()}};
  Report values;
  if (link->running()) {
    auto asked = ServerValues(*link);
    if (asked.ok()) {
      values = std::move(*asked);
      report["server"] = link->process()->pid();
      report["file"] = link->server_config_file().value_or("");
      warnings.clear();
    } else {
      warnings.push_back("these are not the values of the running server, process " +
                         std::to_string(link->process()->pid()) + ": " + asked.status().message());
    }
  }
  if (values.is_null()) values = OwnValues(config);
  report["values"] = Report::array();
  for (Report& value : values) {
    const std::string key = value.value("key", "");
    if (flags.section && !key.starts_with(*flags.section + ".")) continue;
    report["values"].push_back(std::move(value));
  }
  report["warnings"] = std::move(warnings);
  return report;
}

}  // namespace

int ConfigGet(Session& session, const ConfigFlags& flags) {
  Console& console = session.console();
  const auto asked = AskServer(session, flags);
  if (!asked.ok()) return console.Fail(asked.status());
  if (const auto& report = *asked) {
    return PrintValue(console, WithType(*report), (*report)["value"].get<std::string>());
  }
  auto config = ConfigSet::Load(ConfigInputs(session, flags.server));
  if (!config.ok()) return console.Fail(config.status());
  auto text = config->Get(flags.key);
  if (!text.ok()) return console.Fail(text.status());
  Report report = ValueReport(*config, flags.key, *text);
  report["ok"] = true;
  return PrintValue(console, report, *text);
}

int ConfigSetValue(Session& session, const ConfigFlags& flags) {
  Console& console = session.console();
  auto report = SetValue(session, flags);
  return report.ok() ? PrintReport(console, *report, ChangedText) : console.Fail(report.status());
}

int ConfigList(Session& session, const ConfigFlags& flags) {
  Console& console = session.console();
  const auto report = ListValues(session, flags);
  if (!report.ok()) return console.Fail(report.status());
  if ((*report)["values"].empty()) {
    return console.Fail(Status::NotFound("there is no section \"" + *flags.section + "\"",
                                         "`engram config list` shows them all"));
  }
  return PrintValue(console, *report, ListText(*report));
}

int ConfigPath(Session& session, const ConfigFlags& flags) {
  Console& console = session.console();
  const auto link = ServerLink::Open(session, flags.server);
  auto path =
      link.ok() ? FileToChange(session, **link, flags.server) : OwnFile(session, flags.server);
  if (!path.ok()) return console.Fail(path.status());
  const bool exists = Exists(FileSystem::Posix(), *path);
  return PrintValue(console, {{"ok", true}, {"path", *path}, {"exists", exists}}, *path);
}

int ValidateConfig(Session& session, const std::string& file) {
  Console& console = session.console();
  auto checked = ConfigSet::Validate(file);
  if (!checked.ok()) return console.Fail(checked.status());
  Report report = {{"ok", checked->faults.empty()},
                   {"file", file},
                   {"errors", checked->faults},
                   {"warnings", checked->warnings}};
  if (!checked->faults.empty()) {
    report["error"] = ErrorObject(
        Status::InvalidArgument(checked->faults.front(),
                                "correct the lines under errors; docs/configuration.md lists every"
                                " key"));
  }
  return PrintReport(console, report, ValidationText);
}

}  // namespace engram::cli
