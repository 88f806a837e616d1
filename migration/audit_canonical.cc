// The audit's own writer of the canonical encoding (docs/format/digest.md section 1) and its dump
// of single fields. Shares nothing with engine/canonical.cc.
#include <algorithm>
#include <bit>

#include "migration/audit_decoder.h"

namespace engram::migration {
namespace {

constexpr std::string_view kPrefix("engram/record/1\0", 16);

void Text(std::string_view text, std::string* out) {
  PutLe<uint32_t>(out, static_cast<uint32_t>(text.size()));
  out->append(text);
}

void Time(const AuditTime& time, std::string* out) { Text(time.view(), out); }
void U32(uint32_t value, std::string* out) { PutLe<uint32_t>(out, value); }
void U64(uint64_t value, std::string* out) { PutLe<uint64_t>(out, value); }

template <typename T, typename Put>
void Optional(const std::optional<T>& value, Put put, std::string* out) {
  out->push_back(value.has_value() ? '\1' : '\0');
  if (value.has_value()) put(*value, out);
}

// Sorted by key bytes; of a repeated key only the last pair.
AuditMap Effective(const AuditMap& map) {
  AuditMap sorted = map;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  AuditMap effective;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i + 1 < sorted.size() && sorted[i + 1].first == sorted[i].first) continue;
    effective.push_back(sorted[i]);
  }
  return effective;
}

void Map(const AuditMap& map, std::string* out) {
  if (map.empty()) return U32(0, out);
  const AuditMap effective = Effective(map);
  U32(static_cast<uint32_t>(effective.size()), out);
  for (const auto& [key, value] : effective) {
    Text(key, out);
    Text(value, out);
  }
}

void Provenance(const AuditRecord& record, std::string* out) {
  out->push_back(record.has_provenance ? '\1' : '\0');
  if (!record.has_provenance) return;
  const AuditProvenance& p = record.provenance;
  Text(p.model_name, out);
  Text(p.model_version, out);
  U64(p.dimension, out);
  Optional(p.language, Text, out);
  U64(p.created_at_s, out);
  Optional(p.quality_bits, U32, out);
  Map(p.metadata, out);
}

void Decay(const AuditDecay& decay, std::string* out) {
  out->push_back(static_cast<char>(decay.kind));
  if (decay.kind != 2) U32(decay.a_bits, out);
  if (decay.kind == 3) U32(decay.b_bits, out);
  if (decay.kind >= 2) U64(decay.n, out);
}

void Who(const AuditRecord& record, std::string* out) {
  out->push_back(record.has_who ? '\1' : '\0');
  if (!record.has_who) return;
  U32(static_cast<uint32_t>(record.who.size()), out);
  for (std::string_view name : record.who) Text(name, out);
}

void NodePart(const AuditRecord& record, std::string* out) {
  out->push_back(static_cast<char>(record.node_type));
  if (record.node_type == 1) {
    Optional(record.strength_bits, U32, out);
    Optional(record.consolidation_bits, U32, out);
    return;
  }
  U32(record.coherence_bits, out);
  U32(record.instance_count, out);
  Time(record.formation_time, out);
}

// Rendering for mismatch reports.

