// Request bodies: strict JSON, read member by member. Everything is checked, also what nobody asked
// for: syntax, UTF-8, nesting, numbers.
#ifndef ENGRAM_SERVER_API_JSON_BODY_H_
#define ENGRAM_SERVER_API_JSON_BODY_H_

#include <simdjson.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/refusal.h"
#include "server/http/message.h"

namespace engram::server {

inline constexpr uint32_t kJsonDepthMax = 32;

using JsonValue = simdjson::ondemand::value;

// Takes the value of `key` with one of the calls below, or leaves it and clears `*known`.
using MemberReader = std::function<Refused(std::string_view key, JsonValue& value, bool* known)>;

// The members of the body's object in order; of a repeated key the last one counts. Refusals: 400
// for what is not well-formed, 422 for another type, and what `member` refuses, unless the rest is
// not well-formed.
Refused ReadBody(const Request& request, const MemberReader& member);
// The same for an object within a body.
Refused ReadObject(std::string_view key, JsonValue& value, const MemberReader& member);

// Each takes one value. An explicit null is an absent value. 422 for another type.
Refused ReadText(std::string_view key, JsonValue& value, std::optional<std::string>* out);
Refused ReadTexts(std::string_view key, JsonValue& value,
                  std::optional<std::vector<std::string>>* out);
Refused ReadBool(std::string_view key, JsonValue& value, std::optional<bool>* out);
// Rounded once, from the decimal text; 400 beyond the range of a 32-bit float.
Refused ReadFloat(std::string_view key, JsonValue& value, std::optional<float>* out);
Refused ReadUnsigned(std::string_view key, JsonValue& value, std::optional<uint64_t>* out);
Refused ReadFloats(std::string_view key, JsonValue& value, std::optional<std::vector<float>>* out);
// An array of numbers and nulls.
Refused ReadSparseFloats(std::string_view key, JsonValue& value,
                         std::optional<std::vector<std::optional<float>>>* out);

// The numbers of a JSON array as text (a query parameter). 400 for everything else.
OrRefusal<std::vector<float>> ParseFloats(std::string_view key, std::string_view text);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_JSON_BODY_H_
