#include "server/api/new_memory.h"

#include <algorithm>

#include "base/ids.h"
#include "base/utf8.h"
#include "plugin/loader/plugin_loader.h"
#include "server/api/json_body.h"
#include "server/api/kept_fields.h"
#include "server/api/query_params.h"

namespace engram::server {
namespace {

using plugin::ToBytes;

constexpr size_t kContentSizeBytesMax = 100'000;
constexpr float kDefaultConfidence = 0.7f;
constexpr float kDefaultImportance = 0.5f;
constexpr float kDecayRate = 0.05f;  // of upstream's episodes
constexpr size_t kRandomDigits = 24;
// A target of 16 KB holds two of them and a query.
constexpr size_t kIdInPathBytesMax = 4096;
constexpr std::string_view kRouteWords[] = {"recall", "recognize", "remember", "search"};

std::string_view ContentKey(MemoryForm form) {
  return form == MemoryForm::kEpisode ? "what" : "content";
}
std::string_view TimeKey(MemoryForm form) {
  return form == MemoryForm::kEpisode ? "when" : "timestamp";
}

Refused ReadSharedKey(MemoryForm form, std::string_view key, JsonValue& value, MemoryBody* out,
                      bool* known) {
  if (key == ContentKey(form)) return ReadText(key, value, &out->content);
  if (key == TimeKey(form)) return ReadText(key, value, &out->time);
  if (key == "embedding") return ReadFloats(key, value, &out->embedding);
  if (key == "confidence") return ReadFloat(key, value, &out->confidence);
  if (key == "id") return ReadText(key, value, &out->id);
  if (key == "tags") return ReadTexts(key, value, &out->tags);
  if (key == "memory_type") return ReadText(key, value, &out->memory_type);
  if (key == "confidence_reasoning") return ReadText(key, value, &out->confidence_reasoning);
  if (key == "auto_link") return ReadBool(key, value, &out->auto_link);
  if (key == "link_threshold") return ReadFloat(key, value, &out->link_threshold);
  if (key == "memory_space_id") return ReadText(key, value, &out->space.memory_space_id);
  if (key == "memory_space") return ReadText(key, value, &out->space.memory_space);
  *known = false;
  return std::nullopt;
}

Refused ReadEpisodeKey(std::string_view key, JsonValue& value, MemoryBody* out, bool* known) {
  if (key == "where_location") return ReadText(key, value, &out->where_location);
  if (key == "where") return ReadText(key, value, &out->where);
  if (key == "who") return ReadTexts(key, value, &out->who);
  if (key == "why") return ReadText(key, value, &out->why);
  if (key == "how") return ReadText(key, value, &out->how);
  if (key == "emotional_valence") return ReadFloat(key, value, &out->emotional_valence);
  if (key == "importance") return ReadFloat(key, value, &out->importance);
  *known = false;
  return std::nullopt;
}

Refusal Missing(MemoryForm form, std::string_view key) {
  const std::string guidance = "Add '" + std::string(key) + "' to the body.";
  const std::string message = "Missing '" + std::string(key) + "' field.";
  return form == MemoryForm::kPlain ? InvalidInput(message, guidance)
                                    : WrongShape(message, guidance);
}

Refused TakeContent(MemoryForm form, MemoryBody* body, NewMemory* out) {
  if (!body->content) return Missing(form, ContentKey(form));
  const std::string key(ContentKey(form));
  if (TrimWhitespace(*body->content).empty()) {
    return InvalidInput("Memory content cannot be empty: '" + key + "' is blank.",
                        "Send what is to be remembered as '" + key + "'.");
  }
  if (body->content->size() > kContentSizeBytesMax) {
    return InvalidInput("Memory content has " + std::to_string(body->content->size()) +
                            " bytes, at most 100000 are allowed.",
                        "Split '" + key + "' into several memories.");
  }
  out->content = std::move(*body->content);
  return std::nullopt;
}

size_t SizeInPath(std::string_view id) {
  size_t size = 0;
  for (const char c : id) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    size += plain ? 1 : 3;
  }
  return size;
}

// What is stored under an id is read and deleted under it: /api/v1/memories/{id}.
Refused CheckReachable(std::string_view id) {
  for (const std::string_view word : kRouteWords) {
    if (id != word) continue;
    return InvalidInput(
        "Field 'id' is '" + std::string(id) + "', which is a route below /api/v1/memories.",
        "Send another 'id', or leave it out.");
  }
  const size_t size = SizeInPath(id);
  if (size <= kIdInPathBytesMax) return std::nullopt;
  return InvalidInput(
      "Field 'id' takes " + std::to_string(size) + " bytes in a path, at most 4096 are allowed.",
      "Send a shorter 'id': 4096 letters and digits, or 1365 bytes that are "
      "percent-encoded.");
}

Refused TakeId(MemoryForm form, MemoryBody* body, NewMemory* out) {
  if (body->id && body->id->empty()) {
    return InvalidInput("Field 'id' is empty.", "Leave 'id' out, or send one that names it.");
  }
  if (body->id) {
    if (auto refused = CheckReachable(*body->id)) return refused;
    out->id = std::move(*body->id);
    return std::nullopt;
  }
  const auto random = Uuid::Random();
  if (!random.ok()) {
    return Refusal{500, "MEMORY_SYSTEM_ERROR", "No id could be made.", "Send an 'id'."};
  }
  std::string digits = random->ToString();
  std::erase(digits, '-');
  out->id = (form == MemoryForm::kEpisode ? "ep_" : "mem_") + digits.substr(0, kRandomDigits);
  return std::nullopt;
}

Refused TakeTime(MemoryForm form, const MemoryBody& body, NewMemory* out) {
  if (!body.time && form == MemoryForm::kEpisode) return Missing(form, TimeKey(form));
  if (!body.time) {
    out->when = out->now;
    return std::nullopt;
  }
  const auto time = ParseTime(*body.time);
  if (!time) {
    return WrongShape("Field '" + std::string(TimeKey(form)) + "' is '" + Shown(*body.time) +
                          "', expected an RFC 3339 time.",
                      "Send it like 2025-10-21T18:29:18Z.");
  }
  out->when = FormatTime(time->unix_seconds, time->nanos);
  return std::nullopt;
}

Refused TakeVector(const MemoryBody& body, NewMemory* out) {
  if (body.embedding) return ToVector(*body.embedding, &out->embedding);
  out->embedding = TextVector(out->content);
  out->is_text_vector = true;
  return std::nullopt;
}

Refused TakeKept(const MemoryBody& body, NewMemory* out) {
  if (body.memory_type && !IsMemoryType(*body.memory_type)) {
    return WrongShape("Field 'memory_type' is '" + Shown(*body.memory_type) +
                          "', expected 'semantic', 'episodic' or 'procedural'.",
                      "Send one of the three, or leave 'memory_type' out.");
  }
  const auto keep = [&](std::string_view key, std::string text) {
    out->metadata.emplace_back(key, std::move(text));
  };
  if (body.tags && !body.tags->empty()) keep(kTagsKey, TagsText(*body.tags));
  if (body.memory_type) keep(kMemoryTypeKey, *body.memory_type);
  if (body.why) keep(kWhyKey, *body.why);
  if (body.how) keep(kHowKey, *body.how);
  if (body.emotional_valence) keep(kValenceKey, NumberText(*body.emotional_valence));
  if (body.importance) keep(kImportanceKey, NumberText(std::clamp(*body.importance, 0.0f, 1.0f)));
  return std::nullopt;
}

float ConfidenceOf(MemoryForm form, const MemoryBody& body) {
  const float given = form == MemoryForm::kEpisode
                          ? body.importance.value_or(body.confidence.value_or(kDefaultImportance))
                          : body.confidence.value_or(kDefaultConfidence);
  return std::clamp(given, 0.0f, 1.0f);
}

// POST /api/v1/memories answers every wrong body with 400.
Refused InForm(MemoryForm form, Refused refused) {
  if (refused && form == MemoryForm::kPlain && refused->status == 422) {
    refused->status = 400;
    refused->code = "INVALID_MEMORY_INPUT";
  }
  return refused;
}

Refused Fill(MemoryForm form, MemoryBody* body, NewMemory* out) {
  if (auto refused = TakeContent(form, body, out)) return refused;
  if (auto refused = TakeTime(form, *body, out)) return refused;
  if (auto refused = TakeVector(*body, out)) return refused;
  if (auto refused = TakeKept(*body, out)) return refused;
  if (auto refused = TakeId(form, body, out)) return refused;
  out->confidence = ConfidenceOf(form, *body);
  out->where = body->where_location ? std::move(body->where_location) : std::move(body->where);
  out->who = std::move(body->who);
  return std::nullopt;
}

}  // namespace

