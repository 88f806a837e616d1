// One log line per request.
#ifndef ENGRAM_SERVER_HTTP_ACCESS_LOG_H_
#define ENGRAM_SERVER_HTTP_ACCESS_LOG_H_

#include "base/log.h"
#include "server/http/listener.h"

namespace engram::server {

// Debug: every request. Info: one that took a second or longer. Warning: one that the server could
// not serve (5xx, but for expected ones), with the details that its client did not get. The route's
// pattern stands for the path, which holds ids.
void LogRequest(Logger& logger, const RequestRecord& record);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_ACCESS_LOG_H_
