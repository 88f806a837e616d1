#include "server/config/layers.h"

#include "base/file_system.h"
#include "server/config/toml_file.h"
#include "server/config/value.h"

namespace engram::server {
namespace {

// What upstream writes into every configuration file and never uses.
constexpr std::string_view kUnusedUpstreamRoot = "~/.local/share/engram";

std::string PlaceOf(const std::string& path, const TomlEntry& entry) {
  return path + ":" + std::to_string(entry.line) + ":" + std::to_string(entry.column);
}

bool IsSection(std::string_view name) {
  for (const KeyInfo& key : Keys()) {
    if (key.name.starts_with(name) && key.name.substr(name.size()).starts_with('.')) return true;
  }
  return false;
}

void NoteKeyWithoutEffect(const KeyInfo& key, const TomlEntry& entry, const std::string& path,
                          FileLayer* layer) {
  if (key.field != nullptr || key.name == "persistence.data_root") return;
  const std::string note = std::string(key.name) + " has no effect: " + std::string(key.text);
  // One note for a whole section.
  for (const std::string& other : layer->notes) {
    if (other.ends_with(note)) return;
  }
  layer->notes.push_back(PlaceOf(path, entry) + ": " + note);
}

void AddEntry(const TomlEntry& entry, const std::string& path, Source source, FileLayer* layer) {
  const KeyInfo* key = FindKey(entry.key);
  if (key == nullptr) {
    if (entry.kind == TomlKind::kEmptyTable && IsSection(entry.key)) return;
    layer->faults.push_back(
        UnknownKey(StatusCode::kInvalidArgument, PlaceOf(path, entry) + ": ", entry.key));
    return;
  }
  if (source == Source::kRuntime && key->change != Change::kRunTime) {
    layer->faults.push_back(Status::InvalidArgument(
        PlaceOf(path, entry) + ": " + entry.key + " cannot be set at run time",
        "remove the line; the configuration file is the place for it"));
    return;
  }
  Result<std::string> text = CheckEntry(*key, entry, path);
  if (!text.ok()) {
    layer->faults.push_back(text.status());
    return;
  }
  layer->values[entry.key] = {*text, source, PlaceOf(path, entry)};
  NoteKeyWithoutEffect(*key, entry, path, layer);
}

// persistence.data_root is upstream's name of storage.data_root.
void MapUpstreamDataRoot(FileLayer* layer) {
  const auto upstream = layer->values.find("persistence.data_root");
  if (upstream == layer->values.end() || upstream->second.text.empty()) return;
  const std::string& origin = upstream->second.origin;
  if (upstream->second.text == kUnusedUpstreamRoot) {
    layer->notes.push_back(origin +
                           ": persistence.data_root has upstream's default, which upstream"
                           " itself does not use; set storage.data_root");
  } else if (layer->values.count("storage.data_root") == 0) {
    layer->values["storage.data_root"] = upstream->second;
    layer->notes.push_back(origin +
                           ": persistence.data_root is used as storage.data_root; upstream"
                           " keeps its data in ENGRAM_DATA_DIR or ./engram-data instead");
  }
}

}  // namespace

Status UnknownKey(StatusCode code, const std::string& place, const std::string& key) {
  return Status(code, place + "unknown key \"" + key + "\"" + DidYouMean(key),
                "docs/configuration.md lists every key");
}

Result<FileLayer> ReadLayer(const std::string& path, Source source) {
  FileLayer layer;
  auto entries = ReadTomlFile(FileSystem::Posix(), path);
  if (!entries.ok() && entries.status().code() == StatusCode::kInvalidArgument) {
    layer.faults.push_back(entries.status());
    return layer;
  }
  if (!entries.ok()) return entries.status();
  for (const TomlEntry& entry : *entries) AddEntry(entry, path, source, &layer);
  MapUpstreamDataRoot(&layer);
  return layer;
}

Status FirstFault(const std::vector<Status>& faults, const std::string& path) {
  if (faults.empty()) return Status::Ok();
  if (faults.size() == 1) return faults.front();
  return faults.front().WithHint(faults.front().hint() + "; " + std::to_string(faults.size() - 1) +
                                 " more: engram validate config " + path);
}

Status AddText(std::string_view name, const std::string& text, Source source,
               const std::string& origin, Layer* layer) {
  const KeyInfo* key = FindKey(name);
  if (key == nullptr) {
    return UnknownKey(StatusCode::kInvalidArgument, origin + ": ", std::string(name));
  }
  Result<std::string> canonical = Canonical(*key, text);
  if (!canonical.ok()) return canonical.status().WithContext(origin);
  (*layer)[std::string(name)] = {*canonical, source, origin};
  return Status::Ok();
}

namespace {

Status AddVariable(const std::map<std::string, std::string>& environment, const std::string& name,
                   std::string_view key, Layer* layer) {
  const auto found = environment.find(name);
  // An empty variable is as good as none, and the stronger name of a key comes first.
  if (found == environment.end() || found->second.empty()) return Status::Ok();
  if (layer->count(std::string(key)) != 0) return Status::Ok();
  return AddText(key, found->second, Source::kEnvironment, "the environment variable " + name,
                 layer);
}

}  // namespace

Result<Layer> EnvironmentLayer(const std::map<std::string, std::string>& environment) {
  Layer layer;
  for (const KeyInfo& key : Keys()) {
    if (key.field == nullptr) continue;
    ENGRAM_TRY(AddVariable(environment, EnvironmentName(key.name), key.name, &layer));
  }
  for (const EnvironmentAlias& alias : EnvironmentAliases()) {
    ENGRAM_TRY(AddVariable(environment, std::string(alias.variable), alias.key, &layer));
  }
  return layer;
}

void NoteNearVariables(const std::map<std::string, std::string>& environment,
                       std::vector<std::string>* notes) {
  for (const auto& [name, text] : environment) {
    const std::string near = NearVariable(name);
    if (near.empty()) continue;
    notes->push_back("the environment variable " + name + " names no key; did you mean " + near +
                     "?");
  }
}

}  // namespace engram::server
