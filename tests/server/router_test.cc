#include "server/http/router.h"

#include <gtest/gtest.h>

namespace engram::server {
namespace {

Route At(Method method, std::string pattern) {
  Route route;
  route.method = method;
  route.pattern = std::move(pattern);
  route.handler = [](const Request&) { return Response::Empty(204); };
  return route;
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    for (const char* pattern : {"/memories", "/memories/{id}", "/memories/search",
                                "/memories/{id}/edges", "/docs/", "/memories/search/deep/end"}) {
      router_.Add(At(Method::kGet, pattern));
    }
    router_.Add(At(Method::kPost, "/memories"));
    router_.Add(At(Method::kDelete, "/memories/{id}"));
  }

  std::string Found(Method method, std::string_view path) {
    const Router::Match match = router_.Find(method, path);
    return match.route == nullptr ? "" : match.route->pattern;
  }

  Router router_;
};

TEST_F(RouterTest, ALiteralSegmentWinsOverAParameter) {
  EXPECT_EQ(Found(Method::kGet, "/memories/search"), "/memories/search");
  EXPECT_EQ(Found(Method::kGet, "/memories/searching"), "/memories/{id}");
}

TEST_F(RouterTest, ALiteralThatLeadsNowhereGivesWayToTheParameter) {
  EXPECT_EQ(Found(Method::kGet, "/memories/search/edges"), "/memories/{id}/edges");
  EXPECT_EQ(Found(Method::kGet, "/memories/search/deep/end"), "/memories/search/deep/end");
}

TEST_F(RouterTest, AParameterIsOneWholeDecodedSegment) {
  const Router::Match match = router_.Find(Method::kGet, "/memories/a%2Fb%20c/edges");
  ASSERT_NE(match.route, nullptr);
  ASSERT_EQ(match.path_params.size(), 1u);
  EXPECT_EQ(match.path_params[0].first, "id");
  EXPECT_EQ(match.path_params[0].second, "a/b c");
}

TEST_F(RouterTest, AnEmptySegmentIsNoParameter) {
  EXPECT_EQ(Found(Method::kGet, "/memories/"), "");
  EXPECT_EQ(Found(Method::kGet, "/memories//edges"), "");
  EXPECT_EQ(Found(Method::kGet, "//memories"), "");
}

TEST_F(RouterTest, ATrailingSlashIsAnotherRoute) {
  EXPECT_EQ(Found(Method::kGet, "/docs/"), "/docs/");
  EXPECT_EQ(Found(Method::kGet, "/docs"), "");
}

TEST_F(RouterTest, AnEscapedLiteralIsTheSameLiteral) {
  EXPECT_EQ(Found(Method::kGet, "/%6demories"), "/memories");
}

TEST_F(RouterTest, AnotherMethodIsToldWhatThePathTakes) {
  const Router::Match match = router_.Find(Method::kPut, "/memories/x");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(match.allowed, (std::vector<Method>{Method::kGet, Method::kHead, Method::kDelete}));
  EXPECT_TRUE(router_.Find(Method::kPut, "/nothing").allowed.empty());
}

TEST_F(RouterTest, HeadTakesTheGetRoute) {
  EXPECT_EQ(Found(Method::kHead, "/memories"), "/memories");
}

TEST_F(RouterTest, PathsThatAreNoneMatchNothing) {
  for (const char* path : {"", "*", "memories", "/"}) EXPECT_EQ(Found(Method::kGet, path), "");
}

TEST(RouterDeathTest, TheSameMethodAndPatternTwiceIsAnError) {
  Router router;
  router.Add(At(Method::kGet, "/a/{id}"));
  EXPECT_DEATH(router.Add(At(Method::kGet, "/a/{name}")), "invariant violated");
}

}  // namespace
}  // namespace engram::server
