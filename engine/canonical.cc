// The canonical encoding of a record: docs/format/digest.md, section 1. One pass over a buffer
// sized beforehand, because this runs for every record of every conversion and verification.
#include <algorithm>

#include "base/check.h"
#include "base/coding.h"
#include "engine/record.h"

namespace engram::engine {
namespace {

constexpr std::string_view kDomain("engram/record/1\0", 16);

// Everything but the bytes of strings, lists and maps: generous, checked after writing.
constexpr size_t kFixedSizeBytesMax = 320 + 5 * kTimestampSizeBytesMax;

size_t BoundOf(const std::optional<std::string>& text) { return text ? text->size() : 0; }

size_t BoundOf(const MetadataMap& map) {
  size_t size = 0;
  for (const auto& [key, value] : map) size += 8 + key.size() + value.size();
  return size;
}

size_t BoundOf(const TextFields& text) {
  size_t size =
      text.id.size() + BoundOf(text.content) + BoundOf(text.where) + BoundOf(text.metadata);
  if (text.who) {
    for (const std::string& name : *text.who) size += 4 + name.size();
  }
  if (text.provenance) {
    const EmbeddingProvenance& provenance = *text.provenance;
    size += provenance.model_name.size() + provenance.model_version.size() +
            BoundOf(provenance.language) + BoundOf(provenance.metadata);
  }
  return size;
}

// Writes forward without bounds checks: the caller has made room.
class Writer {
 public:
  explicit Writer(char* out) : p_(out) {}
  char* position() const { return p_; }

  template <typename T>
  void Le(T value) {
    StoreLe(p_, value);
    p_ += sizeof value;
  }
  void U8(uint8_t value) { Le(value); }
  void Float(float value) { Le(std::bit_cast<uint32_t>(value)); }
  void Raw(std::string_view bytes) {
    std::memcpy(p_, bytes.data(), bytes.size());
    p_ += bytes.size();
  }
  void String(std::string_view text) {
    ENGRAM_CHECK(text.size() <= UINT32_MAX);
    Le(static_cast<uint32_t>(text.size()));
    Raw(text);
  }
  void Time(const Timestamp& time) {
    const size_t size = WriteTimestamp(time, p_ + 4);
    Le(static_cast<uint32_t>(size));
    p_ += size;
  }
  bool Present(bool present) {
    U8(present ? 1 : 0);
    return present;
  }
  void OptionalString(const std::optional<std::string>& text) {
    if (Present(text.has_value())) String(*text);
  }
  void OptionalTime(const std::optional<Timestamp>& time) {
    if (Present(time.has_value())) Time(*time);
  }
  void OptionalFloat(const std::optional<float>& value) {
    if (Present(value.has_value())) Float(*value);
  }
  template <typename T>
  void OptionalLe(const std::optional<T>& value) {
    if (Present(value.has_value())) Le(*value);
  }
  void Map(const MetadataMap& map);

 private:
  char* p_;
};

// Indices of the pairs that count, in ascending order of the key bytes.
const std::vector<uint32_t>& CanonicalOrder(const MetadataMap& map) {
  thread_local std::vector<uint32_t> order;
  order.resize(map.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&map](uint32_t a, uint32_t b) {
    const int c = map[a].first.compare(map[b].first);  // unsigned bytes, a prefix first
    return c != 0 ? c < 0 : a < b;
  });
  size_t kept = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const bool repeated_later =
        i + 1 < order.size() && map[order[i]].first == map[order[i + 1]].first;
    if (!repeated_later) order[kept++] = order[i];
  }
  order.resize(kept);
  return order;
}

void Writer::Map(const MetadataMap& map) {
  if (map.empty()) {
    Le(uint32_t{0});
    return;
  }
  const std::vector<uint32_t>& order = CanonicalOrder(map);
  Le(static_cast<uint32_t>(order.size()));
  for (uint32_t i : order) {
    String(map[i].first);
    String(map[i].second);
  }
}

void WriteProvenance(const EmbeddingProvenance& provenance, Writer* out) {
  out->String(provenance.model_name);
  out->String(provenance.model_version);
  out->Le(provenance.dimension);
  out->OptionalString(provenance.language);
  out->Le(provenance.created_at_s);
  out->OptionalFloat(provenance.quality_score);
  out->Map(provenance.metadata);
}

void WriteDecay(const DecayFunction& decay, Writer* out) {
  out->U8(static_cast<uint8_t>(decay.kind));
  switch (decay.kind) {
    case DecayKind::kExponential:
    case DecayKind::kPowerLaw:
      out->Float(decay.a);
      break;
    case DecayKind::kTwoComponent:
      out->Le(decay.n);
      break;
    case DecayKind::kHybrid:
      out->Float(decay.a);
      out->Float(decay.b);
      out->Le(decay.n);
      break;
  }
}

void WriteExtension(const Extension& extension, Writer* out) {
  out->U8(static_cast<uint8_t>(extension.type));
  if (extension.type == NodeType::kConcept) {
    out->Float(extension.coherence);
    out->Le(extension.instance_count);
    out->Time(extension.formation_time);
  } else {
    out->OptionalFloat(extension.strength);
    out->OptionalFloat(extension.consolidation_score);
  }
}

void WriteCanonical(const DualNode& node, const TextFields& text, Writer* out) {
  const Residual& residual = node.residual;
  out->Raw(kDomain);
  out->String(text.id);
  out->OptionalString(text.content);
  out->OptionalTime(residual.when);
  out->OptionalString(text.where);
  if (out->Present(text.who.has_value())) {
    out->Le(static_cast<uint32_t>(text.who->size()));
    for (const std::string& name : *text.who) out->String(name);
  }
  out->Raw(AsView(node.embedding_sha256));
  if (out->Present(text.provenance.has_value())) WriteProvenance(*text.provenance, out);
  out->Float(node.activation);
  out->Float(node.confidence);
  out->OptionalFloat(residual.confidence_vividness);
  out->OptionalFloat(residual.confidence_reliability);
  out->Float(residual.decay_rate);
  if (out->Present(residual.decay_function.has_value())) {
    WriteDecay(*residual.decay_function, out);
  }
  out->OptionalTime(residual.last_recall);
  out->OptionalLe(residual.recall_count);
  out->OptionalTime(node.last_access);
  out->OptionalLe(residual.access_count);
  out->OptionalTime(node.created_at);
  out->Map(text.metadata);
  WriteExtension(node.extension, out);
}

}  // namespace

void AppendCanonical(const DualNode& node, const TextFields& text, std::string* out) {
  const size_t start = out->size();
  const size_t bound = kFixedSizeBytesMax + BoundOf(text);
  out->resize(start + bound);
  Writer writer(out->data() + start);
  WriteCanonical(node, text, &writer);
  const auto size = static_cast<size_t>(writer.position() - out->data());
  ENGRAM_CHECK(size <= start + bound);
  out->resize(size);
}

void AppendCanonical(const DualNode& node, std::string* out) {
  AppendCanonical(node, node.text, out);
}

Sha256Digest RecordDigest(const DualNode& node, const TextFields& text) {
  thread_local std::string buffer;
  thread_local Sha256 sha256;
  constexpr size_t kKeptCapacityBytesMax = 1u << 20;  // a huge text is not kept for ever
  buffer.clear();
  AppendCanonical(node, text, &buffer);
  const Sha256Digest digest = sha256.Hash(AsBytes(buffer));
  if (buffer.capacity() > kKeptCapacityBytesMax) std::string().swap(buffer);
  return digest;
}

Sha256Digest RecordDigest(const DualNode& node) { return RecordDigest(node, node.text); }

}  // namespace engram::engine
