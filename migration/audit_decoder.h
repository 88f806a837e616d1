// The second decoder: from the raw upstream payloads of one id to the canonical bytes and the
// digest of the record they amount to (docs/format/digest.md, engram-formats 3). It exists to
// disagree with the converter when either is wrong, so it has its own parser, its own merge and its
// own canonical writer; it includes base/ only. Never include compat/ or engine/ here.
#ifndef ENGRAM_MIGRATION_AUDIT_DECODER_H_
#define ENGRAM_MIGRATION_AUDIT_DECODER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/coding.h"
#include "base/crypto.h"
#include "base/result.h"

namespace engram::migration {

// A time as its text; room for the longest upstream can write.
struct AuditTime {
  uint8_t size = 0;
  char text[47];
  std::string_view view() const { return {text, size}; }
};

using AuditMap = std::vector<std::pair<std::string_view, std::string_view>>;

struct AuditProvenance {
  std::string_view model_name;
  std::string_view model_version;
  uint64_t dimension = 0;
  std::optional<std::string_view> language;
  uint64_t created_at_s = 0;
  std::optional<uint32_t> quality_bits;
  AuditMap metadata;  // in source order, repeated keys included
};

struct AuditDecay {
  uint32_t kind = 0;
  uint32_t a_bits = 0;
  uint32_t b_bits = 0;
  uint64_t n = 0;
};

// A record's logical content. Floats are their bits. Strings and the embedding are borrowed from
// the payloads (or from whatever else filled the record: verification fills it from stored rows).
struct AuditRecord {
  std::string_view id;
  std::optional<std::string_view> content;
  std::optional<AuditTime> when;
  std::optional<std::string_view> where;
  bool has_who = false;
  std::vector<std::string_view> who;
  Bytes embedding;  // 3072 bytes
  Sha256Digest embedding_sha256{};
  bool has_provenance = false;
  AuditProvenance provenance;
  uint32_t activation_bits = 0;
  uint32_t encoding_bits = 0;
  std::optional<uint32_t> vividness_bits;
  std::optional<uint32_t> reliability_bits;
  uint32_t decay_rate_bits = 0;
  std::optional<AuditDecay> decay;
  std::optional<AuditTime> last_recall;
  std::optional<uint32_t> recall_count;
  std::optional<AuditTime> last_access;
  std::optional<uint64_t> access_count;
  std::optional<AuditTime> created_at;
  AuditMap metadata;
  // 1: episode, 2: concept. A record from a source is always an episode with nothing set.
  uint8_t node_type = 1;
  std::optional<uint32_t> strength_bits;
  std::optional<uint32_t> consolidation_bits;
  uint32_t coherence_bits = 0;
  uint32_t instance_count = 0;
  AuditTime formation_time;
  std::string_view layout;  // "E0".."E3", "M", "" if born here; not part of the digest

  void Clear();  // keeps capacities
};

// 0 hot, 1 warm, 2 cold; NaN is cold.
int AuditTierOf(uint32_t activation_bits);

// One field as text: floats as 8 hex digits, absent as "null", maps sorted with the last of a
// repeated key, strings JSON-quoted, the embedding as its SHA-256.
struct AuditField {
  std::string name;  // as in cli.md: "confidence.encoding", "embedding_sha256", ...
  std::string value;
};
std::vector<AuditField> AuditFields(const AuditRecord& record);
void AppendAuditCanonical(const AuditRecord& record, std::string* out);

// One payload that counts for an id.
struct AuditPayload {
  uint32_t type = 0;  // 1 or 2
  Bytes payload;
};

// Reused for many records; one per thread.
class AuditDecoder {
 public:
  // The payload decodes as one of the layouts of its type with exact consumption.
  bool Decodable(const AuditPayload& payload);

  // Folds the contributions of one id, oldest first, since its last delete:
  //   type 1: replaces every field its layout has, keeps the others; activation := encoding
  //           confidence.
  //   type 2: replaces every field it has, keeps the episode-only ones; an activation of +0.0
  //           (bits 0) keeps the previous one if there is one.
  //   layout: the last one's.
  // REQUIRES: not empty. kCorruption if one does not decode or the ids differ.
  Status Fold(std::span<const AuditPayload> contributions);

  // If the embedding that counts is exactly the bytes at `known.data()`, its hash is taken as
  // given instead of computed again: the same function over the same bytes. Optional; reset by
  // each Fold.
  struct KnownHash {
    Bytes embedding;
    Sha256Digest sha256{};
  };
  void SetKnownHash(const KnownHash& known) { known_ = known; }

  // Valid after Fold returned OK, until the next one and while the payloads live.
  const AuditRecord& record() const { return record_; }
  const std::string& canonical() const { return canonical_; }
  Sha256Digest digest() const { return Sha256Of(AsBytes(canonical_)); }
  int tier() const { return AuditTierOf(record_.activation_bits); }

 private:
  bool Parse(const AuditPayload& payload, AuditRecord* out);
  Sha256 sha256_;
  AuditRecord record_;
  AuditRecord next_;
  std::string canonical_;
  KnownHash known_;
};

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_AUDIT_DECODER_H_
