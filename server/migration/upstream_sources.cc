#include "server/migration/upstream_sources.h"

#include <map>
#include <string_view>

#include "base/ids.h"

namespace engram::server {
namespace {

constexpr std::string_view kWal = "wal";
constexpr std::string_view kArchivePrefix = ".archive-";

bool IsLog(const DirectoryEntry& entry) {
  return !entry.is_directory && entry.name.starts_with("wal-") && entry.name.ends_with(".log");
}

// False also for a directory that cannot be read: the ingest of another one is not its hostage.
bool HoldsLogs(FileSystem& fs, const std::string& directory, bool archives) {
  const auto entries = fs.List(directory);
  if (!entries.ok()) return false;
  for (const DirectoryEntry& entry : *entries) {
    if (IsLog(entry)) return true;
    if (archives && entry.is_directory && entry.name.starts_with(kArchivePrefix) &&
        HoldsLogs(fs, JoinPath(directory, entry.name), false)) {
      return true;
    }
  }
  return false;
}

}  // namespace

Result<std::vector<UpstreamSource>> FindUpstreamSources(FileSystem& fs,
                                                        const std::string& data_root,
                                                        const std::string& default_space) {
  std::vector<UpstreamSource> sources;
  const auto entries = fs.List(data_root);
  if (!entries.ok()) {
    if (entries.status().code() == StatusCode::kNotFound) return sources;
    return entries.status();
  }
  std::map<std::string, std::string> found;
  bool legacy = false;
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.is_directory) continue;
    const std::string directory = JoinPath(data_root, entry.name);
    // A space called "wal" would have its logs one level below.
    if (entry.name == kWal) legacy = HoldsLogs(fs, directory, true);
    const std::string logs = JoinPath(directory, kWal);
    if (SpaceId::Parse(entry.name).ok() && HoldsLogs(fs, logs, true)) found[entry.name] = logs;
  }
  if (legacy) found[default_space] = data_root;
  for (auto& [space, directory] : found) sources.push_back({space, directory});
  return sources;
}

}  // namespace engram::server
