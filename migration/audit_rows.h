// Verification's own reader of stored rows (docs/format/store.md): fixed offsets, no code shared
// with engine/heads.cc or engine/rows.cc. Fills the AuditRecord that the audit's canonical writer
// understands.
#ifndef ENGRAM_MIGRATION_AUDIT_ROWS_H_
#define ENGRAM_MIGRATION_AUDIT_ROWS_H_

#include <array>
#include <string>

#include "base/coding.h"
#include "base/crypto.h"
#include "migration/audit_decoder.h"

namespace engram::migration {

// A time as heads store it.
struct AuditStamp {
  int64_t seconds = 0;
  uint32_t nanos = 0;
  bool operator==(const AuditStamp&) const = default;
};

// What a head row says, whichever of the two layouts it has.
struct AuditHead {
  uint64_t seq = 0;
  uint64_t vector_key = 0;
  Sha256Digest digest{};
  Sha256Digest embedding_sha256{};
  int tier = 0;  // 0 hot, 1 warm, 2 cold
  uint32_t origin = 0;
  std::array<uint8_t, 16> uuid{};  // dual heads only
  // Scalar fields of the record, as in AuditRecord.
  uint32_t activation_bits = 0;
  uint32_t encoding_bits = 0;
  std::optional<uint32_t> vividness_bits;
  std::optional<uint32_t> reliability_bits;
  uint32_t decay_rate_bits = 0;
  std::optional<AuditDecay> decay;
  std::optional<AuditStamp> when;
  std::optional<AuditStamp> last_recall;
  std::optional<uint32_t> recall_count;
  std::optional<AuditStamp> last_access;
  std::optional<uint64_t> access_count;
  std::optional<AuditStamp> created_at;
  std::string_view layout;
};

// Each returns "" or what is wrong: size, checksum (expected and actual), version, kind, enum.
std::string ReadOldHead(Bytes key, Bytes value, AuditHead* out);
std::string ReadDualHead(Bytes key, Bytes value, AuditHead* out);

struct AuditExtension {
  uint8_t node_type = 1;
  std::optional<uint32_t> strength_bits;
  std::optional<uint32_t> consolidation_bits;
  uint32_t coherence_bits = 0;
  uint32_t instance_count = 0;
  AuditTime formation_time;
};
std::string ReadExtension(Bytes key, Bytes value, AuditExtension* out);

// Fills the text fields of `out`; its views borrow `value`.
std::string ReadText(Bytes key, Bytes value, AuditRecord* out);
// `floats` borrows `value`.
std::string ReadEmbeddingRow(Bytes key, Bytes value, uint64_t* owner, Bytes* floats);
// Small rows: the value without its checksum.
std::string ReadSmall(Bytes key, Bytes value, Bytes* out);

void ApplyHead(const AuditHead& head, AuditRecord* record);
// The same record content, digest, tier, layout, origin and vector; not seq and uuid.
bool SaysTheSame(const AuditHead& a, const AuditHead& b);
void ApplyExtension(const AuditExtension& extension, AuditRecord* record);

// Time as upstream writes it.
AuditTime AuditTimeOf(int64_t seconds, uint32_t nanos);
// UUID of a node (docs/format/store.md).
std::array<uint8_t, 16> AuditUuid(std::string_view space, std::string_view id);
// The key of an id in the id table.
std::string AuditIdKey(std::string_view id);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_AUDIT_ROWS_H_
