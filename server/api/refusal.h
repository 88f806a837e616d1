// What is wrong with a request, before it becomes a response.
#ifndef ENGRAM_SERVER_API_REFUSAL_H_
#define ENGRAM_SERVER_API_REFUSAL_H_

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "server/http/error_response.h"

namespace engram::server {

struct Refusal {
  int status = 400;
  std::string_view code = "INVALID_MEMORY_INPUT";  // a literal
  std::string message;                             // what was found, what is expected
  std::string guidance;                            // what to do
};

using Refused = std::optional<Refusal>;  // nullopt: nothing is wrong
template <typename T>
using OrRefusal = tl::expected<T, Refusal>;

inline tl::unexpected<Refusal> Refuse(Refusal refusal) {
  return tl::unexpected<Refusal>(std::move(refusal));
}
inline Response ToResponse(const Refusal& refusal) {
  return ErrorResponse(refusal.status, refusal.code, refusal.message, refusal.guidance);
}

// What a client sent, for a message: valid UTF-8, cut at a character if it is long.
std::string Shown(std::string_view text);

// A value of the right form that cannot be taken: 400.
inline Refusal InvalidInput(std::string message, std::string guidance) {
  return {400, "INVALID_MEMORY_INPUT", std::move(message), std::move(guidance)};
}
// A query parameter that cannot be read: 400.
inline Refusal BadRequest(std::string message, std::string guidance) {
  return {400, "BAD_REQUEST", std::move(message), std::move(guidance)};
}
// Well-formed JSON of the wrong shape: 422.
inline Refusal WrongShape(std::string message, std::string guidance) {
  return {422, "MEMORY_VALIDATION_ERROR", std::move(message), std::move(guidance)};
}

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_REFUSAL_H_
