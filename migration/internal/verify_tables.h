// The cross tables of verification: ids, uuids, embeddings, edges and bindings against the records.
#ifndef ENGRAM_MIGRATION_INTERNAL_VERIFY_TABLES_H_
#define ENGRAM_MIGRATION_INTERNAL_VERIFY_TABLES_H_

#include "engine/store.h"
#include "migration/internal/verify_range.h"

namespace engram::migration::internal {

// Every record has its id row and its uuid row, and no two rows claim one record.
Status CheckIdTable(engine::ReadView& view, const RecordMarks& marks, VerifyReport* report);
Status CheckUuidTable(engine::ReadView& view, const RecordMarks& marks, VerifyReport* report);
// `referenced` is sorted. Rows that no head points to are orphans.
Status CheckEmbeddingTable(engine::ReadView& view, const std::vector<uint64_t>& referenced,
                           VerifyReport* report);

struct LinkSums {
  engine::LtHash edges;
  engine::LtHash bindings;
  uint64_t edge_count = 0;
  uint64_t binding_count = 0;
};
// Both directions hold the same links.
Status CheckLinks(engine::ReadView& view, LinkSums* sums, VerifyReport* report);

// The counters of keys given against the keys of all rows.
Status CheckKeyCounters(engine::ReadView& view, VerifyReport* report);

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_VERIFY_TABLES_H_
