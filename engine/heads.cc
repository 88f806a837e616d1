// The fixed-size rows: old head, dual head, extension. docs/format/store.md has the layouts.
#include <concepts>
#include <type_traits>

#include "base/check.h"
#include "engine/row_checksum.h"
#include "engine/rows.h"

namespace engram::engine {
namespace {

// First two bytes of each fixed-size row. Persisted.
constexpr uint8_t kRowVersion = 1;
constexpr uint8_t kKindOldHead = 1;
constexpr uint8_t kKindDualHead = 2;
constexpr uint8_t kKindExtension = 3;

constexpr uint32_t kNanosMax = 1999999999;

#pragma pack(push, 1)
// Memory as it was: its scalar fields side by side. An absent field is zero and its bit is clear.
struct OldHeadRow {
  uint8_t version;
  uint8_t kind;
  uint8_t tier;
  uint8_t layout;
  uint32_t present;
  uint64_t seq;
  uint64_t vector_key;
  Sha256Digest digest;
  uint32_t origin;
  float activation;
  float confidence_encoding;
  float confidence_vividness;
  float confidence_reliability;
  float decay_rate;
  int64_t when_s;
  int64_t last_recall_s;
  int64_t last_access_s;
  int64_t created_at_s;
  uint32_t when_ns;
  uint32_t last_recall_ns;
  uint32_t last_access_ns;
  uint32_t created_at_ns;
  uint64_t access_count;
  uint32_t recall_count;
  uint32_t decay_kind;
  float decay_a;
  float decay_b;
  uint64_t decay_n;
  Sha256Digest embedding_sha256;
  uint32_t reserved;
  uint32_t crc;
};

// DualMemoryNode: what the node has fields for, then the residual.
struct DualHeadRow {
  uint8_t version;
  uint8_t kind;
  uint8_t tier;
  uint8_t node_present;
  uint32_t origin;
  uint64_t seq;
  uint64_t vector_key;
  Sha256Digest digest;
  // DualMemoryNode
  std::array<uint8_t, 16> uuid;
  Sha256Digest embedding_sha256;
  float activation;
  float confidence;
  int64_t last_access_s;
  int64_t created_at_s;
  uint32_t last_access_ns;
  uint32_t created_at_ns;
  // residual
  uint8_t residual_present;
  uint8_t layout;
  uint8_t decay_kind;
  uint8_t zero;
  float decay_rate;
  int64_t when_s;
  int64_t last_recall_s;
  uint32_t when_ns;
  uint32_t last_recall_ns;
  float confidence_vividness;
  float confidence_reliability;
  uint64_t access_count;
  uint64_t decay_n;
  float decay_a;
  float decay_b;
  uint32_t recall_count;
  uint32_t crc;
};

struct ExtensionRow {
  uint8_t version;
  uint8_t kind;
  uint8_t type;
  uint8_t present;
  float strength;
  float consolidation_score;
  float coherence;
  uint32_t instance_count;
  uint32_t formation_ns;
  int64_t formation_s;
  uint32_t reserved;
  uint32_t crc;
};
#pragma pack(pop)

static_assert(sizeof(OldHeadRow) == kOldHeadSizeBytes && kOldHeadSizeBytes % 8 == 0);
static_assert(offsetof(OldHeadRow, digest) == 24 && offsetof(OldHeadRow, activation) == 60);
static_assert(offsetof(OldHeadRow, when_s) == 80 && offsetof(OldHeadRow, access_count) == 128);
static_assert(offsetof(OldHeadRow, embedding_sha256) == 160 && offsetof(OldHeadRow, crc) == 196);
static_assert(sizeof(DualHeadRow) == kDualHeadSizeBytes && kDualHeadSizeBytes % 8 == 0);
static_assert(offsetof(DualHeadRow, digest) == 24 && offsetof(DualHeadRow, uuid) == 56);
static_assert(offsetof(DualHeadRow, embedding_sha256) == 72);
static_assert(offsetof(DualHeadRow, residual_present) == 136);
static_assert(offsetof(DualHeadRow, access_count) == 176 && offsetof(DualHeadRow, crc) == 204);
static_assert(sizeof(ExtensionRow) == kExtensionSizeBytes && offsetof(ExtensionRow, crc) == 36);
static_assert(kOldHeadSizeBytes < 300 && kDualHeadSizeBytes < 300);
static_assert(std::is_trivially_copyable_v<OldHeadRow> &&
              std::is_trivially_copyable_v<DualHeadRow>);
static_assert(std::is_trivially_copyable_v<ExtensionRow>);

// Presence bits; persisted.
enum OldBit : uint32_t {
  kOldWhen = 1,
  kOldLastRecall = 2,
  kOldLastAccess = 4,
  kOldCreatedAt = 8,
  kOldVividness = 16,
  kOldReliability = 32,
  kOldRecallCount = 64,
  kOldAccessCount = 128,
  kOldDecay = 256,
  kOldAll = 511,
};
enum NodeBit : uint8_t { kNodeLastAccess = 1, kNodeCreatedAt = 2, kNodeAll = 3 };
enum ResidualBit : uint8_t {
  kResidualWhen = 1,
  kResidualLastRecall = 2,
  kResidualVividness = 4,
  kResidualReliability = 8,
  kResidualRecallCount = 16,
  kResidualAccessCount = 32,
  kResidualDecay = 64,
  kResidualAll = 127,
};
enum ExtensionBit : uint8_t { kExtensionStrength = 1, kExtensionScore = 2, kExtensionAll = 3 };

// Fills a row's optional fields and collects their presence bits.
class Packer {
 public:
  template <std::unsigned_integral Bit>
  Bit bits() const {
    return static_cast<Bit>(bits_);
  }
  // Members of packed rows are passed by pointer to bytes: they may be unaligned.
  template <typename T>
  void Put(uint32_t bit, const std::optional<T>& value, void* field) {
    const T stored = value.value_or(T{});
    std::memcpy(field, &stored, sizeof stored);
    if (value) bits_ |= bit;
  }
  void PutTime(uint32_t bit, const std::optional<Timestamp>& time, void* seconds, void* nanos) {
    const Timestamp stored = time.value_or(Timestamp{});
    std::memcpy(seconds, &stored.seconds, sizeof stored.seconds);
    std::memcpy(nanos, &stored.nanos, sizeof stored.nanos);
    if (time) bits_ |= bit;
  }
  void PutDecay(uint32_t bit, const std::optional<DecayFunction>& decay, void* a, void* b,
                void* n) {
    const DecayFunction stored = decay.value_or(DecayFunction{});
    std::memcpy(a, &stored.a, sizeof stored.a);
    std::memcpy(b, &stored.b, sizeof stored.b);
    std::memcpy(n, &stored.n, sizeof stored.n);
    if (decay) bits_ |= bit;
  }

