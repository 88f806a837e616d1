// The error shape of the HTTP interface: a code for machines, a message, and what to do.
#ifndef ENGRAM_SERVER_HTTP_ERROR_RESPONSE_H_
#define ENGRAM_SERVER_HTTP_ERROR_RESPONSE_H_

#include <string_view>

#include "base/status.h"
#include "server/http/message.h"

namespace engram::server {

// {"error": {"code", "message", "educational_context", "cognitive_guidance"}, "documentation":
// {...}} `guidance` says what to do; it fills cognitive_guidance (and educational_context, which
// upstream's clients expect to be there).
Response ErrorResponse(int status, std::string_view code, std::string_view message,
                       std::string_view guidance);

// A failure of the store: kBusy, kFull and kCancelled 503 MEMORY_CLUSTER_UNAVAILABLE with
// Retry-After, kInvalidArgument 400 INVALID_MEMORY_INPUT, kFailedPrecondition 409 CONFLICT,
// kNotFound 404 RESOURCE_NOT_FOUND, kFatal (a latched space) 503 with the advice to restart, the
// rest 500 MEMORY_SYSTEM_ERROR. Never shows paths of the machine.
Response StatusResponse(const Status& status);
// 500 MEMORY_SYSTEM_ERROR; `what` goes to the log.
Response HandlerFailure(const std::string& what);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_ERROR_RESPONSE_H_
