// `engram inspect source`: what is physically in upstream logs, stretch by stretch, judging
// nothing.
#ifndef ENGRAM_MIGRATION_SOURCES_INSPECT_SOURCE_H_
#define ENGRAM_MIGRATION_SOURCES_INSPECT_SOURCE_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace engram::migration {

// One object per record or damaged stretch, in the order of the files and their bytes:
//   {"space", "file", "offset", "end", "sequence", "timestamp_ns", "type", "size", "id", "layout"}
//   {"space", "file", "offset", "end", "damage"}
// `id` and `layout` are null where there are none; an undecodable type-1 or type-2 record has
// "undecodable" with the reason. With `exact`, type-1 and type-2 records also have every payload
// field with the names of `engram memory list`, floats as 8 hex digits, and embedding_sha256.
struct InspectSourceOptions {
  std::optional<std::string> space;
  bool exact = false;
};
// `path` is an upstream data root, a directory of logs, or one log file. `visit` returns false to
// stop. Reads only.
Status InspectSource(FileSystem& fs, const std::string& path, const InspectSourceOptions& options,
                     const std::function<Result<bool>(const nlohmann::json&)>& visit);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_INSPECT_SOURCE_H_
