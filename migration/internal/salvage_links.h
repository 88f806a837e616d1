// The link pass of salvage: edges and bindings, each of which stands in two tables.
#ifndef ENGRAM_MIGRATION_INTERNAL_SALVAGE_LINKS_H_
#define ENGRAM_MIGRATION_INTERNAL_SALVAGE_LINKS_H_

#include "migration/internal/salvage_records.h"

namespace engram::migration::internal {

// A link is kept if one of its rows passes its check and both ends have an id; the other row is
// made from it. Counts and sums them.
Status SalvageLinkTables(engine::ReadView& view, SalvageRecords& records, SalvageRows* rows);

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_SALVAGE_LINKS_H_
