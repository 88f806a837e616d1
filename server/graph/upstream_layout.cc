#include "server/graph/upstream_layout.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/ids.h"

namespace engram::server {
namespace {

bool IsLogName(std::string_view name) {
  constexpr std::string_view kPrefix = "wal-", kSuffix = ".log";
  return name.size() > kPrefix.size() + kSuffix.size() && name.starts_with(kPrefix) &&
         name.ends_with(kSuffix);
}

std::vector<DirectoryEntry> ListOrNothing(FileSystem& fs, const std::string& folder) {
  auto entries = fs.List(folder);
  return entries.ok() ? std::move(*entries) : std::vector<DirectoryEntry>();
}

bool AnyLog(const std::vector<DirectoryEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const DirectoryEntry& entry) {
    return !entry.is_directory && IsLogName(entry.name);
  });
}

}  // namespace

UpstreamLayout::UpstreamLayout(FileSystem& fs, std::string data_root, std::string legacy_space)
    : fs_(fs), data_root_(std::move(data_root)), legacy_space_(std::move(legacy_space)) {}

bool UpstreamLayout::HoldsLog(const std::string& wal_folder) const {
  const auto entries = ListOrNothing(fs_, wal_folder);
  if (AnyLog(entries)) return true;
  return std::any_of(entries.begin(), entries.end(), [&](const DirectoryEntry& entry) {
    return entry.is_directory && entry.name.starts_with(".archive-") &&
           AnyLog(ListOrNothing(fs_, JoinPath(wal_folder, entry.name)));
  });
}

bool UpstreamLayout::HasLegacyLog() const {
  return !data_root_.empty() && HoldsLog(JoinPath(data_root_, "wal"));
}

std::string UpstreamLayout::WalFolder(const std::string& space) const {
  return JoinPath(JoinPath(data_root_, space), "wal");
}

bool UpstreamLayout::HasLog(const std::string& space) const {
  if (data_root_.empty()) return false;
  return (space == legacy_space_ && HasLegacyLog()) || HoldsLog(WalFolder(space));
}

std::vector<std::string> UpstreamLayout::Spaces() const {
  std::vector<std::string> names;
  if (data_root_.empty()) return names;
  for (const DirectoryEntry& entry : ListOrNothing(fs_, data_root_)) {
    const auto id = SpaceId::Parse(entry.name);
    const bool is_space = entry.is_directory && id.ok() && id->str() == entry.name;
    if (is_space && HasLog(entry.name)) names.push_back(entry.name);
  }
  if (HasLog(legacy_space_)) names.push_back(legacy_space_);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace engram::server
