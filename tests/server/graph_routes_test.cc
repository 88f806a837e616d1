#include <gmock/gmock.h>

#include "tests/server/api_fixture.h"

namespace engram::server {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using testing::Json;
using testing::Must;

class GraphRoutesTest : public testing::ApiTest {
 protected:
  GraphRoutesTest() {
    for (const char* id : {"a", "b", "c", "d"}) {
      testing::StoreText(*Space()->space, id, std::string("text of ") + id, 0.5f);
    }
  }
  int Join(const std::string& from, const std::string& to, float weight = 0.5f) {
    return Post("/api/v1/memories/" + from + "/edges", {{"to", to}, {"weight", weight}}).status;
  }
  static std::vector<std::string> Ids(const Json& list, const char* key = "id") {
    std::vector<std::string> ids;
    for (const Json& item : list) ids.push_back(item[key]);
    return ids;
  }
};

TEST_F(GraphRoutesTest, EdgesAreKeptInOrderWithTheirWeights) {
  EXPECT_EQ(Join("a", "c", 0.25f), 201);
  EXPECT_EQ(Join("a", "b", -2.0f), 201);
  EXPECT_EQ(Join("a", "a"), 201);
  const Json got = Get("/api/v1/memories/a/edges").body;
  EXPECT_THAT(Ids(got["edges"], "to"), ElementsAre("c", "b", "a"));
  EXPECT_EQ(got["edges"][0], (Json{{"from", "a"}, {"to", "c"}, {"weight", 0.25}}));
  EXPECT_EQ(got["edges"][1]["weight"], -2.0);
  EXPECT_EQ(got["total"], 3);
  EXPECT_EQ(Get("/api/v1/memories/a/edges?limit=1").body["edges"].size(), 1u);
  Restart();
  EXPECT_EQ(Get("/api/v1/memories/a/edges").body, got);
}

TEST_F(GraphRoutesTest, AnEdgeNeedsBothMemories) {
  const Answer answer = Post("/api/v1/memories/a/edges", {{"to", "nobody"}});
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.code(), "MEMORY_NOT_FOUND");
  EXPECT_EQ(Join("nobody", "a"), 404);
  EXPECT_EQ(Join("a", ""), 404);
  EXPECT_EQ(Post("/api/v1/memories/a/edges", {{"weight", 1}}).status, 422);
  EXPECT_EQ(PostText("/api/v1/memories/a/edges", R"({"to":"b","weight":1e99})").status, 400);
  EXPECT_EQ(Get("/api/v1/memories/a/edges").body["total"], 0);
}

TEST_F(GraphRoutesTest, RemovingAnEdgeRemovesItAndSaysWhenThereWasNone) {
  Join("a", "b");
  Join("a", "b");
  EXPECT_EQ(Delete("/api/v1/memories/a/edges/b").status, 200);
  EXPECT_EQ(Get("/api/v1/memories/a/edges").body["total"], 0);
  const Answer again = Delete("/api/v1/memories/a/edges?to=b");
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.code(), "RESOURCE_NOT_FOUND");
  EXPECT_EQ(Delete("/api/v1/memories/a/edges").status, 400);
}

TEST_F(GraphRoutesTest, DeletingAMemoryTakesItsEdgesAlong) {
  Join("a", "b");
  Join("b", "c");
  ASSERT_EQ(Delete("/api/v1/memories/b").status, 200);
  EXPECT_EQ(Get("/api/v1/memories/a/edges").body["total"], 0);
}

TEST_F(GraphRoutesTest, NeighboursShowWhatTheyAre) {
  Join("a", "b", 0.75f);
  const Json got = Get("/api/v1/memories/a/neighbours").body;
  EXPECT_EQ(got["neighbours"][0],
            (Json{{"id", "b"}, {"weight", 0.75}, {"content", "text of b"}, {"activation", 0.5}}));
  EXPECT_EQ(Get("/api/v1/memories/a/neighbors").body, got);
}

TEST_F(GraphRoutesTest, TraversalIsBreadthFirstToTheDepthAskedFor) {
  Join("a", "b");
  Join("b", "c");
  Join("c", "d");
  const auto reached = [&](const std::string& query) {
    return Ids(Get("/api/v1/memories/a/traverse" + query).body["memories"]);
  };
  EXPECT_THAT(reached(""), ElementsAre("a", "b"));
  EXPECT_THAT(reached("?depth=0"), ElementsAre("a"));
  EXPECT_THAT(reached("?depth=3"), ElementsAre("a", "b", "c", "d"));
  const Json cut = Get("/api/v1/memories/a/traverse?depth=3&limit=2").body;
  EXPECT_THAT(Ids(cut["memories"]), ElementsAre("a", "b"));
  EXPECT_EQ(cut["truncated"], true);
  EXPECT_EQ(Get("/api/v1/memories/a/traverse?depth=65").status, 400);
}

TEST_F(GraphRoutesTest, SpreadingRaisesTheNeighboursDurably) {
  Join("a", "b", 0.5f);
  const Json got = Post("/api/v1/memories/a/spread", {{"decay", 0.5}}).body;
  EXPECT_EQ(got["neighbours"][0]["activation"], 0.5 + 0.5 * 0.5 * 0.5);
  Restart();
  EXPECT_EQ(Get("/api/v1/memories/a/neighbours").body["neighbours"], got["neighbours"]);
}

TEST_F(GraphRoutesTest, BindingsAreSeenFromBothSides) {
  const Vector centroid = TextVector("centroid");
  engram_se_memory node{};
  node.struct_size = sizeof node;
  node.node_type = ENGRAM_SE_NODE_CONCEPT;
  node.id = plugin::ToBytes("idea");
  node.embedding = centroid.data();
  node.formation_time = plugin::ToBytes("2025-01-01T00:00:00Z");
  Must(Space()->space->PutNode(node).status());
  Must(Space()->space->AddBinding("a", "idea", 0.75f, 0.25f));
  const Json of_episode = Get("/api/v1/memories/a/bindings").body;
  EXPECT_EQ(of_episode["concepts"],
            Json::array({{{"id", "idea"}, {"strength", 0.75}, {"contribution", 0.25}}}));
  EXPECT_EQ(of_episode["episodes"], Json::array());
  EXPECT_THAT(Ids(Get("/api/v1/memories/idea/bindings").body["episodes"]), ElementsAre("a"));
  EXPECT_EQ(Get("/api/v1/memories/idea?view=dual").body["node"]["type"], "concept");
}

}  // namespace
}  // namespace engram::server
