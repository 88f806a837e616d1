#include "server/migration/upstream_sources.h"

#include "server/graph/upstream_layout.h"

namespace engram::server {

Result<std::vector<UpstreamSource>> FindUpstreamSources(FileSystem& fs,
                                                        const std::string& data_root,
                                                        const std::string& default_space) {
  std::vector<UpstreamSource> sources;
  const auto entries = fs.List(data_root);
  if (!entries.ok()) {
    if (entries.status().code() == StatusCode::kNotFound) return sources;
    return entries.status();
  }
  const UpstreamLayout layout(fs, data_root, default_space);
  for (std::string& space : layout.Spaces()) {
    const bool legacy = space == default_space && layout.HasLegacyLog();
    std::string directory = legacy ? data_root : layout.WalFolder(space);
    sources.push_back({std::move(space), std::move(directory)});
  }
  return sources;
}

}  // namespace engram::server
