// Which spaces an upstream server left logs of below the data root. Looks at names alone and
// changes nothing.
#ifndef ENGRAM_SERVER_MIGRATION_UPSTREAM_SOURCES_H_
#define ENGRAM_SERVER_MIGRATION_UPSTREAM_SOURCES_H_

#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"

namespace engram::server {

struct UpstreamSource {
  std::string space;
  std::string directory;  // what space_ingest takes: a directory of logs, or the data root
};

// `<data_root>/<space>/wal` with a log in it, archive directories included; and
// the legacy `<data_root>/wal`, which goes to `default_space`: its source is then the data root, so
// that the legacy log comes before the space's own. Sorted by space. A data root that is not there
// has none.
Result<std::vector<UpstreamSource>> FindUpstreamSources(FileSystem& fs,
                                                        const std::string& data_root,
                                                        const std::string& default_space);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_UPSTREAM_SOURCES_H_
