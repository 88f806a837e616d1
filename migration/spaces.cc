#include "migration/spaces.h"

#include <algorithm>

namespace engram::migration {
namespace {

constexpr const char* kStoreFile = "STORE";
constexpr const char* kLogFolder = "log";  // made after STORE: where it is, a store was

std::string Mib(uint64_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; }

Status NoStore(const JobContext& context, const std::string& space) {
  return Status::NotFound(
      "there is no store for the space '" + space + "' below " + context.data_root,
      "engram space list shows the spaces that exist; engram migrate-dual --source DIR or engram "
      "memory put creates one");
}

Status CheckDataRoot(const JobContext& context) {
  const auto info = context.environment.fs.Stat(context.data_root);
  if (!info.ok()) {
    if (info.status().code() != StatusCode::kNotFound) return info.status();
    return Status::NotFound("the data root " + context.data_root + " does not exist",
                            "give the right --data-root, or engram migrate-dual --source DIR to "
                            "create it");
  }
  if (info->is_directory) return Status::Ok();
  return Status::InvalidArgument("the data root " + context.data_root + " is not a directory",
                                 "give a directory with --data-root");
}

// Creates `<data_root>/<space>/dual`; whatever else is below the data root stays as it is.
Status CreateDualDirectory(const JobContext& context, const std::string& space) {
  const Status root = CheckDataRoot(context);
  if (!root.ok() && root.code() != StatusCode::kNotFound) return root;
  return CreateDirectories(context.environment.fs, DualDirectory(context, space))
      .WithContext("create the space '" + space + "'");
}

engine::StoreOptions OptionsOf(const JobContext& context, const std::string& space,
                               engine::Access access) {
  engine::StoreOptions options;
  options.directory = DualDirectory(context, space);
  options.space = space;
  options.access = access;
  options.map_size_bytes = context.map_size_bytes;
  options.log = context.log;
  return options;
}

}  // namespace

std::string DualDirectory(const JobContext& context, const std::string& space) {
  return JoinPath(JoinPath(context.data_root, space), "dual");
}

bool HasStore(const JobContext& context, const std::string& space) {
  // What may not be looked at is not missing: opening it says why.
  for (const char* name : {kStoreFile, kLogFolder}) {
    const auto info = context.environment.fs.Stat(JoinPath(DualDirectory(context, space), name));
    if (info.ok() || info.status().code() != StatusCode::kNotFound) return true;
  }
  return false;
}

Result<std::unique_ptr<engine::Store>> OpenSpace(const JobContext& context,
                                                 const std::string& space, engine::Access access) {
  ENGRAM_ASSIGN_OR_RETURN(const SpaceId id, SpaceId::Parse(space));
  if (access == engine::Access::kCreate) {
    ENGRAM_TRY(CreateDualDirectory(context, id.str()));
  } else {
    ENGRAM_TRY(CheckDataRoot(context));
    if (!HasStore(context, id.str())) return NoStore(context, id.str());
  }
  return engine::Store::Open(context.environment, OptionsOf(context, id.str(), access));
}

Result<std::unique_ptr<engine::Store>> OpenSpaceWithSalvage(const JobContext& context,
                                                            const std::string& space,
                                                            engine::Access access) {
  ENGRAM_ASSIGN_OR_RETURN(const SpaceId id, SpaceId::Parse(space));
  ENGRAM_TRY(CheckDataRoot(context));
  if (!HasStore(context, id.str())) return NoStore(context, id.str());
  engine::StoreOptions options = OptionsOf(context, id.str(), access);
  options.salvage = true;
  options.background_apply = false;
  return engine::Store::Open(context.environment, options);
}

Result<std::vector<std::string>> ListSpaces(const JobContext& context) {
  ENGRAM_TRY(CheckDataRoot(context));
  ENGRAM_ASSIGN_OR_RETURN(const auto entries, context.environment.fs.List(context.data_root));
  std::vector<std::string> spaces;
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory) continue;
    const auto id = SpaceId::Parse(entry.name);
    // A name with outer whitespace parses to another name: not a space of ours.
    if (!id.ok() || id->str() != entry.name) continue;
    if (HasStore(context, entry.name)) spaces.push_back(entry.name);
  }
  std::sort(spaces.begin(), spaces.end());
  return spaces;
}

Status RemoveTree(FileSystem& fs, const std::string& path) {
  const auto info = fs.Stat(path);
  if (!info.ok()) {
    return info.status().code() == StatusCode::kNotFound ? Status::Ok() : info.status();
  }
  if (!info->is_directory) return fs.Unlink(path);
  ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs.List(path));
  for (const DirectoryEntry& entry : entries) {
    ENGRAM_TRY(RemoveTree(fs, JoinPath(path, entry.name)));
  }
  return fs.RemoveDirectory(path);
}

std::vector<std::string> MissingDirectories(FileSystem& fs, const std::string& path) {
  std::vector<std::string> missing;
  std::string at = path;
  while (!Exists(fs, at) && ParentPath(at) != at) {
    missing.push_back(at);
    at = ParentPath(at);
  }
  return missing;
}

Status CheckFreeSpace(FileSystem& fs, const std::string& path, uint64_t needed_bytes) {
  const std::vector<std::string> missing = MissingDirectories(fs, path);
  const std::string existing = missing.empty() ? path : ParentPath(missing.back());
  ENGRAM_ASSIGN_OR_RETURN(const DiskSpace space, fs.Space(existing));
  if (space.available_bytes >= needed_bytes) return Status::Ok();
  return Status::Full("not enough disk space: needs " + Mib(needed_bytes) + ", has " +
                          Mib(space.available_bytes) + " at " + existing,
                      "free some space there or choose another --data-root; nothing was changed");
}

}  // namespace engram::migration
