// Query parameters as values. Absent ones take their default; what cannot be read is a 400
// BAD_REQUEST.
#ifndef ENGRAM_SERVER_API_QUERY_PARAMS_H_
#define ENGRAM_SERVER_API_QUERY_PARAMS_H_

#include <optional>
#include <string_view>

#include "server/api/refusal.h"
#include "server/graph/text_vector.h"
#include "server/http/message.h"

namespace engram::server {

Refused QueryUnsigned(const Request& request, std::string_view name, uint64_t* out);
Refused QueryFloat(const Request& request, std::string_view name, float* out);
Refused QueryBool(const Request& request, std::string_view name, bool* out);  // true, false, 1, 0
// view: memory or dual.
Refused QueryView(const Request& request, bool* is_dual);
// A JSON array of 768 numbers; 400 INVALID_MEMORY_INPUT for another one.
Refused QueryEmbedding(const Request& request, std::optional<Vector>* out);

// Exactly 768 numbers, or the refusal that upstream's clients know.
Refused ToVector(const std::vector<float>& floats, Vector* out);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_QUERY_PARAMS_H_
