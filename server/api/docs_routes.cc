// The interface's own description. It covers all routes, also those that are added later.
#include "server/api/context.h"
#include "server/api/openapi.h"

namespace engram::server {

void AddDocsRoutes(const ApiContext& context, Router* router) {
  const auto page = [router, version = context.version](const Request&) {
    Response response = Response::Text(200, DocsHtml(*router, version));
    response.content_type = "text/html; charset=utf-8";
    return response;
  };
  for (const char* pattern : {"/docs", "/docs/", "/docs/{page}"}) {
    router->Add({Method::kGet, pattern, Execution::kInline, Guard::kRead, page});
  }
  // JSON is YAML: both are one text.
  for (const auto& [pattern, type] : {std::pair{"/api-docs/openapi.json", "application/json"},
                                      std::pair{"/api-docs/openapi.yaml", "application/yaml"}}) {
    router->Add({Method::kGet, pattern, Execution::kInline, Guard::kRead,
                 [router, version = context.version, type = type](const Request&) {
                   Response response = Response::Json(200, OpenApiJson(*router, version));
                   response.content_type = type;
                   return response;
                 }});
  }
}

}  // namespace engram::server
