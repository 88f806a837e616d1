// Finding memories: by embedding, by text, by the query language, by a part of them.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/server/api_fixture.h"

namespace engram::server {
namespace {

using testing::Answer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Json;
using testing::Must;
using testing::SomeEmbedding;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Ids(const Json& list) {
  std::vector<std::string> ids;
  for (const Json& item : list) ids.push_back(item["id"]);
  return ids;
}

class RecallRoutesTest : public testing::ApiTest {
 protected:
  void Remember(const std::string& id, const std::string& content, Json more = Json::object()) {
    more["id"] = id;
    more["content"] = content;
    const Answer answer = Post("/api/v1/memories", more);
    ASSERT_EQ(answer.status, 201) << answer.body;
  }
  static std::string AsParameter(const std::vector<float>& embedding) {
    return "embedding=" + Json(embedding).dump();
  }
};

TEST_F(RecallRoutesTest, ByEmbeddingTheScoreIsTheCosine) {
  Remember("near", "n", {{"embedding", SomeEmbedding(1)}, {"tags", {"t"}}});
  Remember("far", "f", {{"embedding", SomeEmbedding(2)}});
  const Answer answer =
      Get("/api/v1/memories/recall?threshold=-1&" + AsParameter(SomeEmbedding(1)));
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json& memories = answer.body["memories"];
  ASSERT_THAT(Ids(memories["vivid"]), ElementsAre("near"));
  ASSERT_THAT(Ids(memories["associated"]), ElementsAre("far"));
  EXPECT_EQ(memories["reconstructed"], Json::array());
  const Json& near = memories["vivid"][0];
  EXPECT_NEAR(near["similarity_score"].get<double>(), 1.0, 1e-6);
  EXPECT_EQ(near["tags"], Json::array({"t"}));
  EXPECT_EQ(near["memory_type"], "Episodic");
  EXPECT_EQ(near["confidence"]["category"], "High");
  double dot = 0;
  const auto a = SomeEmbedding(1), b = SomeEmbedding(2);
  for (size_t i = 0; i < a.size(); ++i) dot += static_cast<double>(a[i]) * b[i];
  EXPECT_NEAR(memories["associated"][0]["similarity_score"].get<double>(), dot, 1e-5);
  EXPECT_EQ(answer.body["query_analysis"]["understood_intent"], "Embedding-based recall request");
  EXPECT_EQ(answer.body["metadata"], nullptr);
}

TEST_F(RecallRoutesTest, ThresholdAndMaxResultsBound) {
  for (int i = 0; i < 5; ++i) {
    Remember("m" + std::to_string(i), "c", {{"embedding", SomeEmbedding(i)}});
  }
  const std::string cue = AsParameter(SomeEmbedding(3));
  EXPECT_THAT(Ids(Get("/api/v1/memories/recall?" + cue).body["memories"]["vivid"]),
              ElementsAre("m3"));
  const Json two = Get("/api/v1/memories/recall?max_results=2&threshold=-1&" + cue).body;
  EXPECT_EQ(two["memories"]["vivid"].size() + two["memories"]["associated"].size(), 2u);
  const Json metadata =
      Get("/api/v1/memories/recall?include_metadata=true&" + cue).body["metadata"];
  EXPECT_EQ(metadata["total_memories_searched"], 5);
}

TEST_F(RecallRoutesTest, FiltersLeaveOutWhatDoesNotFit) {
  const auto embedding = SomeEmbedding(1);
  Remember("a", "c",
           {{"embedding", embedding},
            {"tags", {"red", "round"}},
            {"timestamp", "2025-01-01T00:00:00Z"}});
  Remember("b", "c",
           {{"embedding", embedding}, {"tags", {"red"}}, {"timestamp", "2025-02-01T00:00:00Z"}});
  ASSERT_EQ(Post("/api/v1/episodes/remember", {{"id", "e"},
                                               {"what", "c"},
                                               {"when", "2025-03-01T00:00:00Z"},
                                               {"where_location", "Port of Hamburg"},
                                               {"embedding", embedding}})
                .status,
            201);
  const auto found = [&](const std::string& filter) {
    return Ids(Get("/api/v1/memories/recall?" + filter + "&" + AsParameter(embedding))
                   .body["memories"]["vivid"]);
  };
  EXPECT_THAT(found("required_tags=red,round"), ElementsAre("a"));
  EXPECT_THAT(found("required_tags=red&excluded_tags=round"), ElementsAre("b"));
  EXPECT_THAT(found("from_time=2025-01-15T00:00:00Z"), UnorderedElementsAre("b", "e"));
  EXPECT_THAT(found("to_time=2025-02-01T00:00:00Z"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(found("location=hamburg"), ElementsAre("e"));
  EXPECT_THAT(found("required_tags=ed"), IsEmpty());
  EXPECT_EQ(found("required_tags=red&max_results=1").size(), 1u);
}

TEST_F(RecallRoutesTest, WithoutACueOrWithAWrongOneItIs400) {
  const Answer none = Get("/api/v1/memories/recall");
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(none.code(), "INVALID_MEMORY_INPUT");
  EXPECT_THAT(none.message(),
              ::testing::StartsWith("Recall requires either a text query or embedding vector"));
  for (const char* query :
       {"embedding=", "embedding=%5B1,2%5D", "embedding=%5B1,,2%5D", "embedding=%5B1,%5D",
        "embedding=%5B1e99%5D", "embedding=%5BNaN%5D", "embedding=abc", "query=%ff",
        "query=x&mode=spreading", "query=x&mode=hybrid", "query=x&mode=psychic",
        "query=x&threshold=high", "query=x&max_results=-1", "query=x&from_time=today"}) {
    EXPECT_EQ(Get(std::string("/api/v1/memories/recall?") + query).status, 400) << query;
  }
}

TEST_F(RecallRoutesTest, AnUnknownSpaceIsAnEmptyAnswer) {
  const std::string cue = AsParameter(SomeEmbedding(1)) + "&space=nowhere";
  const Json recalled = Get("/api/v1/memories/recall?" + cue).body;
  EXPECT_THAT(recalled["memories"]["vivid"], IsEmpty());
  const Json queried = Get("/api/v1/query/probabilistic?" + cue).body;
  EXPECT_THAT(queried["memories"], IsEmpty());
  EXPECT_EQ(queried["confidence_interval"]["point"], 0.0);
  EXPECT_EQ(Get("/api/v1/memories/search?query=x&space=nowhere").body["total"], 0);
  EXPECT_THAT(Must(spaces_->Names()), IsEmpty());
}

TEST_F(RecallRoutesTest, TheProbabilisticReplyHoldsItsIntervalAndItsEvidenceWhenAsked) {
  Remember("near", "n", {{"embedding", SomeEmbedding(1)}});
  Remember("far", "f", {{"embedding", SomeEmbedding(2)}});
  const std::string target =
      "/api/v1/query/probabilistic?threshold=-1&" + AsParameter(SomeEmbedding(1));
  const Json plain = Get(target).body;
  EXPECT_THAT(Ids(plain["memories"]), ElementsAre("near", "far"));
  EXPECT_EQ(plain["results"], plain["memories"]);
  EXPECT_EQ(plain["evidence_chain"], nullptr);
  EXPECT_EQ(plain["uncertainty_sources"], nullptr);
  const Json& interval = plain["confidence_interval"];
  EXPECT_LE(interval["lower"], interval["point"]);
  EXPECT_LE(interval["point"], interval["upper"]);
  const Json full = Get(target + "&include_evidence=true&include_uncertainty=true").body;
  EXPECT_EQ(full["evidence_chain"][0]["source_type"], "vector_similarity");
  EXPECT_EQ(full["uncertainty_sources"][0]["source_type"], "measurement_error");
}

TEST_F(RecallRoutesTest, TextFindsWhatContainsItWithUpstreamsScores) {
  Remember("whole", "The Mitochondria is the powerhouse of the cell");
  Remember("part", "mitochondria");
  Remember("other", "revenue grew");
  const Json found = Get("/api/v1/memories/recall?query=mitochondria").body["memories"];
  EXPECT_THAT(Ids(found["vivid"]), UnorderedElementsAre("whole", "part"));
  EXPECT_EQ(found["vivid"][0]["similarity_score"], 1.0);
  const Json searched =
      Get("/api/v1/memories/search?query=small%20mitochondria%20here&limit=5").body;
  EXPECT_THAT(Ids(searched["memories"]), ElementsAre("part"));
  EXPECT_EQ(searched["memories"][0]["score"].get<float>(), 0.8f);
  EXPECT_EQ(searched["total"], 1);
  EXPECT_THAT(Ids(Get("/api/v1/memories/recall?query=whole").body["memories"]["vivid"]),
              ElementsAre("whole"));
}

TEST_F(RecallRoutesTest, SearchNeedsAQuery) {
  for (const char* target : {"/api/v1/memories/search", "/api/v1/memories/search?query="}) {
    const Answer answer = Get(target);
    EXPECT_EQ(answer.status, 400);
    EXPECT_THAT(answer.message(), HasSubstr("Missing 'query' parameter"));
  }
  EXPECT_EQ(Get("/api/v1/memories/search?query=x&limit=abc").status, 400);
}

TEST_F(RecallRoutesTest, RecognitionIsByWhatIsStored) {
  Remember("known", "k", {{"embedding", SomeEmbedding(1)}});
  const Json known =
      Post("/api/v1/memories/recognize", {{"input", "k"}, {"embedding", SomeEmbedding(1)}}).body;
  EXPECT_EQ(known["recognized"], true);
  EXPECT_EQ(known["similar_patterns"][0]["memory_id"], "known");
  const Json unknown =
      Post("/api/v1/memories/recognize", {{"input", "?"}, {"embedding", SomeEmbedding(2)}}).body;
  EXPECT_EQ(unknown["recognized"], false);
  EXPECT_TRUE(unknown["recognition_confidence"]["value"].is_number_float());
  EXPECT_EQ(Post("/api/v1/memories/recognize", Json::object()).status, 400);
}

TEST_F(RecallRoutesTest, TheQueryLanguageRecallsAndSpreads) {
  Remember("episode_1", "breakfast at home", {{"confidence", 0.75}});
  Remember("episode_2", "lunch");
  ASSERT_EQ(Post("/api/v1/memories/episode_1/edges", {{"to", "episode_2"}}).status, 201);
  const auto run = [&](const std::string& text) {
    return Post("/api/v1/query", {{"query_text", text}});
  };
  const Answer one = run("RECALL episode_1");
  ASSERT_EQ(one.status, 200) << one.body;
  EXPECT_EQ(one.body["episodes"][0]["what"], "breakfast at home");
  EXPECT_EQ(one.body["episodes"][0]["confidence_category"], "High");
  EXPECT_EQ(one.body["total_count"], 1);
  EXPECT_EQ(one.body["aggregate_confidence"]["mean"], 0.75);
  EXPECT_EQ(run("recall episode_404").body["total_count"], 0);
  EXPECT_EQ(run("RECALL episode_1 WHERE confidence > 0.9").body["total_count"], 0);
  EXPECT_THAT(Ids(run("SPREAD FROM episode_1 HOPS 2").body["episodes"]),
              ElementsAre("episode_1", "episode_2"));
  EXPECT_EQ(run("SPREAD FROM episode_1 HOPS 2 LIMIT 1").body["total_count"], 1);
}

TEST_F(RecallRoutesTest, AQueryAboutAnIdThatHasNotArrivedYetIs503) {
  Remember("here", "breakfast");
  Space()->arriving = true;
  for (const char* text : {"RECALL later", "SPREAD FROM later HOPS 2"}) {
    const Answer answer = Post("/api/v1/query", {{"query_text", text}});
    EXPECT_EQ(answer.status, 503) << text;
    EXPECT_THAT(answer.headers, ::testing::Contains(::testing::Pair("Retry-After", "1"))) << text;
  }
  for (const char* text : {"RECALL here", "SPREAD FROM here", "RECALL \"breakfast\""}) {
    EXPECT_EQ(Post("/api/v1/query", {{"query_text", text}}).status, 200) << text;
  }
  Space()->arriving = false;
  EXPECT_EQ(Post("/api/v1/query", {{"query_text", "RECALL later"}}).body["total_count"], 0);
}

TEST_F(RecallRoutesTest, WhatIsNoQueryIs400AndWhatIsNotThere501) {
  for (const char* text :
       {"", "INVALID QUERY SYNTAX", "RECALL", "RECALL (", "RECALL \"open", "RECALL x LIMIT many",
        "RECALL x HOPS 2", "SPREAD x", "SPREAD FROM", "RECALL ContentMatch(x)",
        "RECALL x WHERE age > 1", "RECALL x LIMIT 1001", "SPREAD FROM x HOPS 65"}) {
    const Answer answer = Post("/api/v1/query", {{"query_text", text}});
    EXPECT_EQ(answer.status, 400) << text;
    EXPECT_EQ(answer.code(), "BAD_REQUEST") << text;
  }
  for (const char* text : {"PREDICT x", "IMAGINE x", "CONSOLIDATE x"}) {
    EXPECT_EQ(Post("/api/v1/query", {{"query_text", text}}).status, 501) << text;
  }
  EXPECT_EQ(Post("/api/v1/query", Json::object()).status, 422);
}

TEST_F(RecallRoutesTest, InTheQueryLanguageTheBodysSpaceWins) {
  ASSERT_EQ(Post("/api/v1/memories?space=of-body", {{"id", "x"}, {"content", "c"}}).status, 201);
  const Json found =
      Post("/api/v1/query", {{"query_text", "RECALL x"}, {"memory_space_id", "of-body"}},
           {{"X-Memory-Space", "of-header"}})
          .body;
  EXPECT_EQ(found["total_count"], 1);
}

TEST_F(RecallRoutesTest, CompletionFillsFromTheMostSimilarMemory) {
  ASSERT_EQ(Post("/api/v1/episodes/remember", {{"id", "e1"},
                                               {"what", "met Ada"},
                                               {"when", "2025-03-01T00:00:00Z"},
                                               {"where_location", "Hamburg"},
                                               {"who", {"Ada"}},
                                               {"embedding", SomeEmbedding(1)}})
                .status,
            201);
  Json partial = Json::array();
  for (const float value : SomeEmbedding(1)) {
    partial.push_back(partial.size() % 2 == 0 ? Json(value) : Json());
  }
  const Answer answer = Post("/api/v1/complete", {{"partial_episode",
                                                   {{"known_fields", {{"where", "here"}}},
                                                    {"partial_embedding", partial},
                                                    {"cue_strength", 0.5}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json& episode = answer.body["completed_episode"];
  EXPECT_EQ(episode["id"], "e1");
  EXPECT_EQ(episode["what"], "met Ada");
  EXPECT_EQ(episode["where_location"], "here");
  EXPECT_EQ(episode["who"], Json::array({"Ada"}));
  EXPECT_EQ(answer.body["source_attribution"]["what"]["source"], "Reconstructed");
  EXPECT_EQ(answer.body["source_attribution"]["where"]["source"], "Recalled");
  EXPECT_GT(answer.body["completion_confidence"]["value"].get<double>(), 0.6);
  EXPECT_THAT(answer.body["reconstruction_stats"]["pattern_sources"], ElementsAre("e1"));
}

TEST_F(RecallRoutesTest, CompletionOfAnEmptySpaceGivesBackWhatIsKnown) {
  Json partial(std::vector<float>(768, 0.5f));
  const Answer answer = Post(
      "/api/v1/complete",
      {{"partial_episode", {{"known_fields", Json::object()}, {"partial_embedding", partial}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body["completion_confidence"]["value"], 0.0);
  EXPECT_EQ(answer.body["completed_episode"]["what"], "");
}

TEST_F(RecallRoutesTest, APatternThatIsTooThinOrMisshapenIs422) {
  const Json what = {{"what", "x"}};
  for (const Json& body :
       {Json::object(), Json{{"partial_episode", Json::object()}},
        Json{{"partial_episode",
              {{"known_fields", Json::object()}, {"partial_embedding", Json::array()}}}},
        Json{{"partial_episode", {{"known_fields", what}, {"cue_strength", 1.5}}}},
        Json{{"partial_episode",
              {{"known_fields", what}, {"partial_embedding", std::vector<float>(100, 0.5f)}}}},
        Json{{"partial_episode", {{"known_fields", {{"what", 1}}}}}}}) {
    const Answer answer = Post("/api/v1/complete", body);
    EXPECT_EQ(answer.status, 422) << body;
    EXPECT_EQ(answer.code(), "MEMORY_VALIDATION_ERROR") << body;
  }
}

TEST_F(RecallRoutesTest, ConsolidationsAreTheConceptsWithTheirEpisodes) {
  EXPECT_THAT(Get("/api/v1/consolidations").body["beliefs"], IsEmpty());
  Remember("e1", "an episode", {{"confidence", 0.75}, {"timestamp", "2025-01-01T00:00:00Z"}});
  const Vector centroid = TextVector("centroid");
  engram_se_memory node{};
  node.struct_size = sizeof node;
  node.node_type = ENGRAM_SE_NODE_CONCEPT;
  node.id = plugin::ToBytes("idea");
  node.embedding = centroid.data();
  node.coherence = 0.5f;
  node.instance_count = 3;
  node.formation_time = plugin::ToBytes("2025-01-01T02:00:00Z");
  Must(Space()->space->PutNode(node).status());
  Must(Space()->space->AddBinding("e1", "idea", 0.5f, 0.5f));
  const Json all = Get("/api/v1/consolidations").body;
  ASSERT_EQ(all["beliefs"].size(), 1u);
  const Json& belief = all["beliefs"][0];
  EXPECT_EQ(belief["id"], "idea");
  EXPECT_EQ(belief["schema_confidence"]["value"], 0.5);
  EXPECT_EQ(belief["last_consolidated"], "2025-01-01T02:00:00Z");
  EXPECT_EQ(belief["stats"]["episode_count"], 3);
  EXPECT_EQ(belief["stats"]["freshness_hours"], 2.0);
  EXPECT_EQ(belief["citations"][0]["episode_id"], "e1");
  EXPECT_EQ(belief["citations"][0]["content_preview"], "an episode");
  EXPECT_EQ(Get("/api/v1/consolidations/idea").body["beliefs"][0], belief);
  EXPECT_EQ(Get("/api/v1/consolidations/e1").code(), "CONSOLIDATION_NOT_FOUND");
  EXPECT_EQ(Get("/api/v1/consolidations/none").code(), "CONSOLIDATION_NOT_FOUND");
}

TEST_F(RecallRoutesTest, SpacesAreMadeListedAndDescribed) {
  const Answer made = Post("/api/v1/spaces", {{"id", "alpha"}});
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.body["id"], "alpha");
  EXPECT_EQ(Post("/api/v1/spaces", {{"id", "alpha"}}).body, made.body);
  EXPECT_THAT(Ids(Get("/api/v1/spaces").body["spaces"]), ElementsAre("alpha"));
  EXPECT_EQ(Post("/api/v1/spaces", {{"id", "../x"}}).code(), "INVALID_MEMORY_INPUT");
  EXPECT_EQ(Post("/api/v1/spaces", Json::object()).status, 422);
}

TEST_F(RecallRoutesTest, CompactionOfAServedSpaceSaysThatNothingWasDone) {
  const Answer answer = Post("/api/v1/maintenance/compact", Json::object());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body["compaction"], nullptr);
  EXPECT_EQ(answer.body["maintenance_triggered"], false);
  EXPECT_THAT(answer.body["message"].get<std::string>(), HasSubstr("engram compact"));
}

}  // namespace
}  // namespace engram::server
