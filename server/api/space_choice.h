// Which space a request means, and the space itself.
#ifndef ENGRAM_SERVER_API_SPACE_CHOICE_H_
#define ENGRAM_SERVER_API_SPACE_CHOICE_H_

#include <optional>
#include <string>

#include "server/api/refusal.h"
#include "server/graph/space_registry.h"
#include "server/http/message.h"

namespace engram::server {

// What a body may say about it.
struct BodySpace {
  std::optional<std::string> memory_space_id;
  std::optional<std::string> memory_space;  // the documents' name for it
};

enum class SpaceOrder {
  kHeaderFirst,  // header, query, body, default
  kBodyFirst,    // body, header, query, default: the query language
};

// The trimmed, valid name. The headers X-Memory-Space, X-Engram-Memory-Space and
// X-Memory-Space-Id mean the same: two that differ are refused, as are two differing body keys.
OrRefusal<std::string> ChooseSpace(const Request& request, const BodySpace& body,
                                   const std::string& default_space,
                                   SpaceOrder order = SpaceOrder::kHeaderFirst);

// As above for what is of all spaces unless one is named: nullopt without a name.
OrRefusal<std::optional<std::string>> NamedSpace(const Request& request);

// 503 with Retry-After: the id may still come in with what upstream left.
Response NotHereYet(std::string_view id);
// 404 MEMORY_NOT_FOUND, or NotHereYet(). `arriving` as the space had it before the id was looked
// for: an id that comes in last is then never a 404.
Response MemoryNotFound(bool arriving, std::string_view id);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_SPACE_CHOICE_H_
