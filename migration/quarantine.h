// Records that cannot be converted are kept as they were found, in rows of the table `quarantine`
// under `convert|` and the node key (docs/online-migration.md). They stay until the record is
// written or deleted.
#ifndef ENGRAM_MIGRATION_QUARANTINE_H_
#define ENGRAM_MIGRATION_QUARANTINE_H_

#include <map>
#include <string>

#include "engine/store.h"
#include "migration/convert.h"

namespace engram::migration {

// True if it is there now and was not before. False for what is quarantined already, and for what
// is no longer as it was found: written, converted or deleted since.
Result<bool> QuarantineRecord(engine::BulkTxn& txn, const ConvertedRange::Poison& poison);
// True if there was a row.
Result<bool> ReleaseRecord(engine::BulkTxn& txn, NodeKey key);
// Releases all that are no longer as they were found. How many are left.
Result<uint64_t> ReleaseChanged(engine::Store& store);
// Node key -> the old head's row as found. kCorruption for a row that is damaged.
Result<std::map<uint64_t, std::string>> QuarantinedRecords(engine::ReadView& view);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_QUARANTINE_H_