Refused ReadMemoryBody(const Request& request, MemoryForm form, MemoryBody* out) {
  return InForm(form, ReadBody(request, [&](std::string_view key, JsonValue& value, bool* known) {
                  auto refused = ReadSharedKey(form, key, value, out, known);
                  if (refused || *known || form != MemoryForm::kEpisode) return refused;
                  *known = true;
                  return ReadEpisodeKey(key, value, out, known);
                }));
}

OrRefusal<NewMemory> MakeMemory(MemoryBody body, MemoryForm form, const TimePoint& now) {
  NewMemory memory;
  memory.now = FormatTime(now.unix_seconds, now.nanos);
  auto refused = InForm(form, Fill(form, &body, &memory));
  if (refused) return Refuse(std::move(*refused));
  return memory;
}

NewMemoryView::NewMemoryView(const NewMemory& memory) {
  record_.struct_size = sizeof record_;
  record_.present = ENGRAM_SE_HAS_CONTENT | ENGRAM_SE_HAS_WHEN | ENGRAM_SE_HAS_LAST_RECALL |
                    ENGRAM_SE_HAS_RECALL_COUNT | ENGRAM_SE_HAS_LAST_ACCESS |
                    ENGRAM_SE_HAS_ACCESS_COUNT | ENGRAM_SE_HAS_CREATED_AT |
                    ENGRAM_SE_HAS_VIVIDNESS | ENGRAM_SE_HAS_RELIABILITY;
  record_.id = ToBytes(memory.id);
  record_.content = ToBytes(memory.content);
  record_.when = ToBytes(memory.when);
  record_.last_recall = record_.last_access = record_.created_at = ToBytes(memory.now);
  record_.embedding = memory.embedding.data();
  record_.activation = record_.confidence_encoding = record_.confidence_vividness =
      record_.confidence_reliability = memory.confidence;
  record_.decay_rate = kDecayRate;
  if (memory.where) {
    record_.present |= ENGRAM_SE_HAS_WHERE;
    record_.where = ToBytes(*memory.where);
  }
  if (memory.who) {
    record_.present |= ENGRAM_SE_HAS_WHO;
    for (const std::string& person : *memory.who) who_.push_back(ToBytes(person));
    record_.who = who_.data();
    record_.who_count = who_.size();
  }
  for (const auto& [key, value] : memory.metadata) {
    metadata_.push_back({ToBytes(key), ToBytes(value)});
  }
  record_.metadata = metadata_.data();
  record_.metadata_count = metadata_.size();
  if (memory.is_text_vector) {
    record_.present |= ENGRAM_SE_HAS_PROVENANCE;
    record_.provenance_model_name = ToBytes(kTextVectorModel);
    record_.provenance_model_version = ToBytes("1");
    record_.provenance_dimension = ENGRAM_SE_EMBEDDING_DIMENSION;
  }
}

}  // namespace engram::server