std::string Quoted(std::string_view text) {
  static const char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string Bits(uint32_t bits) {
  uint8_t big_endian[4];
  StoreLe(big_endian, __builtin_bswap32(bits));
  return ToHex(big_endian);
}

std::string Number(uint64_t value) { return std::to_string(value); }
std::string TimeText(const AuditTime& time) { return Quoted(time.view()); }

template <typename T, typename Render>
std::string OrNull(const std::optional<T>& value, Render render) {
  return value.has_value() ? render(*value) : std::string("null");
}

std::string MapText(const AuditMap& map) {
  std::string out = "{";
  for (const auto& [key, value] : Effective(map)) {
    if (out.size() > 1) out += ',';
    out += Quoted(key) + ":" + Quoted(value);
  }
  return out + "}";
}

std::string WhoText(const AuditRecord& record) {
  if (!record.has_who) return "null";
  std::string out = "[";
  for (std::string_view name : record.who) {
    if (out.size() > 1) out += ',';
    out += Quoted(name);
  }
  return out + "]";
}

std::string DecayText(const AuditDecay& decay) {
  switch (decay.kind) {
    case 0:
      return "exponential " + Bits(decay.a_bits);
    case 1:
      return "power_law " + Bits(decay.a_bits);
    case 2:
      return "two_component " + Number(decay.n);
    default:
      return "hybrid " + Bits(decay.a_bits) + " " + Bits(decay.b_bits) + " " + Number(decay.n);
  }
}

void ProvenanceFields(const AuditRecord& record, std::vector<AuditField>* out) {
  if (!record.has_provenance) {
    out->push_back({"embedding_provenance", "null"});
    return;
  }
  const AuditProvenance& p = record.provenance;
  out->push_back({"embedding_provenance", "present"});
  out->push_back({"embedding_provenance.model_name", Quoted(p.model_name)});
  out->push_back({"embedding_provenance.model_version", Quoted(p.model_version)});
  out->push_back({"embedding_provenance.dimension", Number(p.dimension)});
  out->push_back({"embedding_provenance.language", OrNull(p.language, Quoted)});
  out->push_back({"embedding_provenance.created_at_s", Number(p.created_at_s)});
  out->push_back({"embedding_provenance.quality_score", OrNull(p.quality_bits, Bits)});
  out->push_back({"embedding_provenance.metadata", MapText(p.metadata)});
}

void NodeFields(const AuditRecord& record, std::vector<AuditField>* out) {
  out->push_back({"node.type", record.node_type == 2 ? "concept" : "episode"});
  if (record.node_type != 2) {
    out->push_back({"node.strength", OrNull(record.strength_bits, Bits)});
    out->push_back({"node.consolidation_score", OrNull(record.consolidation_bits, Bits)});
    return;
  }
  out->push_back({"node.coherence", Bits(record.coherence_bits)});
  out->push_back({"node.instance_count", Number(record.instance_count)});
  out->push_back({"node.formation_time", TimeText(record.formation_time)});
}

}  // namespace

int AuditTierOf(uint32_t activation_bits) {
  const float activation = std::bit_cast<float>(activation_bits);
  if (activation >= 0.7f) return 0;
  return activation >= 0.3f ? 1 : 2;
}

void AppendAuditCanonical(const AuditRecord& record, std::string* out) {
  out->append(kPrefix);
  Text(record.id, out);
  Optional(record.content, Text, out);
  Optional(record.when, Time, out);
  Optional(record.where, Text, out);
  Who(record, out);
  PutBytes(out, record.embedding_sha256);
  Provenance(record, out);
  U32(record.activation_bits, out);
  U32(record.encoding_bits, out);
  Optional(record.vividness_bits, U32, out);
  Optional(record.reliability_bits, U32, out);
  U32(record.decay_rate_bits, out);
  Optional(record.decay, Decay, out);
  Optional(record.last_recall, Time, out);
  Optional(record.recall_count, U32, out);
  Optional(record.last_access, Time, out);
  Optional(record.access_count, U64, out);
  Optional(record.created_at, Time, out);
  Map(record.metadata, out);
  NodePart(record, out);
}

std::vector<AuditField> AuditFields(const AuditRecord& record) {
  std::vector<AuditField> out;
  out.push_back({"id", Quoted(record.id)});
  out.push_back({"content", OrNull(record.content, Quoted)});
  out.push_back({"when", OrNull(record.when, TimeText)});
  out.push_back({"where", OrNull(record.where, Quoted)});
  out.push_back({"who", WhoText(record)});
  out.push_back({"embedding_sha256", ToHex(record.embedding_sha256)});
  ProvenanceFields(record, &out);
  out.push_back({"activation", Bits(record.activation_bits)});
  out.push_back({"confidence.encoding", Bits(record.encoding_bits)});
  out.push_back({"confidence.vividness", OrNull(record.vividness_bits, Bits)});
  out.push_back({"confidence.reliability", OrNull(record.reliability_bits, Bits)});
  out.push_back({"decay_rate", Bits(record.decay_rate_bits)});
  out.push_back({"decay_function", OrNull(record.decay, DecayText)});
  out.push_back({"last_recall", OrNull(record.last_recall, TimeText)});
  out.push_back({"recall_count", OrNull(record.recall_count, Number)});
  out.push_back({"last_access", OrNull(record.last_access, TimeText)});
  out.push_back({"access_count", OrNull(record.access_count, Number)});
  out.push_back({"created_at", OrNull(record.created_at, TimeText)});
  out.push_back({"metadata", MapText(record.metadata)});
  NodeFields(record, &out);
  return out;
}

}  // namespace engram::migration
