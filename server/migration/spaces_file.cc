#include "server/migration/spaces_file.h"

#include <nlohmann/json.hpp>

#include "server/config/paths.h"

namespace engram::server {
namespace {

using nlohmann::json;

constexpr uint64_t kSizeBytesMax = 64u << 20;
constexpr int kVersion = 1;

}  // namespace

SpacesFile::SpacesFile(FileSystem& fs, const std::string& data_root, const std::string& name)
    : fs_(&fs), path_(data_root.empty() ? "" : JoinPath(ControlFolder(data_root), name)) {}

Result<json> SpacesFile::Read(const std::string& hint) const {
  if (path_.empty()) return Status::NotFound("there is no data root");
  ENGRAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(*fs_, path_, kSizeBytesMax));
  json whole = json::parse(text, nullptr, false);
  if (!whole.is_object() || !whole.contains("version") || !whole.contains("spaces")) {
    return Status::Corruption(path_ + " does not tell of spaces", hint);
  }
  if (whole["version"] != kVersion) {
    return Status::Unsupported(path_ + " has version " + whole["version"].dump() +
                                   ", this program knows version " + std::to_string(kVersion),
                               hint);
  }
  return std::move(whole["spaces"]);
}

Status SpacesFile::Write(const json& spaces) const {
  const json whole = {{"version", kVersion}, {"spaces", spaces}};
  ENGRAM_TRY(CreateDirectories(*fs_, ParentPath(path_)));
  const std::string text = whole.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return ReplaceFileDurably(*fs_, path_, AsBytes(text));
}

Status SpacesFile::Remove() const {
  ENGRAM_TRY(fs_->Unlink(path_));
  return fs_->SyncDirectory(ParentPath(path_));
}

}  // namespace engram::server
