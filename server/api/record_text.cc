#include "server/api/record_text.h"

#include "plugin/loader/memory_text.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/kept_fields.h"
#include "server/api/number_text.h"
#include "server/api/query_params.h"

namespace engram::server {
namespace {

using plugin::ToView;

bool Has(const engram_se_memory& memory, uint64_t bit) { return (memory.present & bit) != 0; }

void AppendKeptText(const engram_se_memory& memory, std::string_view key, std::string_view name,
                    ObjectText* object) {
  const auto text = Metadata(memory, key);
  if (text) object->String(name, *text);
}

void AppendKeptNumber(const engram_se_memory& memory, std::string_view key, std::string_view name,
                      ObjectText* object) {
  const auto text = Metadata(memory, key);
  const auto number = ParseFloat(text.value_or(""));
  if (number) AppendFloat(*number, object->Key(name));
}

void AppendKept(const engram_se_memory& memory, ObjectText* object) {
  if (memory.metadata_count == 0) return;
  if (Metadata(memory, kTagsKey)) *object->Key("tags") += TagsJson(memory);
  AppendKeptText(memory, kWhyKey, "why", object);
  AppendKeptText(memory, kHowKey, "how", object);
  AppendKeptNumber(memory, kValenceKey, "emotional_valence", object);
  AppendKeptNumber(memory, kImportanceKey, "importance", object);
}

}  // namespace

Refused ReadStyle(const Request& request, RecordStyle* out) {
  if (auto refused = QueryView(request, &out->dual_view)) return refused;
  return QueryBool(request, "include_embeddings", &out->embeddings);
}

void AppendRecord(const engram_se_memory& memory, const RecordStyle& style, std::string* out) {
  ObjectText object(out);
  object.String("id", ToView(memory.id));
  AppendText(memory.content, Has(memory, ENGRAM_SE_HAS_CONTENT), object.Key("content"));
  AppendFloat(memory.confidence_encoding, object.Key("confidence"));
  AppendOffsetTime(ObservedAt(memory), object.Key("timestamp"));
  object.String("memory_type", MemoryType(memory));
  if (Has(memory, ENGRAM_SE_HAS_WHERE)) object.String("where", ToView(memory.where));
  if (Has(memory, ENGRAM_SE_HAS_WHO)) AppendWho(memory, object.Key("who"));
  AppendKept(memory, &object);
  if (style.embeddings && memory.embedding != nullptr) {
    plugin::AppendEmbeddingJson(memory.embedding, FloatStyle::kDecimalOrNull,
                                object.Key("embedding"));
  }
  if (style.dual_view) {
    plugin::AppendNodeJson(memory, FloatStyle::kDecimalOrNull, object.Key("node"));
    object.String("format", plugin::FormatText(memory.format));
  }
  object.Close();
}

std::string_view ObservedAt(const engram_se_memory& memory) {
  if (Has(memory, ENGRAM_SE_HAS_WHEN)) return ToView(memory.when);
  if (Has(memory, ENGRAM_SE_HAS_CREATED_AT)) return ToView(memory.created_at);
  if (Has(memory, ENGRAM_SE_HAS_LAST_ACCESS)) return ToView(memory.last_access);
  return {};
}

void AppendTime(std::string_view stored, std::string* out) {
  if (stored.empty()) {
    *out += "null";
    return;
  }
  AppendJsonString(stored, out);
}

void AppendOffsetTime(std::string_view stored, std::string* out) {
  if (!stored.ends_with('Z')) return AppendTime(stored, out);
  AppendJsonString(stored.substr(0, stored.size() - 1), out);
  out->pop_back();  // the quote
  *out += "+00:00\"";
}

void AppendText(engram_se_bytes text, bool present, std::string* out) {
  if (!present) {
    *out += "null";
    return;
  }
  AppendJsonString(ToView(text), out);
}

void AppendWho(const engram_se_memory& memory, std::string* out) {
  const uint64_t count = Has(memory, ENGRAM_SE_HAS_WHO) ? memory.who_count : 0;
  *out += '[';
  for (uint64_t i = 0; i < count; ++i) {
    if (i > 0) *out += ',';
    AppendJsonString(ToView(memory.who[i]), out);
  }
  *out += ']';
}

std::string_view ConfidenceCategory(float value) {
  return value > 0.7f ? "High" : value > 0.4f ? "Medium" : "Low";
}

void AppendConfidence(float value, std::string_view reasoning, std::string* out) {
  ObjectText object(out);
  AppendFloat(value, object.Key("value"));
  object.String("category", ConfidenceCategory(value));
  object.String("reasoning", reasoning);
  object.Close();
}

}  // namespace engram::server
