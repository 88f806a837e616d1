// What is said of each route in the OpenAPI document. tests/server/openapi_test.cc holds the table
// against the router, both ways.
#ifndef ENGRAM_SERVER_API_ROUTE_DOCS_H_
#define ENGRAM_SERVER_API_ROUTE_DOCS_H_

#include <span>
#include <string_view>

#include "server/http/message.h"

namespace engram::server {

struct RouteDoc {
  Method method;
  std::string_view pattern;
  std::string_view tag;
  std::string_view summary;
  // "200 400 404": what its handler answers, but for the failures that StatusesOf() adds.
  std::string_view statuses;
  // "name:type" separated by spaces; a type is string, integer, number or boolean.
  std::string_view query = "";
  std::string_view body = "";  // the same for the body's keys; "!" behind the type: required
  std::string_view media_type = "application/json";  // of the first status
};

std::span<const RouteDoc> RouteDocs();

}  // namespace engram::server

#endif  // ENGRAM_SERVER_API_ROUTE_DOCS_H_
