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

TEST_F(OpenApiTest, AdministrationIsClosedToForeignOriginsAndSaysSo) {
  for (const Route& route : router_->routes()) {
    if (!route.pattern.starts_with("/api/v1/admin/")) continue;
    EXPECT_EQ(route.guard, Guard::kControl) << route.pattern;
    for (const RouteDoc& doc : RouteDocs()) {
      if (doc.method != route.method || doc.pattern != route.pattern) continue;
      EXPECT_THAT(std::string(doc.statuses), HasSubstr("403")) << doc.pattern;
    }
  }
}

TEST_F(OpenApiTest, EveryKnobAndEveryKeyOfTheSpaceIsInTheDocument) {
  const Json paths = Get("/api-docs/openapi.json").body["paths"];
  const auto keys = [&](const char* path) {
    return paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
                ["properties"];
  };
  const Json knobs = Get("/api/v1/admin/migration").body["knobs"];
  for (const auto& [knob, value] : knobs.items()) {
    EXPECT_TRUE(keys("/api/v1/admin/migration").contains(knob)) << knob;
  }
  for (const auto& [path, methods] : paths.items()) {
    if (!methods.contains("post") || !methods["post"].contains("requestBody")) continue;
    const Json properties = keys(path.c_str());
    EXPECT_EQ(properties.contains("memory_space_id"), properties.contains("memory_space")) << path;
  }
  EXPECT_TRUE(keys("/api/v1/episodes/remember").contains("confidence"));
}

TEST_F(OpenApiTest, TheDocumentIsYamlToo) {
  const Response yaml = Send(Method::kGet, "/api-docs/openapi.yaml");
  EXPECT_EQ(yaml.status, 200);
  EXPECT_EQ(yaml.content_type, "application/yaml");
  EXPECT_EQ(yaml.body, Send(Method::kGet, "/api-docs/openapi.json").body);
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
