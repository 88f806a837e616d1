#include "plugin/memory_marshal.h"

#include <cstring>
#include <optional>
#include <type_traits>

#include "base/utf8.h"
#include "compat/conversion.h"
#include "plugin/boundary.h"

namespace engram::plugin {
namespace {

static_assert(engine::kEmbeddingDimension == ENGRAM_SE_EMBEDDING_DIMENSION);
static_assert(static_cast<uint32_t>(engine::Layout::kM) == ENGRAM_SE_LAYOUT_M);
static_assert(static_cast<uint32_t>(engine::Tier::kCold) == ENGRAM_SE_TIER_COLD);
static_assert(static_cast<uint32_t>(engine::NodeType::kConcept) == ENGRAM_SE_NODE_CONCEPT);
static_assert(static_cast<uint32_t>(engine::DecayKind::kHybrid) == ENGRAM_SE_DECAY_HYBRID);

Status BadKey(std::string_view key, std::string_view what) {
  return Status::InvalidArgument("key \"" + std::string(key) + "\": " + std::string(what),
                                 "correct the memory and store it again");
}

// The fields of the C struct that are there, by their presence bits.
class Reader {
 public:
  explicit Reader(const engram_se_memory& given) : given_(given) {}

  bool Has(uint64_t bit) const { return (given_.present & bit) != 0; }
  template <typename T>
  void Optional(uint64_t bit, std::type_identity_t<T> value, std::optional<T>* out) const {
    if (Has(bit)) *out = value;
  }
  Status Text(std::string_view key, engram_se_bytes bytes, std::string* out) const {
    *out = ToView(bytes);
    return IsValidUtf8(*out) ? Status::Ok() : BadKey(key, "not valid UTF-8");
  }
  Status OptionalText(std::string_view key, uint64_t bit, engram_se_bytes bytes,
                      std::optional<std::string>* out) const {
    return Has(bit) ? Text(key, bytes, &out->emplace()) : Status::Ok();
  }
  Status OptionalTime(std::string_view key, uint64_t bit, engram_se_bytes bytes,
                      std::optional<engine::Timestamp>* out) const {
    if (!Has(bit)) return Status::Ok();
    Result<engine::Timestamp> time = engine::ParseTimestamp(ToView(bytes));
    if (!time.ok()) return BadKey(key, time.status().message()).WithHint(time.status().hint());
    *out = *time;
    return Status::Ok();
  }
  Status Map(std::string_view key, const engram_se_pair* pairs, uint64_t count,
             engine::MetadataMap* out) const {
    for (uint64_t i = 0; i < count; ++i) {
      auto& [name, value] = out->emplace_back();
      ENGRAM_TRY(Text(key, pairs[i].key, &name));
      ENGRAM_TRY(Text(key, pairs[i].value, &value));
    }
    return Status::Ok();
  }

