#include "migration/snapshot.h"

#include "migration/spaces.h"
#include "migration/verify.h"

namespace engram::migration {
namespace {

using nlohmann::json;

constexpr const char* kDescription = "snapshot.json";
constexpr const char* kTemporary = ".tmp";
constexpr uint64_t kVersion = 1;
constexpr uint64_t kDescriptionSizeBytesMax = 1u << 20;
constexpr uint64_t kSnapshotMarginBytes = 16u << 20;

std::string SnapshotsPath(const JobContext& context, const std::string& space) {
  return JoinPath(DualDirectory(context, space), "snapshots");
}

// Throws what nlohmann throws for a value of another type.
Result<SnapshotInfo> FromJson(const json& parsed, const std::string& file) {
  const auto version = parsed.find("version");
  if (version == parsed.end() || !version->is_number_unsigned()) {
    return Status::Corruption("its version is no whole number");
  }
  if (version->get<uint64_t>() != kVersion) {
    return Status::Unsupported(file + " has another version than " + std::to_string(kVersion),
                               "use the version of engram that took the snapshot");
  }
  const auto lsn = parsed.find("lsn");
  if (lsn == parsed.end() || !lsn->is_number_unsigned()) {
    return Status::Corruption("its lsn is no whole number");
  }
  SnapshotInfo info;
  info.name = parsed.value("name", "");
  info.lsn.value = lsn->get<uint64_t>();
  info.digest = parsed.value("digest", "");
  info.taken_at = parsed.value("taken_at", "");
  ENGRAM_ASSIGN_OR_RETURN(info.store_uuid, Uuid::Parse(parsed.value("store_uuid", "")));
  ENGRAM_TRY(ParseSha256Hex(info.digest).status());
  return info;
}

Result<SnapshotInfo> ReadDescription(FileSystem& fs, const std::string& path) {
  const std::string file = JoinPath(path, kDescription);
  ENGRAM_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, file, kDescriptionSizeBytesMax));
  const auto damaged = [&](const std::string& what) {
    return Status::Corruption(file + ": " + what,
                              "this snapshot cannot be restored; remove its folder to use another");
  };
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return damaged("it is not a JSON object");
  try {
    auto info = FromJson(parsed, file);
    if (info.status().code() == StatusCode::kUnsupported) return info;
    if (!info.ok()) return damaged(info.status().message());
    info->path = path;
    return info;
  } catch (const json::exception& error) {
    return damaged(error.what());
  }
}

}  // namespace

uint64_t SnapshotSizeBytes(engine::Store& store) {
  return store.Info().used_bytes + kSnapshotMarginBytes;
}

json SnapshotInfo::ToJson() const {
  return {{"name", name},
          {"path", path},
          {"lsn", lsn.value},
          {"digest", digest},
          {"taken_at", taken_at}};
}

Result<SnapshotInfo> TakeSnapshot(const JobContext& context, engine::Store& store,
                                  const std::string& name) {
  FileSystem& fs = context.environment.fs;
  const std::string snapshots = SnapshotsPath(context, store.space());
  ENGRAM_TRY(CheckFreeSpace(fs, DualDirectory(context, store.space()), SnapshotSizeBytes(store)));
  ENGRAM_TRY(CreateDirectories(fs, snapshots));
  SnapshotInfo info;
  info.name = name;
  info.path = JoinPath(snapshots, name);
  const std::string temporary = info.path + kTemporary;
  ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs.List(snapshots));
  for (const DirectoryEntry& entry : entries) {  // of interrupted attempts: we hold the lease
    if (!entry.name.ends_with(kTemporary)) continue;
    ENGRAM_TRY(RemoveTree(fs, JoinPath(snapshots, entry.name)));
  }
  ENGRAM_TRY(fs.CreateDirectory(temporary));
  ENGRAM_ASSIGN_OR_RETURN(const engine::DigestState digests, store.CopyTo(temporary));
  info.store_uuid = store.Info().store_uuid;
  info.lsn = digests.lsn;
  info.digest = ToHex(digests.SpaceDigest());
  info.taken_at =
      engine::FormatTimestamp(engine::Timestamp{context.environment.clock.WallSeconds(), 0});
  json description = info.ToJson();
  description.erase("path");
  description["version"] = kVersion;
  description["space"] = store.space();
  description["store_uuid"] = info.store_uuid.ToString();
  description["tiers"] = TiersToJson(digests);
  ENGRAM_TRY(ReplaceFileDurably(fs, JoinPath(temporary, kDescription),
                                AsBytes(description.dump(1) + "\n")));
  ENGRAM_TRY(fs.Rename(temporary, info.path));
  ENGRAM_TRY(fs.SyncDirectory(snapshots));
  return info;
}

Result<std::optional<SnapshotInfo>> NewestSnapshot(const JobContext& context,
                                                   const std::string& space) {
  FileSystem& fs = context.environment.fs;
  const std::string snapshots = SnapshotsPath(context, space);
  std::optional<SnapshotInfo> newest;
  if (!Exists(fs, snapshots)) return newest;
  ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs.List(snapshots));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = JoinPath(snapshots, entry.name);
    if (!entry.is_directory || entry.name.ends_with(kTemporary)) continue;
    if (!Exists(fs, JoinPath(path, kDescription))) continue;  // what a salvage set aside
    ENGRAM_ASSIGN_OR_RETURN(SnapshotInfo info, ReadDescription(fs, path));
    if (!newest || info.lsn >= newest->lsn) newest = std::move(info);
  }
  return newest;
}

}  // namespace engram::migration
