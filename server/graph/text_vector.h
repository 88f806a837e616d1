// A vector for a text that came without an embedding: hashed words and character n-grams. It makes
// texts with common words near and every text's vector its own; it knows nothing of meaning.
// Described for other implementations in docs/http-api.md.
#ifndef ENGRAM_SERVER_GRAPH_TEXT_VECTOR_H_
#define ENGRAM_SERVER_GRAPH_TEXT_VECTOR_H_

#include <array>
#include <string_view>

#include "engram/engram_storage_engine.h"

namespace engram::server {

// embedding_provenance.model_name of such a vector: marks it as non-semantic.
inline constexpr std::string_view kTextVectorModel = "engram-hash-1";

using Vector = std::array<float, ENGRAM_SE_EMBEDDING_DIMENSION>;

// Unit length, the same on every machine and in every version of this model.
Vector TextVector(std::string_view text);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_GRAPH_TEXT_VECTOR_H_
