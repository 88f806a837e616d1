#include "plugin/loader/memory_text.h"

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <vector>

#include "base/ids.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {
namespace {

void AppendOptionalFloat(ObjectText* object, std::string_view key, float value, bool present,
                         FloatStyle floats) {
  present ? AppendJsonFloat(value, floats, object->Key(key)) : object->Null(key);
}

}  // namespace

void AppendNodeJson(const engram_se_memory& memory, FloatStyle floats, std::string* out) {
  const bool is_concept = memory.node_type == ENGRAM_SE_NODE_CONCEPT;
  Uuid uuid;
  std::copy(std::begin(memory.uuid), std::end(memory.uuid), uuid.bytes.begin());
  ObjectText object(out);
  object.String("uuid", uuid.ToString());
  object.String("type", is_concept ? "concept" : "episode");
  AppendOptionalFloat(&object, "strength", memory.strength,
                      (memory.present & ENGRAM_SE_HAS_STRENGTH) != 0, floats);
  AppendOptionalFloat(&object, "consolidation_score", memory.consolidation_score,
                      (memory.present & ENGRAM_SE_HAS_CONSOLIDATION_SCORE) != 0, floats);
  AppendOptionalFloat(&object, "coherence", memory.coherence, is_concept, floats);
  is_concept ? object.Integer("instance_count", memory.instance_count)
             : object.Null("instance_count");
  is_concept ? object.String("formation_time", ToView(memory.formation_time))
             : object.Null("formation_time");
  object.Integer("bindings", memory.binding_count);
  object.Close();
}

void AppendMapJson(const engram_se_pair* pairs, uint64_t count, std::string* out) {
  std::unordered_set<std::string_view> seen;
  std::vector<const engram_se_pair*> kept;
  for (uint64_t i = count; i-- > 0;) {
    if (seen.insert(ToView(pairs[i].key)).second) kept.push_back(&pairs[i]);
  }
  *out += '{';
  for (size_t i = kept.size(); i-- > 0;) {
    AppendJsonString(ToView(kept[i]->key), out);
    *out += ':';
    AppendJsonString(ToView(kept[i]->value), out);
    if (i > 0) *out += ',';
  }
  *out += '}';
}

void AppendEmbeddingJson(const float* embedding, FloatStyle floats, std::string* out) {
  *out += '[';
  for (uint32_t i = 0; i < ENGRAM_SE_EMBEDDING_DIMENSION; ++i) {
    if (i > 0) *out += ',';
    AppendJsonFloat(embedding[i], floats, out);
  }
  *out += ']';
}

std::string_view TierText(uint32_t tier) {
  switch (tier) {
    case ENGRAM_SE_TIER_HOT:
      return "hot";
    case ENGRAM_SE_TIER_WARM:
      return "warm";
    default:
      return "cold";
  }
}

std::string_view ModeText(uint32_t mode) {
  static constexpr std::string_view kNames[] = {"",       "legacy", "dual_write",
                                                "shadow", "dual",   "finalized"};
  return mode < std::size(kNames) ? kNames[mode] : kNames[0];
}

std::string_view PhaseText(uint32_t phase) {
  static constexpr std::string_view kNames[] = {"off",      "tail",   "backfill", "verify",
                                                "complete", "failed", "ingest"};
  return phase < std::size(kNames) ? kNames[phase] : std::string_view();
}

std::string_view FormatText(uint32_t format) {
  return format == ENGRAM_SE_FORMAT_DUAL ? "dual" : "old";
}

}  // namespace engram::plugin
