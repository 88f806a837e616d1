#include "engine/log_changes.h"

#include <algorithm>

#include "engine/internal/change_set.h"

namespace engram::engine {

Status DecodeLoggedChanges(uint8_t type, Bytes payload, LoggedChanges* out) {
  out->written_old.clear();
  out->touched.clear();
  if (type != kLogRecordChangeSet) {
    return Status::Unsupported("the log holds a record of type " + std::to_string(type) +
                                   ", expected " + std::to_string(kLogRecordChangeSet),
                               "use the version of the program that wrote the store");
  }
  ChangeSet changes;
  ENGRAM_TRY(DecodeChangeSet(payload, &changes));
  std::vector<NodeKey> dual;
  for (const RowChange& row : changes.rows) {
    const bool is_old = row.table == Table::kOldHeads;
    if ((!is_old && row.table != Table::kHeads) || row.key.size() != 8) continue;
    const NodeKey key{LoadBe64(row.key.data())};
    out->touched.push_back(key);
    if (!row.is_delete) (is_old ? out->written_old : dual).push_back(key);
  }
  std::erase_if(out->written_old, [&](NodeKey key) {
    return std::find(dual.begin(), dual.end(), key) != dual.end();
  });
  out->is_bulk_mark = changes.rows.empty() && changes.digests.empty();
  return Status::Ok();
}

}  // namespace engram::engine
