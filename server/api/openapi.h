// The interface described: as an OpenAPI 3.0 document and as a page.
#ifndef ENGRAM_SERVER_API_OPENAPI_H_
#define ENGRAM_SERVER_API_OPENAPI_H_

#include <set>
#include <string>

#include "server/http/router.h"

namespace engram::server {

// What the route may answer, sorted: what route_docs.h says, and what follows from how it is
// served: a wrong key, a foreign origin, another media type, a body too large, a store that fails
// or is busy. Empty if nothing is said of it.
std::set<std::string> StatusesOf(const Route& route);
// Every route of the router, with what route_docs.h says of it.
std::string OpenApiJson(const Router& router, const std::string& version);
// The same as one HTML page that loads nothing.
std::string DocsHtml(const Router& router, const std::string& version);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_OPENAPI_H_
