#include "server/api/control_body.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "server/http/error_response.h"

namespace engram::server {
namespace {

// Deep nesting has no business in a flat object, and would be a stack to overflow.
constexpr int kDepthMax = 16;

bool IsJson(const Request& request) {
  std::string type(request.Header("content-type").value_or(""));
  type = type.substr(0, type.find(';'));
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return type == "application/json" ||
         (type.starts_with("application/") && type.ends_with("+json"));
}

}  // namespace

tl::expected<nlohmann::json, Response> ControlBody(const Request& request) {
  if (!IsJson(request)) {
    return tl::unexpected(ErrorResponse(415, "UNSUPPORTED_MEDIA_TYPE",
                                        "the body is not declared as JSON",
                                        "send the header Content-Type: application/json"));
  }
  bool deep = false;
  auto json = nlohmann::json::parse(
      request.body,
      [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
        deep = deep || depth > kDepthMax;
        return depth <= kDepthMax;
      },
      false);
  if (json.is_discarded() || deep) {
    return tl::unexpected(
        ErrorResponse(400, "INVALID_MEMORY_INPUT", "the body is not JSON", "send one JSON object"));
  }
  if (!json.is_object()) {
    return tl::unexpected(ErrorResponse(
        422, "MEMORY_VALIDATION_ERROR",
        std::string("the body is a JSON ") + json.type_name() + ", expected an object",
        "send one JSON object, for example {\"paused\": true}"));
  }
  for (auto at = json.begin(); at != json.end();) at = at->is_null() ? json.erase(at) : ++at;
  return json;
}

}  // namespace engram::server
