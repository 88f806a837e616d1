// A memory as JSON text: the keys of the command line's contract, in its order.
#ifndef ENGRAM_PLUGIN_LOADER_MEMORY_JSON_H_
#define ENGRAM_PLUGIN_LOADER_MEMORY_JSON_H_

#include <string>

#include "base/json_text.h"
#include "engram/engram_storage_engine.h"
#include "plugin/loader/memory_text.h"

namespace engram::plugin {

struct MemoryStyle {
  FloatStyle floats = FloatStyle::kDecimal;
  bool dual_view = false;   // adds `node` and `format`
  bool embeddings = false;  // adds `embedding`; the record must have been read with it
};

// Appends one object, without a line end.
void AppendMemoryJson(const engram_se_memory& memory, const MemoryStyle& style, std::string* out);

// The same without the numbers of the embedding: where their array belongs is stored in `gap`.
// False if the record or the style has no embedding.
bool AppendMemoryJsonWithGap(const engram_se_memory& memory, const MemoryStyle& style,
                             std::string* out, size_t* gap);

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_LOADER_MEMORY_JSON_H_