 private:
  uint32_t bits_ = 0;
};

// The reverse. Remembers whether an absent field held anything or a time was out of range, so that
// a decoder asks once.
class Unpacker {
 public:
  explicit Unpacker(uint32_t bits) : bits_(bits) {}
  bool ok() const { return ok_; }

  template <typename T>
  void Get(uint32_t bit, T field, std::optional<T>* out) {
    if ((bits_ & bit) != 0) {
      *out = field;
    } else {
      RequireZero(&field, sizeof field);
      out->reset();
    }
  }
  void GetTime(uint32_t bit, int64_t seconds, uint32_t nanos, std::optional<Timestamp>* out) {
    if ((bits_ & bit) != 0) {
      *out = Timestamp{seconds, nanos};
      ok_ &= nanos <= kNanosMax;
    } else {
      ok_ &= seconds == 0 && nanos == 0;
      out->reset();
    }
  }
  void GetDecay(uint32_t bit, uint32_t kind, const DecayFunction& parameters,
                std::optional<DecayFunction>* out) {
    if ((bits_ & bit) != 0) {
      *out = parameters;
      (*out)->kind = static_cast<DecayKind>(kind);
      ok_ &= kind <= static_cast<uint32_t>(DecayKind::kHybrid);
    } else {
      RequireZero(&parameters.a, sizeof parameters.a);
      RequireZero(&parameters.b, sizeof parameters.b);
      ok_ &= kind == 0 && parameters.n == 0;
      out->reset();
    }
  }

