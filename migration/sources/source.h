// What an upstream data directory holds: its spaces and, per space, the log files in the order that
// decides which version of an id is the newest (design.md section 6). Only names are looked at
// here; nothing is opened for writing and nothing below the directory is ever changed.
#ifndef ENGRAM_MIGRATION_SOURCES_SOURCE_H_
#define ENGRAM_MIGRATION_SOURCES_SOURCE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"

namespace engram::migration {

struct SourceFile {
  std::string path;           // to open it
  std::string relative_path;  // below the source directory; what reports print
  uint64_t size_bytes = 0;
  bool is_legacy = false;  // of the layout without a space level, <root>/wal
};

struct SourceSpace {
  std::string space;              // a valid space id
  std::vector<SourceFile> files;  // oldest first; may hold empty files
  uint64_t size_bytes() const;
};

enum class SourceKind {
  kDataRoot,      // <root>/<space>/wal/*.log and the legacy <root>/wal/*.log
  kLogDirectory,  // a bare directory of wal-*.log files
};

struct Source {
  SourceKind kind = SourceKind::kDataRoot;
  std::string directory;            // as given
  std::vector<SourceSpace> spaces;  // sorted by name
  // What looks like a log or a space and is not read, each with the reason, as UTF-8: directories
  // with logs whose name is not a legal space id, log names that lead to no file, logs beside
  // spaces.
  std::vector<std::string> skipped;
};

// Where logs without a space level go unless a space is named.
inline constexpr std::string_view kUnnamedSpace = "default";

// Finds the logs below `directory`. With `space` only that space of a data root is taken (kNotFound
// if it has no log there), and the legacy `wal/` layout and a bare directory go to it; without it
// they go to "default". Order within a space: the legacy wal/ before the space's own log, archive
// directories (`.archive-*`, by path bytes) before live files, files by the hex number of their
// name. Where spaces have logs, logs that lie beside them are skipped: nobody knows whose they are.
// Fails with a hint when `directory` is missing, is no directory, or holds no log at all, and when
// a directory or log in it cannot be looked at: what is not read must not be missed in silence.
Result<Source> DiscoverSource(FileSystem& fs, const std::string& directory,
                              const std::optional<std::string>& space);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_SOURCE_H_
