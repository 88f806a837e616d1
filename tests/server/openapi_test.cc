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

TEST_F(OpenApiTest, WhatTheListenerAnswersIsSaidOfEveryRoute) {
  for (const Route& route : router_->routes()) {
    const std::set<std::string> statuses = StatusesOf(route);
    const std::string name = Name(route.method, route.pattern);
    EXPECT_EQ(statuses.contains("415"), route.takes_json) << name;
    EXPECT_EQ(statuses.contains("401"), route.guard != Guard::kNone) << name;
    EXPECT_EQ(statuses.contains("403"), route.guard == Guard::kControl) << name;
    if (route.pattern.starts_with("/api/v1/admin/")) {
      EXPECT_EQ(route.guard, Guard::kControl) << name;
    }
    if (route.execution != Execution::kInline) {
      EXPECT_TRUE(statuses.contains("503")) << name << ": a full queue";
    }
  }
  const Json query = Get("/api-docs/openapi.json").body["paths"]["/api/v1/query"]["post"];
  for (const char* status : {"200", "400", "401", "413", "415", "422", "500", "501", "503"}) {
    EXPECT_TRUE(query["responses"].contains(status)) << status;
  }
}

// Send() holds every answer against the document, here those to a space that has no legal name.
TEST_F(OpenApiTest, AnIllegalSpaceIsRefusedAsTheDocumentSays) {
  for (const Route& route : router_->routes()) {
    std::string path = route.pattern;
    for (size_t open = path.find('{'); open != std::string::npos; open = path.find('{')) {
      path.replace(open, path.find('}', open) + 1 - open, "x");
    }
    if (path == "/shutdown") continue;
    Send(route.method, path, "{}", {{"X-Memory-Space", "../x"}});
    Send(route.method, path, "[");
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
