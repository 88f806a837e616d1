#include "plugin/loader/memory_json.h"

#include "base/crypto.h"
#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {
namespace {

class MemoryText {
 public:
  MemoryText(const engram_se_memory& memory, const MemoryStyle& style, std::string* out)
      : m_(memory), style_(style), out_(out) {}

  bool HasEmbedding() const { return style_.embeddings && m_.embedding != nullptr; }

  // With `gap` the numbers of the embedding are left out there.
  void Write(size_t* gap) {
    ObjectText object(out_);
    object.String("id", ToView(m_.id));
    Text(&object, "content", m_.content, ENGRAM_SE_HAS_CONTENT);
    Text(&object, "when", m_.when, ENGRAM_SE_HAS_WHEN);
    Text(&object, "where", m_.where, ENGRAM_SE_HAS_WHERE);
    Who(&object);
    if (HasEmbedding()) Embedding(object.Key("embedding"), gap);
    object.String("embedding_sha256", ToHex(m_.embedding_sha256));
    Provenance(object.Key("embedding_provenance"));
    Float(&object, "activation", m_.activation);
    Confidence(object.Key("confidence"));
    Float(&object, "decay_rate", m_.decay_rate);
    Decay(object.Key("decay_function"));
    Text(&object, "last_recall", m_.last_recall, ENGRAM_SE_HAS_LAST_RECALL);
    Integer(&object, "recall_count", m_.recall_count, ENGRAM_SE_HAS_RECALL_COUNT);
    Text(&object, "last_access", m_.last_access, ENGRAM_SE_HAS_LAST_ACCESS);
    Integer(&object, "access_count", m_.access_count, ENGRAM_SE_HAS_ACCESS_COUNT);
    Text(&object, "created_at", m_.created_at, ENGRAM_SE_HAS_CREATED_AT);
    AppendMapJson(m_.metadata, m_.metadata_count, object.Key("metadata"));
    Layout(&object);
    object.Integer("lsn", m_.lsn);
    object.String("digest", ToHex(m_.digest));
    object.String("tier", TierText(m_.tier));
    if (style_.dual_view) {
      AppendNodeJson(m_, style_.floats, object.Key("node"));
      object.String("format", FormatText(m_.format));
    }
    object.Close();
  }

 private:
  bool Has(uint64_t bit) const { return (m_.present & bit) != 0; }
  void Float(ObjectText* object, std::string_view key, float value) const {
    AppendJsonFloat(value, style_.floats, object->Key(key));
  }
  void OptionalFloat(ObjectText* object, std::string_view key, float value, bool present) const {
    present ? Float(object, key, value) : object->Null(key);
  }
  void Text(ObjectText* object, std::string_view key, engram_se_bytes text, uint64_t bit) const {
    Has(bit) ? object->String(key, ToView(text)) : object->Null(key);
  }
  void Integer(ObjectText* object, std::string_view key, uint64_t value, uint64_t bit) const {
    Has(bit) ? object->Integer(key, value) : object->Null(key);
  }

  void Who(ObjectText* object) const {
    if (!Has(ENGRAM_SE_HAS_WHO)) return object->Null("who");
    std::string* out = object->Key("who");
    *out += '[';
    for (uint64_t i = 0; i < m_.who_count; ++i) {
      if (i > 0) *out += ',';
      AppendJsonString(ToView(m_.who[i]), out);
    }
    *out += ']';
  }

  void Embedding(std::string* out, size_t* gap) const {
    if (gap == nullptr) return AppendEmbeddingJson(m_.embedding, style_.floats, out);
    *gap = out->size();
  }

  void Provenance(std::string* out) const {
    if (!Has(ENGRAM_SE_HAS_PROVENANCE)) {
      *out += "null";
      return;
    }
    ObjectText object(out);
    object.String("model_name", ToView(m_.provenance_model_name));
    object.String("model_version", ToView(m_.provenance_model_version));
    object.Integer("dimension", m_.provenance_dimension);
    Text(&object, "language", m_.provenance_language, ENGRAM_SE_HAS_PROVENANCE_LANGUAGE);
    object.Integer("created_at_s", m_.provenance_created_at_s);
    OptionalFloat(&object, "quality_score", m_.provenance_quality_score,
                  Has(ENGRAM_SE_HAS_PROVENANCE_QUALITY));
    AppendMapJson(m_.provenance_metadata, m_.provenance_metadata_count, object.Key("metadata"));
    object.Close();
  }

  void Confidence(std::string* out) const {
    ObjectText object(out);
    Float(&object, "encoding", m_.confidence_encoding);
    OptionalFloat(&object, "vividness", m_.confidence_vividness, Has(ENGRAM_SE_HAS_VIVIDNESS));
    OptionalFloat(&object, "reliability", m_.confidence_reliability,
                  Has(ENGRAM_SE_HAS_RELIABILITY));
    object.Close();
  }

  void Decay(std::string* out) const {
    if (!Has(ENGRAM_SE_HAS_DECAY_FUNCTION)) {
      *out += "null";
      return;
    }
    static constexpr std::string_view kNames[] = {"exponential", "power_law", "two_component",
                                                  "hybrid"};
    ObjectText object(out);
    ObjectText inner(object.Key(kNames[m_.decay_kind & 3]));
    switch (m_.decay_kind) {
      case ENGRAM_SE_DECAY_EXPONENTIAL:
        Float(&inner, "tau_hours", m_.decay_a);
        break;
      case ENGRAM_SE_DECAY_POWER_LAW:
        Float(&inner, "beta", m_.decay_a);
        break;
      case ENGRAM_SE_DECAY_TWO_COMPONENT:
        inner.Integer("consolidation_threshold", m_.decay_n);
        break;
      default:
        Float(&inner, "short_term_tau", m_.decay_a);
        Float(&inner, "long_term_beta", m_.decay_b);
        inner.Integer("transition_point", m_.decay_n);
    }
    inner.Close();
    object.Close();
  }

  void Layout(ObjectText* object) const {
    static constexpr std::string_view kNames[] = {"", "E0", "E1", "E2", "E3", "M"};
    const bool known = m_.layout != ENGRAM_SE_LAYOUT_NONE && m_.layout < std::size(kNames);
    known ? object->String("layout", kNames[m_.layout]) : object->Null("layout");
  }

  const engram_se_memory& m_;
  const MemoryStyle& style_;
  std::string* out_;
};

}  // namespace

void AppendMemoryJson(const engram_se_memory& memory, const MemoryStyle& style, std::string* out) {
  MemoryText(memory, style, out).Write(nullptr);
}

bool AppendMemoryJsonWithGap(const engram_se_memory& memory, const MemoryStyle& style,
                             std::string* out, size_t* gap) {
  MemoryText text(memory, style, out);
  text.Write(gap);
  return text.HasEmbedding();
}

}  // namespace engram::plugin
