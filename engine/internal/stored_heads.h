// The head rows of one record as they are found, good or damaged.
#ifndef ENGRAM_ENGINE_INTERNAL_STORED_HEADS_H_
#define ENGRAM_ENGINE_INTERNAL_STORED_HEADS_H_

#include <optional>

#include "engine/store.h"

namespace engram::engine {

// Absent where there is no row.
struct HeadRows {
  std::optional<Bytes> dual_head;
  std::optional<Bytes> old_head;
  bool empty() const { return !dual_head && !old_head; }
};

// Fills the heads of `record` from the rows that pass their check and notes those that do not. OK
// if one passes or there is none, else what is wrong with the first.
Status TakeHeads(Bytes key, const HeadRows& rows, StoredRecord* record);

// The vector key that a row claims, whether its check passes or not; 0 if it is too short.
VectorKey ClaimedVectorKey(Bytes head_row);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_INTERNAL_STORED_HEADS_H_