 private:
  void RequireZero(const void* field, size_t size) {
    uint64_t bits = 0;
    std::memcpy(&bits, field, size);
    ok_ &= bits == 0;
  }
  uint32_t bits_;
  bool ok_ = true;
};

uint32_t DecayKindOf(const std::optional<DecayFunction>& decay) {
  return decay ? static_cast<uint32_t>(decay->kind) : 0;
}

template <typename Row>
void PackCommon(const HeadCommon& common, Row* row) {
  row->version = kRowVersion;
  row->tier = static_cast<uint8_t>(common.tier);
  row->origin = common.origin;
  row->seq = common.seq.value;
  row->vector_key = common.vector_key.value;
  row->digest = common.digest;
}

template <typename Row>
void UnpackCommon(const Row& row, HeadCommon* common) {
  common->seq = Lsn{row.seq};
  common->vector_key = VectorKey{row.vector_key};
  common->digest = row.digest;
  common->tier = static_cast<Tier>(row.tier);
  common->origin = row.origin;
}

template <typename Row>
void Seal(Bytes key, Row row, std::string* out) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&row);
  row.crc = RowCrc(key, {bytes, offsetof(Row, crc)});
  out->append(reinterpret_cast<const char*>(&row), sizeof row);
}

// Size, checksum, version and kind.
template <typename Row>
Status Open(std::string_view what, uint8_t kind, Bytes key, Bytes value, Row* row) {
  if (value.size() != sizeof(Row)) return WrongSize(what, sizeof(Row), value.size());
  Bytes body;
  ENGRAM_TRY(OpenRow(what, key, value, &body));
  std::memcpy(row, value.data(), sizeof(Row));
  if (row->version != kRowVersion) return WrongField(what, "version", "1", row->version);
  if (row->kind != kind) return WrongField(what, "kind", std::to_string(kind), row->kind);
  return Status::Ok();
}

Status CheckEnums(std::string_view what, uint8_t tier, uint8_t layout) {
  if (tier < 1 || tier > kTierCount) return WrongField(what, "tier", "1 to 3", tier);
  if (layout > static_cast<uint8_t>(Layout::kM))
    return WrongField(what, "layout", "0 to 5", layout);
  return Status::Ok();
}

Status StrayField(std::string_view what) {
  return Status::Corruption(std::string(what) +
                            ": a field is out of range, or is absent and not zero");
}

}  // namespace

void EncodeOldHead(Bytes key, const HeadCommon& common, const Memory& memory, std::string* out) {
  OldHeadRow row{};
  PackCommon(common, &row);
  row.kind = kKindOldHead;
  row.layout = static_cast<uint8_t>(memory.layout);
  row.activation = memory.activation;
  row.confidence_encoding = memory.confidence_encoding;
  row.decay_rate = memory.decay_rate;
  row.embedding_sha256 = memory.embedding_sha256;
  row.decay_kind = DecayKindOf(memory.decay_function);
  Packer pack;
  pack.PutTime(kOldWhen, memory.when, &row.when_s, &row.when_ns);
  pack.PutTime(kOldLastRecall, memory.last_recall, &row.last_recall_s, &row.last_recall_ns);
  pack.PutTime(kOldLastAccess, memory.last_access, &row.last_access_s, &row.last_access_ns);
  pack.PutTime(kOldCreatedAt, memory.created_at, &row.created_at_s, &row.created_at_ns);
  pack.Put(kOldVividness, memory.confidence_vividness, &row.confidence_vividness);
  pack.Put(kOldReliability, memory.confidence_reliability, &row.confidence_reliability);
  pack.Put(kOldRecallCount, memory.recall_count, &row.recall_count);
  pack.Put(kOldAccessCount, memory.access_count, &row.access_count);
  pack.PutDecay(kOldDecay, memory.decay_function, &row.decay_a, &row.decay_b, &row.decay_n);
  row.present = pack.bits<uint32_t>();
  Seal(key, row, out);
}

