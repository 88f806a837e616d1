// The record model: what a memory is, in its old form (Memory) and its new form (DualMemoryNode),
// and the canonical encoding and digest that both share. Conversions between the two are compat's.
// Formats: docs/format/digest.md (canonical encoding), docs/format/store.md (rows).
#ifndef ENGRAM_ENGINE_RECORD_H_
#define ENGRAM_ENGINE_RECORD_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/crypto.h"
#include "base/ids.h"
#include "base/result.h"

namespace engram::engine {

inline constexpr uint32_t kEmbeddingDimension = 768;
inline constexpr uint32_t kEmbeddingSizeBytes = kEmbeddingDimension * 4;  // 3072
using Embedding = std::array<float, kEmbeddingDimension>;

// A UTC instant as upstream's log writes it: RFC 3339 text, always "Z", 0/3/6/9 fraction digits,
// signed years outside 0-9999, leap second printed as second 60 (nanos >= 10^9 then).
struct Timestamp {
  int64_t seconds = 0;  // since the Unix epoch
  uint32_t nanos = 0;   // < 2 * 10^9
  auto operator<=>(const Timestamp&) const = default;
};
// Accepts exactly the writer's grammar: Format(Parse(t)) == t for every accepted t. Years outside
// 0-9999 have a sign and four to six digits. kInvalidArgument otherwise.
Result<Timestamp> ParseTimestamp(std::string_view text);
// Total: every value has a text (as upstream, a leap second adds 1 to the second it belongs to).
void AppendTimestamp(const Timestamp& time, std::string* out);
// The same into `out`, which has room for kTimestampSizeBytesMax; returns the size written.
inline constexpr size_t kTimestampSizeBytesMax = 48;
size_t WriteTimestamp(const Timestamp& time, char* out);
std::string FormatTimestamp(const Timestamp& time);

// Upstream's payload layouts; persisted, never renumbered. kNone: the record was born here.
enum class Layout : uint8_t { kNone = 0, kE0 = 1, kE1 = 2, kE2 = 3, kE3 = 4, kM = 5 };
std::string_view LayoutName(Layout layout);  // "E0".."E3", "M", "" for kNone

// Key/value pairs in the order of the source bytes. A repeated key: the last pair counts, the
// others are kept for byte-exact re-encoding only.
using MetadataMap = std::vector<std::pair<std::string, std::string>>;

struct EmbeddingProvenance {
  std::string model_name;
  std::string model_version;
  uint64_t dimension = 0;
  std::optional<std::string> language;
  uint64_t created_at_s = 0;
  std::optional<float> quality_score;
  MetadataMap metadata;
  bool operator==(const EmbeddingProvenance&) const = delete;  // floats: compare digests
};

// Tags are upstream's enum indices; persisted.
enum class DecayKind : uint32_t { kExponential = 0, kPowerLaw = 1, kTwoComponent = 2, kHybrid = 3 };
struct DecayFunction {
  DecayKind kind = DecayKind::kExponential;
  float a = 0;     // tau_hours | beta | - | short_term_tau
  float b = 0;     // - | - | - | long_term_beta
  uint64_t n = 0;  // - | - | consolidation_threshold | transition_point
};

// The variable-length fields: one row, shared by both heads and never rewritten by migration.
struct TextFields {
  std::string id;  // any bytes that are valid UTF-8, may be empty, may hold NUL
  std::optional<std::string> content;
  std::optional<std::string> where;
  std::optional<std::vector<std::string>> who;
  std::optional<EmbeddingProvenance> provenance;
  MetadataMap metadata;
};

// The old form: the union of upstream's Memory and Episode. Floats keep their bits (NaN payloads,
// -0.0). What a layout lacks is absent, never derived.
struct Memory {
  TextFields text;
  Sha256Digest embedding_sha256{};  // of the 3072 little-endian bytes
  float activation = 0;
  float confidence_encoding = 0;
  std::optional<float> confidence_vividness;
  std::optional<float> confidence_reliability;
  float decay_rate = 0;
  std::optional<DecayFunction> decay_function;
  std::optional<Timestamp> when;
  std::optional<Timestamp> last_recall;
  std::optional<uint32_t> recall_count;
  std::optional<Timestamp> last_access;
  std::optional<uint64_t> access_count;
  std::optional<Timestamp> created_at;
  Layout layout = Layout::kNone;
};

// Persisted, never renumbered.
enum class NodeType : uint8_t { kEpisode = 1, kConcept = 2 };

// What typed calls set: one extension row in every mode, so that both forms have the same content.
// An Episode without a row has nothing set. REQUIRES: the concept fields are 0 for an Episode and
// strength/consolidation_score are absent for a Concept.
struct Extension {
  NodeType type = NodeType::kEpisode;
  std::optional<float> strength;
  std::optional<float> consolidation_score;
  float coherence = 0;
  uint32_t instance_count = 0;
  Timestamp formation_time;
};

// What DualMemoryNode has no field for.
struct Residual {
  std::optional<Timestamp> when;
  std::optional<float> confidence_vividness;
  std::optional<float> confidence_reliability;
  float decay_rate = 0;
  std::optional<DecayFunction> decay_function;
  std::optional<Timestamp> last_recall;
  std::optional<uint32_t> recall_count;
  std::optional<uint64_t> access_count;
  Layout layout = Layout::kNone;
};

// The new form. `text.id` is the Episode's episode_id (a Concept's external id); the other text
// fields belong to the residual. A Concept's centroid is its embedding.
struct DualNode {
  Uuid uuid;
  Extension extension;
  Sha256Digest embedding_sha256{};
  float activation = 0;
  float confidence = 0;
  std::optional<Timestamp> last_access;
  std::optional<Timestamp> created_at;
  Residual residual;
  TextFields text;
};

// The node's UUID: the id itself if it is a 36-byte lowercase hyphenated UUID of another version
// than 8, else a version-8 UUID cut from SHA-256 over (namespace, space, 0x00, id).
Uuid NodeUuid(const SpaceId& space, std::string_view id);

// Appends the canonical encoding of the logical content (docs/format/digest.md). In it: all of
// --view dual except uuid, bindings, format, layout, lsn, tier, digest. Not in it: map order.
void AppendCanonical(const DualNode& node, std::string* out);
Sha256Digest RecordDigest(const DualNode& node);
// The same with the text fields taken from `text`; node.text is not looked at.
void AppendCanonical(const DualNode& node, const TextFields& text, std::string* out);
Sha256Digest RecordDigest(const DualNode& node, const TextFields& text);

// Tiers (persisted in the head). Hot at activation >= 0.7f, warm >= 0.3f, else cold; NaN is cold.
enum class Tier : uint8_t { kHot = 1, kWarm = 2, kCold = 3 };
inline constexpr int kTierCount = 3;
Tier TierOf(float activation);
std::string_view TierName(Tier tier);

}  // namespace engram::engine

#endif  // ENGRAM_ENGINE_RECORD_H_
