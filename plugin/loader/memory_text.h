// Parts of a memory as JSON text that every host prints alike, and the words of the boundary's
// numbers.
#ifndef ENGRAM_PLUGIN_LOADER_MEMORY_TEXT_H_
#define ENGRAM_PLUGIN_LOADER_MEMORY_TEXT_H_

#include <string>
#include <string_view>

#include "base/json_text.h"
#include "engram/engram_storage_engine.h"

namespace engram::plugin {

// The object `node` of the dual view: uuid, type, strength, consolidation_score, coherence,
// instance_count, formation_time, bindings. What is unset or of the other type is null.
void AppendNodeJson(const engram_se_memory& memory, FloatStyle floats, std::string* out);
// The object of a map: of a repeated key only the last pair is content.
void AppendMapJson(const engram_se_pair* pairs, uint64_t count, std::string* out);
// The array of the 768 numbers.
void AppendEmbeddingJson(const float* embedding, FloatStyle floats, std::string* out);

std::string_view TierText(uint32_t tier);  // "hot", "warm", "cold"
std::string_view ModeText(uint32_t mode);  // "legacy", ... , "" for an unknown one
// "off" for 0, "tail", "backfill", "verify", "complete", "failed"; "" for an unknown one.
std::string_view PhaseText(uint32_t phase);
std::string_view FormatText(uint32_t format);  // "old", "dual"

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_LOADER_MEMORY_TEXT_H_
