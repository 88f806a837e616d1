// The change set of a log record: what decodes is, built again from its parts, the same bytes. What
// followers of the log make of it, and the rows of sums that it leads to, take any bytes too.
#include <cstdlib>

#include "engine/internal/change_set.h"
#include "engine/internal/digest_rows.h"
#include "engine/log_changes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace engram::engine;
  LoggedChanges changes;
  for (uint8_t type : {1, 2, 3}) {
    IgnoreError(DecodeLoggedChanges(type, {data, size}, &changes), "any refusal is fine");
  }
  IgnoreError(DecodeRangeRow({data, size / 2}, {data + size / 2, size - size / 2}).status(),
              "any refusal is fine");
  ChangeSet decoded;
  if (!DecodeChangeSet({data, size}, &decoded).ok()) return 0;
  ChangeSetBuilder builder;
  for (const RowChange& row : decoded.rows) {
    const uint32_t offset = row.is_delete ? builder.Delete(row.table, row.key)
                                          : builder.Put(row.table, row.key, row.value);
    if (builder.RowAt(offset).key.size() != row.key.size()) std::abort();
  }
  for (const DigestChange& change : decoded.digests) builder.AddDigest(change);
  builder.counts() = decoded.counts;
  ChangeSet built;
  const std::string again = builder.Finish(decoded.next_node_key, decoded.next_vector_key, &built);
  if (again != engram::AsView({data, size})) std::abort();
  if (built.rows.size() != decoded.rows.size() || built.digests.size() != decoded.digests.size()) {
    std::abort();
  }
  return 0;
}