void RepositionHead(Bytes key, Lsn seq, VectorKey vector_key, std::span<uint8_t> row) {
  static_assert(offsetof(OldHeadRow, seq) == offsetof(DualHeadRow, seq));
  static_assert(offsetof(OldHeadRow, vector_key) == offsetof(DualHeadRow, vector_key));
  StoreLe(&row[offsetof(OldHeadRow, seq)], seq.value);
  StoreLe(&row[offsetof(OldHeadRow, vector_key)], vector_key.value);
  const std::span<uint8_t> body = row.first(row.size() - kRowCrcSizeBytes);
  StoreLe(&row[body.size()], RowCrc(key, body));
}

Status DecodeOldHead(Bytes key, Bytes value, OldHead* out) {
  static constexpr std::string_view kWhat = "old head";
  OldHeadRow row{};
  ENGRAM_TRY(Open(kWhat, kKindOldHead, key, value, &row));
  ENGRAM_TRY(CheckEnums(kWhat, row.tier, row.layout));
  if (row.present > kOldAll) return WrongField(kWhat, "presence bits", "0 to 511", row.present);
  UnpackCommon(row, &out->common);
  Memory& memory = out->memory;
  memory.layout = static_cast<Layout>(row.layout);
  memory.activation = row.activation;
  memory.confidence_encoding = row.confidence_encoding;
  memory.decay_rate = row.decay_rate;
  memory.embedding_sha256 = row.embedding_sha256;
  Unpacker unpack(row.present);
  unpack.GetTime(kOldWhen, row.when_s, row.when_ns, &memory.when);
  unpack.GetTime(kOldLastRecall, row.last_recall_s, row.last_recall_ns, &memory.last_recall);
  unpack.GetTime(kOldLastAccess, row.last_access_s, row.last_access_ns, &memory.last_access);
  unpack.GetTime(kOldCreatedAt, row.created_at_s, row.created_at_ns, &memory.created_at);
  unpack.Get<float>(kOldVividness, row.confidence_vividness, &memory.confidence_vividness);
  unpack.Get<float>(kOldReliability, row.confidence_reliability, &memory.confidence_reliability);
  unpack.Get<uint32_t>(kOldRecallCount, row.recall_count, &memory.recall_count);
  unpack.Get<uint64_t>(kOldAccessCount, row.access_count, &memory.access_count);
  unpack.GetDecay(kOldDecay, row.decay_kind, {{}, row.decay_a, row.decay_b, row.decay_n},
                  &memory.decay_function);
  return unpack.ok() && row.reserved == 0 ? Status::Ok() : StrayField(kWhat);
}

void EncodeDualHead(Bytes key, const HeadCommon& common, const DualNode& node, std::string* out) {
  const Residual& residual = node.residual;
  DualHeadRow row{};
  PackCommon(common, &row);
  row.kind = kKindDualHead;
  row.uuid = node.uuid.bytes;
  row.embedding_sha256 = node.embedding_sha256;
  row.activation = node.activation;
  row.confidence = node.confidence;
  row.layout = static_cast<uint8_t>(residual.layout);
  row.decay_kind = static_cast<uint8_t>(DecayKindOf(residual.decay_function));
  row.decay_rate = residual.decay_rate;
  Packer pack;
  pack.PutTime(kNodeLastAccess, node.last_access, &row.last_access_s, &row.last_access_ns);
  pack.PutTime(kNodeCreatedAt, node.created_at, &row.created_at_s, &row.created_at_ns);
  row.node_present = pack.bits<uint8_t>();
  Packer rest;
  rest.PutTime(kResidualWhen, residual.when, &row.when_s, &row.when_ns);
  rest.PutTime(kResidualLastRecall, residual.last_recall, &row.last_recall_s, &row.last_recall_ns);
  rest.Put(kResidualVividness, residual.confidence_vividness, &row.confidence_vividness);
  rest.Put(kResidualReliability, residual.confidence_reliability, &row.confidence_reliability);
  rest.Put(kResidualRecallCount, residual.recall_count, &row.recall_count);
  rest.Put(kResidualAccessCount, residual.access_count, &row.access_count);
  rest.PutDecay(kResidualDecay, residual.decay_function, &row.decay_a, &row.decay_b, &row.decay_n);
  row.residual_present = rest.bits<uint8_t>();
  Seal(key, row, out);
}

