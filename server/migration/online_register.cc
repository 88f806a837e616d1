#include "server/migration/online_register.h"

#include <nlohmann/json.hpp>

namespace engram::server {
namespace {

// Beside what was set at run time.
constexpr char kFolder[] = ".engram";
constexpr char kFileName[] = "online-migration.json";
constexpr uint64_t kSizeBytesMax = 16u << 20;
constexpr int kVersion = 1;

}  // namespace

Result<OnlineRegister> OnlineRegister::Load(FileSystem& fs, const std::string& data_root) {
  OnlineRegister loaded(fs,
                        data_root.empty() ? "" : JoinPath(JoinPath(data_root, kFolder), kFileName));
  if (data_root.empty()) return loaded;
  const auto text = ReadFile(fs, loaded.path_, kSizeBytesMax);
  if (!text.ok()) {
    if (text.status().code() == StatusCode::kNotFound) return loaded;
    return text.status();
  }
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  const char* hint = "move the file away: the spaces in it then follow the flag";
  if (!json.is_object() || !json.contains("version") || !json.contains("spaces") ||
      !json["spaces"].is_array()) {
    return Status::Corruption(loaded.path_ + " is no list of spaces", hint);
  }
  if (json["version"] != kVersion) {
    return Status::Unsupported(
        loaded.path_ + " has version " + json["version"].dump() + ", this program knows version 1",
        hint);
  }
  for (const auto& name : json["spaces"]) {
    if (!name.is_string()) return Status::Corruption(loaded.path_ + " names no spaces", hint);
    loaded.spaces_.insert(name.get<std::string>());
  }
  return loaded;
}

Status OnlineRegister::Set(std::set<std::string> spaces) {
  if (spaces == spaces_) return Status::Ok();
  if (path_.empty()) {
    return Status::FailedPrecondition("there is no data root to keep the guided migration in",
                                      "start the server with a data root");
  }
  if (spaces.empty()) {
    ENGRAM_TRY(fs_->Unlink(path_));
    ENGRAM_TRY(fs_->SyncDirectory(ParentPath(path_)));
  } else {
    const nlohmann::json json = {{"version", kVersion}, {"spaces", spaces}};
    ENGRAM_TRY(CreateDirectories(*fs_, ParentPath(path_)));
    ENGRAM_TRY(ReplaceFileDurably(*fs_, path_, AsBytes(json.dump(2) + "\n")));
  }
  spaces_ = std::move(spaces);
  return Status::Ok();
}

}  // namespace engram::server
