// The document and the router say the same.
#include "server/api/openapi.h"

#include <gmock/gmock.h>

#include <set>

#include "server/api/route_docs.h"
#include "tests/server/api_fixture.h"

namespace engram::server {
namespace {

using ::testing::HasSubstr;
using testing::Json;

class OpenApiTest : public testing::ApiTest {
 protected:
  static std::string Name(Method method, std::string_view pattern) {
    return std::string(MethodName(method)) + " " + std::string(pattern);
  }
};

TEST_F(OpenApiTest, EveryRouteIsDescribedAndEverythingDescribedIsARoute) {
  std::set<std::string> routes, docs;
  for (const Route& route : router_->routes()) routes.insert(Name(route.method, route.pattern));
  for (const RouteDoc& doc : RouteDocs()) {
    EXPECT_TRUE(docs.insert(Name(doc.method, doc.pattern)).second) << doc.pattern << " twice";
  }
  EXPECT_EQ(routes, docs);
}

TEST_F(OpenApiTest, WhatTheDocumentSaysOfMediaTypesIsWhatTheListenerChecks) {
  for (const Route& route : router_->routes()) {
    for (const RouteDoc& doc : RouteDocs()) {
      if (doc.method != route.method || doc.pattern != route.pattern) continue;
      EXPECT_EQ(route.takes_json, doc.statuses.find("415") != std::string_view::npos)
          << Name(route.method, route.pattern);
    }
  }
}

TEST_F(OpenApiTest, TheDocumentIsServedAndHoldsEveryRoute) {
  const testing::Answer answer = Get("/api-docs/openapi.json");
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body["openapi"], "3.0.3");
  size_t operations = 0;
  for (const auto& [path, methods] : answer.body["paths"].items()) operations += methods.size();
  EXPECT_EQ(operations, router_->routes().size());
  const Json& get = answer.body["paths"]["/api/v1/memories/{id}"]["get"];
  EXPECT_EQ(get["parameters"][0]["name"], "id");
  EXPECT_EQ(get["parameters"][0]["in"], "path");
  EXPECT_TRUE(get["responses"].contains("404"));
  const Json& remember = answer.body["paths"]["/api/v1/memories/remember"]["post"];
  EXPECT_EQ(remember["requestBody"]["content"]["application/json"]["schema"]["required"],
            Json::array({"content"}));
  EXPECT_EQ(answer.body["paths"]["/health/alive"]["get"]["security"], Json::array());
}

TEST_F(OpenApiTest, ThePageLoadsNothingAndNamesTheRoutes) {
  for (const char* path : {"/docs", "/docs/", "/docs/api"}) {
    const Response page = Send(Method::kGet, path);
    EXPECT_EQ(page.status, 200) << path;
    EXPECT_THAT(page.content_type, HasSubstr("text/html"));
    EXPECT_THAT(page.body, HasSubstr("POST /api/v1/memories/remember"));
    EXPECT_EQ(page.body.find("<script"), std::string::npos);
    EXPECT_EQ(page.body.find("src="), std::string::npos);
  }
}

}  // namespace
}  // namespace engram::server
