// Where upstream's server leaves its logs below a data root, looked at by names alone. What they
// hold is the engine's business.
#ifndef ENGRAM_SERVER_GRAPH_UPSTREAM_LAYOUT_H_
#define ENGRAM_SERVER_GRAPH_UPSTREAM_LAYOUT_H_

#include <string>
#include <vector>

#include "base/file_system.h"

namespace engram::server {

// Thread-compatible. A folder that cannot be listed counts as one without logs.
class UpstreamLayout {
 public:
  // An empty `data_root` holds nothing. The legacy `<data_root>/wal/` belongs to `legacy_space`.
  UpstreamLayout(FileSystem& fs, std::string data_root, std::string legacy_space);

  // True if a log file of `space` is there: wal-*.log in its wal/ or in an archive below that.
  bool HasLog(const std::string& space) const;
  bool HasLegacyLog() const;
  std::string WalFolder(const std::string& space) const;
  // The spaces with a log, sorted.
  std::vector<std::string> Spaces() const;

 private:
  bool HoldsLog(const std::string& wal_folder) const;

  FileSystem& fs_;
  const std::string data_root_;
  const std::string legacy_space_;
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_GRAPH_UPSTREAM_LAYOUT_H_
