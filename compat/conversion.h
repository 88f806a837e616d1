// The conversion between the two data models: pure, total, deterministic functions that lose
// nothing (design.md section 3). to_memory(to_dual(m)) == m bit for bit.
#ifndef ENGRAM_COMPAT_CONVERSION_H_
#define ENGRAM_COMPAT_CONVERSION_H_

#include "engine/record.h"

namespace engram::compat {

// What DualMemoryNode has a field for goes there, the rest to the residual. `extension` is what
// typed calls have set on the node (defaults for a new one). `out` is overwritten; its capacity is
// reused. Text fields are not touched: both heads share them (see ToDualHead/ToDual).
void ToDualHead(const engine::Memory& memory, const Uuid& uuid, const engine::Extension& extension,
                engine::DualNode* out);
// The reverse. A Concept is projected as upstream does: its centroid is the embedding.
void ToMemoryHead(const engine::DualNode& node, engine::Memory* out);

// With the text fields copied.
engine::DualNode ToDual(const engine::Memory& memory, const Uuid& uuid,
                        const engine::Extension& extension);
engine::Memory ToMemory(const engine::DualNode& node);

// The record digest of a memory: that of its dual form.
Sha256Digest MemoryDigest(const engine::Memory& memory, const engine::Extension& extension);

}  // namespace engram::compat

#endif  // ENGRAM_COMPAT_CONVERSION_H_
