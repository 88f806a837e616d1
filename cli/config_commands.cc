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

// The file that a change goes to: the one that is read, else the user's own.
Result<std::string> FileToChange(const Session& session, const ServerFlags& flags) {
  const ConfigSet::Inputs inputs = ConfigInputs(session, flags);
  if (inputs.file) return *inputs.file;
  if (const auto own = server::UserConfigPath(inputs.environment)) return *own;
  return Status::FailedPrecondition("there is no home folder to keep a configuration file in",
                                    "name the file with --config or ENGRAM_CONFIG_PATH");
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
               const std::string& effect) {
  return {{"ok", true}, {"key", key}, {"value", value}, {"written_to", where}, {"effect", effect}};
}

std::string ChangedText(const Report& report) {
  const Report& value = report["value"];
  return report["key"].get<std::string>() + " = " +
         (value.is_string() ? value.get<std::string>() : value.dump()) + " in " +
         report["written_to"].get<std::string>() + "; takes effect " +
         report["effect"].get<std::string>();
}

Result<Report> SetThroughServer(const ServerLink& link, const KeyInfo& key,
                                const std::string& canonical) {
  const std::string name(key.name);
  const Report value = Typed(key, canonical);
  ENGRAM_TRY(link.Call("POST", "/api/v1/admin/config/" + name, {{"value", value}}).status());
  return Changed(name, value, "the running server", "at once");
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
  ENGRAM_ASSIGN_OR_RETURN(const std::string path, FileToChange(session, flags.server));
  ENGRAM_TRY(WriteToFile(path, key, canonical));
  return Changed(name, value, path, effect);
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
  std::string text;
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

// The key as the running server has it: its own environment and command line included. nullopt if
// none answers.
std::optional<Report> AskServer(Session& session, const ConfigFlags& flags) {
  const KeyInfo* key = server::FindKey(flags.key);
  if (key == nullptr || key->secret) return std::nullopt;
  const auto link = ServerLink::Open(session, flags.server);
  if (!link.ok() || !(*link)->running()) return std::nullopt;
  const auto reply = (*link)->Call("GET", "/api/v1/admin/config/" + PercentEncoded(flags.key));
  if (!reply.ok() || !reply->contains("value") || !(*reply)["value"].is_string()) {
    return std::nullopt;
  }
  Report report = *reply;
  report["text"] = report["value"];
  report["value"] = Typed(*key, report["text"].get<std::string>());
  report["ok"] = true;
  return report;
}

}  // namespace

int ConfigGet(Session& session, const ConfigFlags& flags) {
  Console& console = session.console();
  if (auto report = AskServer(session, flags)) {
    const std::string text = (*report)["text"].get<std::string>();
    report->erase("text");
    return PrintValue(console, *report, text);
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
  auto config = ConfigSet::Load(ConfigInputs(session, flags.server));
  if (!config.ok()) return console.Fail(config.status());
  Report values = Report::array();
  for (const auto& [key, text] : config->All()) {
    if (flags.section && !key.starts_with(*flags.section + ".")) continue;
    values.push_back(ValueReport(*config, key, text));
  }
  if (values.empty()) {
    return console.Fail(Status::NotFound("there is no section \"" + *flags.section + "\"",
                                         "`engram config list` shows them all"));
  }
  const Report report = {{"ok", true},
                         {"file", config->file()},
                         {"runtime_file", config->runtime_file()},
                         {"values", std::move(values)},
                         {"warnings", config->Notes()}};
  return PrintValue(console, report, ListText(report));
}

int ConfigPath(Session& session, const ConfigFlags& flags) {
  Console& console = session.console();
  auto path = FileToChange(session, flags.server);
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
