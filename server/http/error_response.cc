#include "server/http/error_response.h"

#include <algorithm>
#include <string>

#include "base/json_text.h"

namespace engram::server {
namespace {

// Absolute paths are the operator's business: each is cut down to its last component.
std::string WithoutPaths(std::string_view text) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    const bool starts =
        text[i] == '/' &&
        (i == 0 || std::string_view(" \"'(:=").find(text[i - 1]) != std::string_view::npos);
    if (!starts) {
      out += text[i++];
      continue;
    }
    const size_t end = std::min(text.find_first_of(" \"'():,", i), text.size());
    const std::string_view path = text.substr(i, end - i);
    out += path.substr(path.rfind('/') + 1);
    i = end;
  }
  return out;
}

Response Refused(int status, std::string_view code, const Status& error,
                 std::string_view fallback_hint) {
  const std::string hint = WithoutPaths(error.hint());
  Response response = ErrorResponse(status, code, WithoutPaths(error.message()),
                                    hint.empty() ? fallback_hint : hint);
  response.log_detail = error.ToString();
  return response;
}

Response Unavailable(const Status& error, std::string_view retry_after_s,
                     std::string_view fallback_hint) {
  Response response = Refused(503, "MEMORY_CLUSTER_UNAVAILABLE", error, fallback_hint);
  response.headers.emplace_back("Retry-After", retry_after_s);
  return response;
}

// The space has failed and says so until it is opened anew, on request or by a restart. What failed
// is the operator's business and in the log.
Response Latched(const Status& error) {
  Response response =
      ErrorResponse(503, "MEMORY_CLUSTER_UNAVAILABLE",
                    "the memory space takes no writes: a write to its log failed on the device",
                    "nothing acknowledged is lost, and reads go on; once the device is well, POST "
                    "/api/v1/admin/space/reopen or restart "
                    "the server: engram stop, then engram start");
  response.headers.emplace_back("Retry-After", "30");
  response.log_detail = error.ToString();
  return response;
}

}  // namespace

Response ErrorResponse(int status, std::string_view code, std::string_view message,
                       std::string_view guidance) {
  std::string body;
  ObjectText top(&body);
  ObjectText error(top.Key("error"));
  error.String("code", code);
  error.String("message", message);
  error.String("educational_context", guidance);
  error.String("cognitive_guidance", guidance);
  error.Close();
  ObjectText documentation(top.Key("documentation"));
  documentation.String("api_guide", "/docs/api");
  documentation.String("memory_concepts", "/docs/memory-systems");
  documentation.String("examples", "/docs/examples");
  documentation.Close();
  top.Close();
  return Response::Json(status, std::move(body));
}

Response StatusResponse(const Status& status) {
  switch (status.code()) {
    case StatusCode::kBusy:
      return Unavailable(status, "1", "try again in a second");
    case StatusCode::kCancelled:
      return Unavailable(status, "5", "the server is ending; try again when it is back");
    case StatusCode::kFull:
      return Unavailable(status, "5", "make room on the server's device, then try again");
    case StatusCode::kInvalidArgument:
      return Refused(400, "INVALID_MEMORY_INPUT", status, "correct the request and send it again");
    case StatusCode::kFailedPrecondition:
      return Refused(409, "CONFLICT", status, "change the state that is in the way first");
    case StatusCode::kNotFound:
      return Refused(404, "RESOURCE_NOT_FOUND", status, "check the name");
    case StatusCode::kFatal:
      return Latched(status);
    default: {
      Response response =
          ErrorResponse(500, "MEMORY_SYSTEM_ERROR",
                        "the store failed: " + std::string(StatusCodeName(status.code())),
                        "the server's log has the details under this response's X-Request-Id");
      response.log_detail = status.ToString();
      return response;
    }
  }
}

Response HandlerFailure(const std::string& what) {
  Response response =
      ErrorResponse(500, "MEMORY_SYSTEM_ERROR", "the server failed to answer this request",
                    "the server's log has the details under this response's X-Request-Id");
  response.log_detail = what;
  return response;
}

}  // namespace engram::server
