// Where spaces are below a data root and how a job opens them.
#ifndef ENGRAM_MIGRATION_SPACES_H_
#define ENGRAM_MIGRATION_SPACES_H_

#include <string>
#include <vector>

#include "migration/migration.h"

namespace engram::migration {

// `<data_root>/<space>/dual`
std::string DualDirectory(const JobContext& context, const std::string& space);
bool HasStore(const JobContext& context, const std::string& space);

// As OpenSpace for kReadOnly and kReadWrite, past a corrupt log (StoreOptions::salvage). Nothing is
// applied until the store is drained.
Result<std::unique_ptr<engine::Store>> OpenSpaceWithSalvage(const JobContext& context,
                                                            const std::string& space,
                                                            engine::Access access);

// Removes a file, or a directory with all that is in it; OK if there is none.
Status RemoveTree(FileSystem& fs, const std::string& path);

// `path` and the directories above it that do not exist, innermost first.
std::vector<std::string> MissingDirectories(FileSystem& fs, const std::string& path);

// Fails with kFull, naming what is needed, what there is and where, unless `needed_bytes` fit on
// the file system that holds (or will hold) `path`.
Status CheckFreeSpace(FileSystem& fs, const std::string& path, uint64_t needed_bytes);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SPACES_H_
