// Records as the JSON that upstream's clients read.
#ifndef ENGRAM_SERVER_API_RECORD_TEXT_H_
#define ENGRAM_SERVER_API_RECORD_TEXT_H_

#include <string>
#include <string_view>

#include "base/json_text.h"
#include "engram/engram_storage_engine.h"
#include "server/api/refusal.h"
#include "server/http/message.h"

namespace engram::server {

struct RecordStyle {
  bool dual_view = false;   // adds `node` and `format`
  bool embeddings = false;  // adds `embedding`; the record must have been read with it
};

// From the query parameters `view` (memory, dual) and `include_embeddings`.
Refused ReadStyle(const Request& request, RecordStyle* out);

// {"id", "content", "confidence", "timestamp", "memory_type"}, and of "tags", "where", "who",
// "why", "how", "emotional_valence", "importance" what the record has.
void AppendRecord(const engram_se_memory& memory, const RecordStyle& style, std::string* out);

// When it happened, as stored: `when`, else `created_at`, else `last_access`; empty without any.
std::string_view ObservedAt(const engram_se_memory& memory);
// null without one.
void AppendTime(std::string_view stored, std::string* out);
// The same with "+00:00" for "Z": upstream's other style, in list, get and search.
void AppendOffsetTime(std::string_view stored, std::string* out);

void AppendText(engram_se_bytes text, bool present, std::string* out);  // null if absent
void AppendWho(const engram_se_memory& memory, std::string* out);       // [] if absent
inline void AppendFloat(float value, std::string* out) {
  AppendJsonFloat(value, FloatStyle::kDecimalOrNull, out);
}

std::string_view ConfidenceCategory(float value);  // High above 0.7, Medium above 0.4, else Low
// {"value", "category", "reasoning"}
void AppendConfidence(float value, std::string_view reasoning, std::string* out);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_RECORD_TEXT_H_
