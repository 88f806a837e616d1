#include "server/http/response_text.h"

#include <ctime>

#include "base/json_text.h"

namespace engram::server {
namespace {

constexpr std::string_view kSecurityHeaders =
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "X-XSS-Protection: 1; mode=block\r\n";

std::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Entity";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

// A value can hold what a client sent: no line end gets into the head.
void AppendHeader(std::string_view name, std::string_view value, std::string* out) {
  *out += name;
  *out += ": ";
  for (char c : value) *out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  *out += "\r\n";
}

}  // namespace

void AppendResponseHead(const Response& response, const HeadOptions& options, std::string* out) {
  *out += "HTTP/1.1 ";
  AppendJsonInteger(static_cast<uint64_t>(response.status), out);
  *out += ' ';
  *out += Reason(response.status);
  *out += "\r\n";
  *out += kSecurityHeaders;
  AppendHeader("Date", options.date, out);
  AppendHeader("X-Request-Id", options.request_id, out);
  if (response.events != nullptr) {
    *out += "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n";
  } else {
    if (!response.content_type.empty()) AppendHeader("Content-Type", response.content_type, out);
    if (response.status != 204) {
      *out += "Content-Length: ";
      AppendJsonInteger(response.body.size(), out);
      *out += "\r\n";
    }
  }
  if (!options.allow_origin.empty()) {
    AppendHeader("Access-Control-Allow-Origin", options.allow_origin, out);
    if (options.allow_origin != "*") *out += "Vary: Origin\r\n";
  }
  for (const auto& [name, value] : response.headers) AppendHeader(name, value, out);
  if (!options.keep_alive) {
    *out += "Connection: close\r\n";
  } else if (options.http_1_0) {
    *out += "Connection: keep-alive\r\n";
  }
  *out += "\r\n";
}

std::string HttpDate(int64_t unix_seconds) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = unix_seconds;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const int size = std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                 kDays[parts.tm_wday], parts.tm_mday, kMonths[parts.tm_mon],
                                 parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return std::string(text, static_cast<size_t>(size));
}

}  // namespace engram::server
