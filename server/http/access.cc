#include "server/http/access.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "server/http/error_response.h"

namespace engram::server {
namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr std::string_view kCorsHeaders =
    "Authorization, Content-Type, X-Memory-Space, X-Memory-Space-Id, X-Engram-Memory-Space, "
    "X-Request-Id";

bool KeyMatches(const AccessRules& rules, const Request& request) {
  if (rules.api_key.empty()) return true;
  const auto header = request.Header("Authorization");
  if (!header || !EqualsIgnoringCase(header->substr(0, kBearer.size()), kBearer)) return false;
  std::string_view presented = header->substr(kBearer.size());
  while (presented.starts_with(' ')) presented.remove_prefix(1);  // RFC 9110 allows several
  return SecretEquals(presented, rules.api_key);
}

bool IsOwnOrigin(const AccessRules& rules, std::string_view local_origin, std::string_view origin) {
  if (!local_origin.empty() && EqualsIgnoringCase(origin, local_origin)) return true;
  return std::any_of(rules.own_origins.begin(), rules.own_origins.end(),
                     [&](const std::string& own) { return EqualsIgnoringCase(origin, own); });
}

std::string MethodList(const std::vector<Method>& methods) {
  std::string list;
  for (Method method : methods) {
    if (!list.empty()) list += ", ";
    list += MethodName(method);
  }
  return list;
}

Response Unauthorized(const Request& request) {
  const bool missing = !request.Header("Authorization");
  Response response = ErrorResponse(
      401, "UNAUTHORIZED", missing ? "Missing Authorization header" : "Invalid API key",
      "send \"Authorization: Bearer <key>\" with the key of server.api_key");
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

Response ForeignOrigin() {
  return ErrorResponse(403, "FORBIDDEN", "this origin may neither change nor administer anything",
                       "call from a page of this server, or without a browser");
}

Response NotRouted(const Router::Match& match) {
  if (match.allowed.empty()) {
    return ErrorResponse(404, "RESOURCE_NOT_FOUND", "there is no such route",
                         "GET /api-docs/openapi.json lists the routes");
  }
  const std::string allowed = MethodList(match.allowed) + ", OPTIONS";
  Response response = ErrorResponse(405, "METHOD_NOT_ALLOWED",
                                    "this route does not take that method", "use " + allowed);
  response.headers.emplace_back("Allow", allowed);
  return response;
}

Response UnsupportedMediaType() {
  return ErrorResponse(415, "UNSUPPORTED_MEDIA_TYPE", "this route takes JSON",
                       "send the header \"Content-Type: application/json\"");
}

bool IsJson(const Request& request) {
  const auto type = request.Header("Content-Type");
  if (!type) return false;
  std::string_view essence = type->substr(0, type->find(';'));
  while (!essence.empty() && (essence.back() == ' ' || essence.back() == '\t')) {
    essence.remove_suffix(1);
  }
  if (EqualsIgnoringCase(essence, "application/json")) return true;
  return essence.size() > 17 && EqualsIgnoringCase(essence.substr(0, 12), "application/") &&
         EqualsIgnoringCase(essence.substr(essence.size() - 5), "+json");
}

// OPTIONS, of a browser before it sends the request proper or of anybody else. A foreign origin is
// told of the methods alone that it may use.
Response Options(const Router& router, std::string_view raw_path, bool foreign) {
  std::vector<Method> allowed;
  bool known = raw_path == "*";
  for (Method method : {Method::kGet, Method::kPost, Method::kPut, Method::kDelete}) {
    const Route* route = router.Find(method, raw_path).route;
    if (route == nullptr) continue;
    known = true;
    if (foreign && route->guard == Guard::kControl) continue;
    allowed.push_back(method);
    if (method == Method::kGet) allowed.push_back(Method::kHead);
  }
  if (!known) return NotRouted({});
  allowed.push_back(Method::kOptions);
  Response response = Response::Empty(204);
  const std::string list = MethodList(allowed);
  response.headers.emplace_back("Allow", list);
  response.headers.emplace_back("Access-Control-Allow-Methods", list);
  response.headers.emplace_back("Access-Control-Allow-Headers", kCorsHeaders);
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

bool IsLoopback(std::string_view address) {
  return address == "::1" || address.substr(0, 4) == "127.";
}

}  // namespace

std::vector<std::string> OwnOrigins(std::string_view address, uint16_t port) {
  std::vector<std::string> hosts = {std::string(address)};
  if (IsLoopback(address) || address == "0.0.0.0" || address == "::") {
    hosts.insert(hosts.end(), {"localhost", "127.0.0.1", "::1"});
  }
  std::vector<std::string> origins;
  for (const std::string& host : hosts) {
    const bool is_v6 = host.find(':') != std::string::npos;
    const std::string base = "http://" + (is_v6 ? "[" + host + "]" : host);
    origins.push_back(base + ":" + std::to_string(port));
    if (port == 80) origins.push_back(base);
  }
  return origins;
}

bool SecretEquals(std::string_view presented, std::string_view secret) {
  size_t difference = presented.size() ^ secret.size();
  for (size_t i = 0; i < presented.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference |= static_cast<unsigned char>(presented[i] ^ expected);
  }
  return difference == 0;
}

Admission Admit(const Router& router, const AccessRules& rules, std::string_view local_origin,
                std::string_view raw_path, Request* request) {
  Admission admission;
  const auto origin = request->Header("Origin");
  const bool foreign = origin && !IsOwnOrigin(rules, local_origin, *origin);
  if (origin) admission.allow_origin = foreign ? "*" : *origin;
  if (request->method == Method::kOptions) {
    admission.refusal = Options(router, raw_path, foreign);
    return admission;
  }
  Router::Match match = router.Find(request->method, raw_path);
  admission.route = match.route;
  const Guard guard = match.route != nullptr ? match.route->guard : Guard::kRead;
  if (guard == Guard::kControl && foreign) {
    admission.refusal = ForeignOrigin();
    admission.allow_origin = {};
  } else if (guard != Guard::kNone && !KeyMatches(rules, *request)) {
    admission.refusal = Unauthorized(*request);
  } else if (match.route == nullptr) {
    admission.refusal = NotRouted(match);
  } else if (match.route->takes_json && !IsJson(*request)) {
    admission.refusal = UnsupportedMediaType();
  }
  request->path_params = std::move(match.path_params);
  return admission;
}

}  // namespace engram::server