Status DecodeDualHead(Bytes key, Bytes value, DualHead* out) {
  static constexpr std::string_view kWhat = "dual head";
  DualHeadRow row{};
  ENGRAM_TRY(Open(kWhat, kKindDualHead, key, value, &row));
  ENGRAM_TRY(CheckEnums(kWhat, row.tier, row.layout));
  if (row.node_present > kNodeAll || row.residual_present > kResidualAll) {
    return WrongField(kWhat, "presence bits", "known ones", row.residual_present);
  }
  UnpackCommon(row, &out->common);
  DualNode& node = out->node;
  Residual& residual = node.residual;
  node.uuid.bytes = row.uuid;
  node.embedding_sha256 = row.embedding_sha256;
  node.activation = row.activation;
  node.confidence = row.confidence;
  residual.layout = static_cast<Layout>(row.layout);
  residual.decay_rate = row.decay_rate;
  Unpacker unpack(row.node_present);
  unpack.GetTime(kNodeLastAccess, row.last_access_s, row.last_access_ns, &node.last_access);
  unpack.GetTime(kNodeCreatedAt, row.created_at_s, row.created_at_ns, &node.created_at);
  Unpacker rest(row.residual_present);
  rest.GetTime(kResidualWhen, row.when_s, row.when_ns, &residual.when);
  rest.GetTime(kResidualLastRecall, row.last_recall_s, row.last_recall_ns, &residual.last_recall);
  rest.Get<float>(kResidualVividness, row.confidence_vividness, &residual.confidence_vividness);
  rest.Get<float>(kResidualReliability, row.confidence_reliability,
                  &residual.confidence_reliability);
  rest.Get<uint32_t>(kResidualRecallCount, row.recall_count, &residual.recall_count);
  rest.Get<uint64_t>(kResidualAccessCount, row.access_count, &residual.access_count);
  rest.GetDecay(kResidualDecay, row.decay_kind, {{}, row.decay_a, row.decay_b, row.decay_n},
                &residual.decay_function);
  return unpack.ok() && rest.ok() && row.zero == 0 ? Status::Ok() : StrayField(kWhat);
}

void EncodeExtension(Bytes key, const Extension& extension, std::string* out) {
  ExtensionRow row{};
  row.version = kRowVersion;
  row.kind = kKindExtension;
  row.type = static_cast<uint8_t>(extension.type);
  row.coherence = extension.coherence;
  row.instance_count = extension.instance_count;
  row.formation_s = extension.formation_time.seconds;
  row.formation_ns = extension.formation_time.nanos;
  Packer pack;
  pack.Put(kExtensionStrength, extension.strength, &row.strength);
  pack.Put(kExtensionScore, extension.consolidation_score, &row.consolidation_score);
  row.present = pack.bits<uint8_t>();
  Seal(key, row, out);
}

Status DecodeExtension(Bytes key, Bytes value, Extension* out) {
  static constexpr std::string_view kWhat = "extension row";
  ExtensionRow row{};
  ENGRAM_TRY(Open(kWhat, kKindExtension, key, value, &row));
  if (row.type != static_cast<uint8_t>(NodeType::kEpisode) &&
      row.type != static_cast<uint8_t>(NodeType::kConcept)) {
    return WrongField(kWhat, "type", "1 or 2", row.type);
  }
  out->type = static_cast<NodeType>(row.type);
  out->coherence = row.coherence;
  out->instance_count = row.instance_count;
  out->formation_time = Timestamp{row.formation_s, row.formation_ns};
  Unpacker unpack(row.present);
  unpack.Get<float>(kExtensionStrength, row.strength, &out->strength);
  unpack.Get<float>(kExtensionScore, row.consolidation_score, &out->consolidation_score);
  const bool known =
      row.present <= kExtensionAll && row.formation_ns <= kNanosMax && row.reserved == 0;
  return unpack.ok() && known ? Status::Ok() : StrayField(kWhat);
}

}  // namespace engram::engine
