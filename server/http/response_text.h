// The head of a response as it goes over the wire.
#ifndef ENGRAM_SERVER_HTTP_RESPONSE_TEXT_H_
#define ENGRAM_SERVER_HTTP_RESPONSE_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace engram::server {

struct HeadOptions {
  bool keep_alive = true;
  bool http_1_0 = false;
  std::string_view request_id;
  std::string_view allow_origin;  // empty: no such header
  std::string_view date;          // as HttpDate() gives it
};

// Appends status line and headers, the empty line included. A response with `events` gets no
// Content-Length and ends with the connection.
void AppendResponseHead(const Response& response, const HeadOptions& options, std::string* out);

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string HttpDate(int64_t unix_seconds);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_RESPONSE_TEXT_H_
