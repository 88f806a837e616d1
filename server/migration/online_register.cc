#include "server/migration/online_register.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace engram::server {
namespace {

constexpr char kFileName[] = "online-migration.json";
constexpr char kHint[] = "move the file away: the spaces in it then follow the flag";

}  // namespace

Result<OnlineRegister> OnlineRegister::Load(FileSystem& fs, const std::string& data_root) {
  OnlineRegister loaded(SpacesFile(fs, data_root, kFileName));
  const auto spaces = loaded.file_.Read(kHint);
  if (spaces.status().code() == StatusCode::kNotFound) return loaded;
  if (!spaces.ok()) return spaces.status();
  bool names = spaces->is_array();
  for (const auto& name : *spaces) names = names && name.is_string();
  if (!names) return Status::Corruption(loaded.file_.path() + " is no list of spaces", kHint);
  loaded.spaces_ = spaces->get<std::set<std::string>>();
  return loaded;
}

Status OnlineRegister::Set(std::set<std::string> spaces) {
  if (spaces == spaces_) return Status::Ok();
  if (file_.path().empty()) {
    return Status::FailedPrecondition("there is no data root to keep the guided migration in",
                                      "start the server with a data root");
  }
  ENGRAM_TRY(spaces.empty() ? file_.Remove() : file_.Write(spaces));
  spaces_ = std::move(spaces);
  return Status::Ok();
}

}  // namespace engram::server
