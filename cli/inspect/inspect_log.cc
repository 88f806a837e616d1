#include "base/crc32c.h"
#include "base/json_text.h"
#include "cli/console.h"
#include "cli/inspect/inspectors.h"
#include "wal/log.h"

namespace engram::cli {
namespace {

// The log below a space or its dual/ folder, else the folder itself.
std::string LogDirectory(FileSystem& fs, const std::string& path) {
  for (const char* below : {"dual/log", "log"}) {
    const std::string candidate = JoinPath(path, below);
    if (Exists(fs, candidate)) return candidate;
  }
  return path;
}

Status RequireSegments(FileSystem& fs, const std::string& directory) {
  ENGRAM_ASSIGN_OR_RETURN(const auto entries, fs.List(directory));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.ends_with(".seg")) return Status::Ok();
  }
  return Status::NotFound("there is no log segment (*.seg) in " + directory,
                          "name a space, its dual folder or the log folder in it; for upstream's "
                          "own logs use `engram inspect source`");
}

std::string RecordJson(const wal::InspectedRecord& found) {
  std::string json;
  ObjectText object(&json);
  object.String("file", found.file);
  object.Integer("offset", found.offset_bytes);
  object.Integer("epoch", found.epoch);
  object.Integer("lsn", found.record.lsn.value);
  object.Integer("type", found.record.type);
  object.Integer("payload_bytes", found.record.payload.size());
  object.Integer("payload_crc32c", Crc32c(found.record.payload));
  found.damage.empty() ? object.Null("damage") : object.String("damage", found.damage);
  object.Close();
  return json;
}

std::string RecordLine(const wal::InspectedRecord& found) {
  std::string line = found.file + " @" + std::to_string(found.offset_bytes);
  if (!found.damage.empty()) return line + "  DAMAGE: " + found.damage;
  return line + "  epoch " + std::to_string(found.epoch) + "  lsn " +
         std::to_string(found.record.lsn.value) + "  type " + std::to_string(found.record.type) +
         "  " + WithThousands(found.record.payload.size()) + " bytes";
}

}  // namespace

Status InspectLogAt(FileSystem& fs, const std::string& path, const InspectSink& sink) {
  const std::string directory = LogDirectory(fs, path);
  ENGRAM_ASSIGN_OR_RETURN(const FileInfo info, fs.Stat(directory));
  if (!info.is_directory) {
    return Status::InvalidArgument(directory + " is not a directory",
                                   "name a space, its dual folder or the log folder in it");
  }
  ENGRAM_TRY(RequireSegments(fs, directory));
  return wal::InspectLog(fs, directory, [&](const wal::InspectedRecord& found) {
    return sink.found(RecordJson(found), RecordLine(found));
  });
}

}  // namespace engram::cli
