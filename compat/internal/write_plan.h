// The decisions of interception and of serving, as pure functions: which heads a write leaves
// behind in which mode, and which head a read is answered from.
#ifndef ENGRAM_COMPAT_INTERNAL_WRITE_PLAN_H_
#define ENGRAM_COMPAT_INTERNAL_WRITE_PLAN_H_

#include "engine/store.h"

namespace engram::compat::internal {

struct HeadPlan {
  bool old_head = false;
  bool dual_head = false;
};
HeadPlan HeadsWrittenIn(engine::Mode mode);

// True when reads in `mode` are answered from the old head where a current one exists.
bool ServesOldHeads(engine::Mode mode);
// True when `mode` converts what it reads (and may install it).
bool ConvertsLazily(engine::Mode mode);
// An old head with the sequence of the record's last write is there.
bool HasCurrentOldHead(const engine::StoredRecord& record);

// The fixed-size part of a record's content in its new form, text left empty: the form every write
// is planned in. REQUIRES: one head is present.
void CurrentHead(const engine::StoredRecord& record, const Uuid& uuid, engine::DualNode* out);

// The heads that `mode` asks for, from `head` (its text is not looked at).
engine::WriteTxn::Record PlanRecord(engine::Mode mode, NodeKey key, const engine::DualNode& head,
                                    const Sha256Digest& digest);

// True when an Episode has nothing that needs an extension row.
bool IsDefaultExtension(const engine::Extension& extension);
// kInvalidArgument: type unknown, fields of the other type set, or times out of range.
Status ValidateExtension(const engine::Extension& extension);
// kInvalidArgument names the field: text that is not UTF-8, a time that no text form can express,
// an enumeration value that the format does not have.
Status ValidateText(const engine::TextFields& text);
Status ValidateHead(const engine::DualNode& head);

// Whether the old and the dual head of a record say the same (shadow mode), layout included.
bool SameContent(const engine::Memory& old_head, const engine::DualNode& dual_head,
                 const engine::Extension& extension);

// Upstream's clamp: to [0,1], NaN and -0.0 stay.
float ClampUnit(float value);
// Upstream's spreading: min(1, current + amount), where NaN becomes 1 and nothing is floored.
float SpreadOnto(float current, float amount);

}  // namespace engram::compat::internal

#endif  // ENGRAM_COMPAT_INTERNAL_WRITE_PLAN_H_
