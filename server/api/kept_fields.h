// Fields of the interface that a memory has no place for: they are kept as metadata `engram.<name>`
// (docs/http-api.md), texts as they are, numbers as decimal text, lists as JSON.
#ifndef ENGRAM_SERVER_API_KEPT_FIELDS_H_
#define ENGRAM_SERVER_API_KEPT_FIELDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engram/engram_storage_engine.h"

namespace engram::server {

inline constexpr std::string_view kTagsKey = "engram.tags";
inline constexpr std::string_view kMemoryTypeKey = "engram.memory_type";
inline constexpr std::string_view kWhyKey = "engram.why";
inline constexpr std::string_view kHowKey = "engram.how";
inline constexpr std::string_view kValenceKey = "engram.emotional_valence";
inline constexpr std::string_view kImportanceKey = "engram.importance";

std::string TagsText(const std::vector<std::string>& tags);  // ["a","b"]
std::string NumberText(float number);

// The value of a metadata key; of a repeated one the last.
std::optional<std::string_view> Metadata(const engram_se_memory& memory, std::string_view key);

// The JSON array of the tags: `[]` if there are none or the metadata holds something else.
std::string_view TagsJson(const engram_se_memory& memory);
// True if `tag` is one of them.
bool HasTag(const engram_se_memory& memory, const std::string& tag);
// "semantic", "episodic" or "procedural": what was sent, else a Concept is semantic and everything
// else episodic.
std::string_view MemoryType(const engram_se_memory& memory);
bool IsMemoryType(std::string_view text);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_KEPT_FIELDS_H_