 private:
  const engram_se_memory& given_;
};

Status ReadProvenance(const engram_se_memory& given, engine::EmbeddingProvenance* out) {
  const Reader reader(given);
  const std::string_view key = "embedding_provenance";
  ENGRAM_TRY(reader.Text(key, given.provenance_model_name, &out->model_name));
  ENGRAM_TRY(reader.Text(key, given.provenance_model_version, &out->model_version));
  ENGRAM_TRY(reader.OptionalText(key, ENGRAM_SE_HAS_PROVENANCE_LANGUAGE, given.provenance_language,
                                 &out->language));
  out->dimension = given.provenance_dimension;
  out->created_at_s = given.provenance_created_at_s;
  reader.Optional(ENGRAM_SE_HAS_PROVENANCE_QUALITY, given.provenance_quality_score,
                  &out->quality_score);
  return reader.Map(key, given.provenance_metadata, given.provenance_metadata_count,
                    &out->metadata);
}

Status ReadText(const engram_se_memory& given, engine::TextFields* out) {
  const Reader reader(given);
  ENGRAM_TRY(reader.Text("id", given.id, &out->id));
  ENGRAM_TRY(reader.OptionalText("content", ENGRAM_SE_HAS_CONTENT, given.content, &out->content));
  ENGRAM_TRY(reader.OptionalText("where", ENGRAM_SE_HAS_WHERE, given.where, &out->where));
  if (reader.Has(ENGRAM_SE_HAS_WHO)) {
    auto& who = out->who.emplace(given.who_count);
    for (uint64_t i = 0; i < given.who_count; ++i) {
      ENGRAM_TRY(reader.Text("who", given.who[i], &who[i]));
    }
  }
  if (reader.Has(ENGRAM_SE_HAS_PROVENANCE)) {
    ENGRAM_TRY(ReadProvenance(given, &out->provenance.emplace()));
  }
  return reader.Map("metadata", given.metadata, given.metadata_count, &out->metadata);
}

Status ReadTimes(const engram_se_memory& given, engine::Memory* out) {
  const Reader reader(given);
  ENGRAM_TRY(reader.OptionalTime("when", ENGRAM_SE_HAS_WHEN, given.when, &out->when));
  ENGRAM_TRY(reader.OptionalTime("last_recall", ENGRAM_SE_HAS_LAST_RECALL, given.last_recall,
                                 &out->last_recall));
  ENGRAM_TRY(reader.OptionalTime("last_access", ENGRAM_SE_HAS_LAST_ACCESS, given.last_access,
                                 &out->last_access));
  return reader.OptionalTime("created_at", ENGRAM_SE_HAS_CREATED_AT, given.created_at,
                             &out->created_at);
}

Status ReadScalars(const engram_se_memory& given, engine::Memory* out) {
  const Reader reader(given);
  out->activation = given.activation;
  out->confidence_encoding = given.confidence_encoding;
  out->decay_rate = given.decay_rate;
  reader.Optional(ENGRAM_SE_HAS_VIVIDNESS, given.confidence_vividness, &out->confidence_vividness);
  reader.Optional(ENGRAM_SE_HAS_RELIABILITY, given.confidence_reliability,
                  &out->confidence_reliability);
  reader.Optional(ENGRAM_SE_HAS_RECALL_COUNT, given.recall_count, &out->recall_count);
  reader.Optional(ENGRAM_SE_HAS_ACCESS_COUNT, given.access_count, &out->access_count);
  if (!reader.Has(ENGRAM_SE_HAS_DECAY_FUNCTION)) return Status::Ok();
  if (given.decay_kind > ENGRAM_SE_DECAY_HYBRID) {
    return BadKey("decay_function", "unknown kind " + std::to_string(given.decay_kind));
  }
  out->decay_function =
      engine::DecayFunction{.kind = static_cast<engine::DecayKind>(given.decay_kind),
                            .a = given.decay_a,
                            .b = given.decay_b,
                            .n = given.decay_n};
  return Status::Ok();
}

Status ReadEmbedding(const engram_se_memory& given, engine::Embedding* out) {
  if (given.embedding == nullptr) return BadKey("embedding", "missing");
  std::memcpy(out->data(), given.embedding, sizeof *out);
  return Status::Ok();
}

Status ReadExtension(const engram_se_memory& given, engine::Extension* out) {
  const Reader reader(given);
  if (given.node_type == ENGRAM_SE_NODE_EPISODE) {
    reader.Optional(ENGRAM_SE_HAS_STRENGTH, given.strength, &out->strength);
    reader.Optional(ENGRAM_SE_HAS_CONSOLIDATION_SCORE, given.consolidation_score,
                    &out->consolidation_score);
    return Status::Ok();
  }
  if (given.node_type != ENGRAM_SE_NODE_CONCEPT) {
    return BadKey("node.type", "unknown type " + std::to_string(given.node_type));
  }
  out->type = engine::NodeType::kConcept;
  out->coherence = given.coherence;
  out->instance_count = given.instance_count;
  Result<engine::Timestamp> formed = engine::ParseTimestamp(ToView(given.formation_time));
  if (!formed.ok()) return BadKey("node.formation_time", formed.status().message());
  out->formation_time = *formed;
  return Status::Ok();
}

void SetPairs(const engine::MetadataMap& map, std::vector<engram_se_pair>* out) {
  out->clear();
  for (const auto& [key, value] : map) out->push_back({ToBytes(key), ToBytes(value)});
}

}  // namespace

Status ReadMemory(const engram_se_memory& given, OwnedMemory* out) {
  ENGRAM_TRY(ReadText(given, &out->memory.text));
  ENGRAM_TRY(ReadTimes(given, &out->memory));
  ENGRAM_TRY(ReadScalars(given, &out->memory));
  return ReadEmbedding(given, &out->embedding);
}

Status ReadNode(const engram_se_memory& given, engine::DualNode* node,
                engine::Embedding* embedding) {
  OwnedMemory owned;
  ENGRAM_TRY(ReadMemory(given, &owned));
  engine::Extension extension;
  ENGRAM_TRY(ReadExtension(given, &extension));
  *node = compat::ToDual(owned.memory, Uuid{}, extension);
  *embedding = owned.embedding;
  return Status::Ok();
}

const engram_se_memory& RecordView::Fill(const compat::FullRecord& record,
                                         const engine::Embedding* embedding) {
  view_ = engram_se_memory{};
  view_.struct_size = sizeof view_;
  FillText(record.memory.text);
  FillTimes(record.memory);
  FillScalars(record.memory);
  FillNode(record);
  view_.embedding = embedding == nullptr ? nullptr : embedding->data();
  return view_;
}

void RecordView::FillText(const engine::TextFields& text) {
  auto set = [&](const std::optional<std::string>& value, uint64_t bit, engram_se_bytes* out) {
    if (!value) return;
    view_.present |= bit;
    *out = ToBytes(*value);
  };
  view_.id = ToBytes(text.id);
  set(text.content, ENGRAM_SE_HAS_CONTENT, &view_.content);
  set(text.where, ENGRAM_SE_HAS_WHERE, &view_.where);
  who_.clear();
  if (text.who) {
    view_.present |= ENGRAM_SE_HAS_WHO;
    for (const std::string& person : *text.who) who_.push_back(ToBytes(person));
  }
  view_.who = who_.data();
  view_.who_count = who_.size();
  SetPairs(text.metadata, &metadata_);
  view_.metadata = metadata_.data();
  view_.metadata_count = metadata_.size();
  if (text.provenance) FillProvenance(*text.provenance);
}

void RecordView::FillProvenance(const engine::EmbeddingProvenance& provenance) {
  view_.present |= ENGRAM_SE_HAS_PROVENANCE;
  view_.provenance_model_name = ToBytes(provenance.model_name);
  view_.provenance_model_version = ToBytes(provenance.model_version);
  view_.provenance_dimension = provenance.dimension;
  view_.provenance_created_at_s = provenance.created_at_s;
  if (provenance.language) {
    view_.present |= ENGRAM_SE_HAS_PROVENANCE_LANGUAGE;
    view_.provenance_language = ToBytes(*provenance.language);
  }
  if (provenance.quality_score) {
    view_.present |= ENGRAM_SE_HAS_PROVENANCE_QUALITY;
    view_.provenance_quality_score = *provenance.quality_score;
  }
  SetPairs(provenance.metadata, &provenance_metadata_);
  view_.provenance_metadata = provenance_metadata_.data();
  view_.provenance_metadata_count = provenance_metadata_.size();
}

void RecordView::FillTimes(const engine::Memory& memory) {
  size_t used = 0;
  auto set = [&](const std::optional<engine::Timestamp>& time, uint64_t bit, engram_se_bytes* out) {
    if (!time) return;
    std::string& text = times_[used++];
    text.clear();
    engine::AppendTimestamp(*time, &text);
    view_.present |= bit;
    *out = ToBytes(text);
  };
  set(memory.when, ENGRAM_SE_HAS_WHEN, &view_.when);
  set(memory.last_recall, ENGRAM_SE_HAS_LAST_RECALL, &view_.last_recall);
  set(memory.last_access, ENGRAM_SE_HAS_LAST_ACCESS, &view_.last_access);
  set(memory.created_at, ENGRAM_SE_HAS_CREATED_AT, &view_.created_at);
}

void RecordView::FillScalars(const engine::Memory& memory) {
  auto set = [&](const auto& value, uint64_t bit, auto* out) {
    if (!value) return;
    view_.present |= bit;
    *out = *value;
  };
  view_.activation = memory.activation;
  view_.confidence_encoding = memory.confidence_encoding;
  view_.decay_rate = memory.decay_rate;
  set(memory.confidence_vividness, ENGRAM_SE_HAS_VIVIDNESS, &view_.confidence_vividness);
  set(memory.confidence_reliability, ENGRAM_SE_HAS_RELIABILITY, &view_.confidence_reliability);
  set(memory.recall_count, ENGRAM_SE_HAS_RECALL_COUNT, &view_.recall_count);
  set(memory.access_count, ENGRAM_SE_HAS_ACCESS_COUNT, &view_.access_count);
  if (memory.decay_function) {
    view_.present |= ENGRAM_SE_HAS_DECAY_FUNCTION;
    view_.decay_kind = static_cast<uint32_t>(memory.decay_function->kind);
    view_.decay_a = memory.decay_function->a;
    view_.decay_b = memory.decay_function->b;
    view_.decay_n = memory.decay_function->n;
  }
  view_.layout = static_cast<uint32_t>(memory.layout);
}

void RecordView::FillNode(const compat::FullRecord& record) {
  const engine::Extension& extension = record.node.extension;
  view_.node_type = static_cast<uint32_t>(extension.type);
  if (extension.strength) {
    view_.present |= ENGRAM_SE_HAS_STRENGTH;
    view_.strength = *extension.strength;
  }
  if (extension.consolidation_score) {
    view_.present |= ENGRAM_SE_HAS_CONSOLIDATION_SCORE;
    view_.consolidation_score = *extension.consolidation_score;
  }
  if (extension.type == engine::NodeType::kConcept) {
    view_.coherence = extension.coherence;
    view_.instance_count = extension.instance_count;
    std::string& formed = times_[4];
    formed.clear();
    engine::AppendTimestamp(extension.formation_time, &formed);
    view_.formation_time = ToBytes(formed);
  }
  view_.binding_count = record.binding_count;
  view_.lsn = record.head.seq.value;
  view_.tier = static_cast<uint32_t>(record.head.tier);
  view_.format = record.stored_dual ? ENGRAM_SE_FORMAT_DUAL : ENGRAM_SE_FORMAT_OLD;
  std::memcpy(view_.uuid, record.node.uuid.bytes.data(), sizeof view_.uuid);
  std::memcpy(view_.embedding_sha256, record.memory.embedding_sha256.data(),
              sizeof view_.embedding_sha256);
  std::memcpy(view_.digest, record.head.digest.data(), sizeof view_.digest);
}

}  // namespace engram::plugin
