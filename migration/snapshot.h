// Snapshots of a space for `rollback --to state`: a whole store as it was at one LSN, below
// `<dual>/snapshots/<name>/`, with a description that holds its digests. docs/format/store.md.
#ifndef ENGRAM_MIGRATION_SNAPSHOT_H_
#define ENGRAM_MIGRATION_SNAPSHOT_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "migration/migration.h"

namespace engram::migration {

struct SnapshotInfo {
  std::string name;
  std::string path;
  Uuid store_uuid;
  Lsn lsn;
  std::string digest;  // of the space, in hex
  std::string taken_at;
  nlohmann::json ToJson() const;
};

// What one of the store as it is now needs on the device, with a margin.
uint64_t SnapshotSizeBytes(engine::Store& store);
// Takes one. It has its name only once it is whole and durable: a crash leaves a folder
// `<name>.tmp` that the next snapshot removes. kFull, with what is needed, if there is no room.
Result<SnapshotInfo> TakeSnapshot(const JobContext& context, engine::Store& store,
                                  const std::string& name);
// The newest whole snapshot of the space; empty if there is none. kCorruption if its description
// cannot be read.
Result<std::optional<SnapshotInfo>> NewestSnapshot(const JobContext& context,
                                                   const std::string& space);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SNAPSHOT_H_
