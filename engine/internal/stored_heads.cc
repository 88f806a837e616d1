#include "engine/internal/stored_heads.h"

#include "base/coding.h"

namespace engram::engine {
namespace {

constexpr size_t kVectorKeyOffset = 16;  // in both heads, docs/format/store.md

}  // namespace

Status TakeHeads(Bytes key, const HeadRows& rows, StoredRecord* record) {
  Status damage;
  if (rows.dual_head) {
    damage = DecodeDualHead(key, *rows.dual_head, &record->dual_head.emplace());
    record->dual_head_damaged = !damage.ok();
    if (!damage.ok()) record->dual_head.reset();
  }
  if (rows.old_head) {
    const Status decoded = DecodeOldHead(key, *rows.old_head, &record->old_head.emplace());
    record->old_head_damaged = !decoded.ok();
    if (!decoded.ok()) record->old_head.reset();
    if (damage.ok()) damage = decoded;
  }
  return record->has_head() ? Status::Ok() : damage;
}

VectorKey ClaimedVectorKey(Bytes head_row) {
  if (head_row.size() < kVectorKeyOffset + 8) return VectorKey{};
  return VectorKey{LoadLe<uint64_t>(head_row.data() + kVectorKeyOffset)};
}

}  // namespace engram::engine
