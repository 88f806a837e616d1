// Memories over HTTP: what is remembered is there, as it was sent, for every way of asking.
#include <gmock/gmock.h>

#include <set>

#include "tests/server/api_fixture.h"

namespace engram::server {
namespace {

using ::testing::AllOf;
using testing::Answer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Json;
using testing::Must;
using testing::SomeEmbedding;
using ::testing::StartsWith;

class MemoryRoutesTest : public testing::ApiTest {
 protected:
  std::vector<std::string> ListedIds(const std::string& query) {
    std::vector<std::string> ids;
    const Answer page = Get("/api/v1/memories" + query);
    EXPECT_EQ(page.status, 200) << page.body;
    for (const Json& memory : page.body["memories"]) ids.push_back(memory["id"]);
    return ids;
  }
  void Remember(const std::string& id, float confidence = 0.9f) {
    const Answer answer =
        Post("/api/v1/memories",
             {{"id", id}, {"content", "content of " + id}, {"confidence", confidence}});
    ASSERT_EQ(answer.status, 201) << answer.body;
  }
};

TEST_F(MemoryRoutesTest, RememberAnswersInUpstreamsShape) {
  const Answer answer = Post("/api/v1/memories/remember", {{"content", "water boils at 100 C"},
                                                           {"confidence", 0.85},
                                                           {"confidence_reasoning", "measured"}});
  ASSERT_EQ(answer.status, 201) << answer.body;
  EXPECT_THAT(answer.body["memory_id"].get<std::string>(), StartsWith("mem_"));
  EXPECT_EQ(answer.body["storage_confidence"],
            (Json{{"value", 0.85}, {"category", "High"}, {"reasoning", "measured"}}));
  EXPECT_EQ(answer.body["consolidation_state"], "Recent");
  EXPECT_EQ(answer.body["links"]["consolidation"], "/api/v1/consolidations");
  EXPECT_EQ(answer.body["auto_links"], Json::array());
  EXPECT_THAT(answer.body["system_message"].get<std::string>(),
              AllOf(HasSubstr("successfully encoded with 0.85 activation"),
                    HasSubstr("Consider enabling auto-linking")));
  EXPECT_THAT(answer.body["observed_at"].get<std::string>(), ::testing::EndsWith("Z"));
  EXPECT_EQ(answer.body["observed_at"], answer.body["stored_at"]);
}

TEST_F(MemoryRoutesTest, IdsMadeHereDoNotCollide) {
  std::set<std::string> ids;
  for (int i = 0; i < 200; ++i) {
    const Answer answer = Post("/api/v1/memories", {{"content", "the same text"}});
    EXPECT_TRUE(ids.insert(answer.body["memory_id"]).second);
    EXPECT_GE(answer.body["memory_id"].get<std::string>().size(), 20u);
  }
  EXPECT_EQ(Get("/api/v1/memories").body["total"], 200);
}

TEST_F(MemoryRoutesTest, EverythingSentComesBackAndSurvivesARestart) {
  const std::vector<float> embedding = SomeEmbedding(1);
  const Json sent = {{"id", "m/1 \xC3\xA4"},
                     {"content", "a \"quoted\" text\n"},
                     {"confidence", 0.8},
                     {"embedding", embedding},
                     {"tags", {"a", "b\""}},
                     {"memory_type", "procedural"},
                     {"timestamp", "2025-01-01T01:00:00.5+01:00"}};
  ASSERT_EQ(Post("/api/v1/memories", sent).status, 201);
  Restart();
  const Answer got = Get("/api/v1/memories/m%2F1%20%C3%A4?include_embeddings=true");
  ASSERT_EQ(got.status, 200) << got.body;
  EXPECT_EQ(got.body["id"], sent["id"]);
  EXPECT_EQ(got.body["content"], sent["content"]);
  EXPECT_EQ(got.body["confidence"], 0.8);
  EXPECT_EQ(got.body["tags"], sent["tags"]);
  EXPECT_EQ(got.body["memory_type"], "procedural");
  EXPECT_EQ(got.body["timestamp"], "2025-01-01T00:00:00.500+00:00");
  EXPECT_EQ(got.body["embedding"].get<std::vector<float>>(), embedding);
  EXPECT_FALSE(got.body.contains("node"));
}

TEST_F(MemoryRoutesTest, AnEpisodeKeepsWhatUpstreamDrops) {
  const Json sent = {{"when", "2025-10-21T18:29:18Z"},
                     {"what", "met at the harbour"},
                     {"where_location", "Hamburg"},
                     {"who", {"Ada", "Bob"}},
                     {"why", "to talk"},
                     {"how", "on foot"},
                     {"emotional_valence", -0.25},
                     {"importance", 0.75}};
  const Answer answer = Post("/api/v1/episodes/remember", sent);
  ASSERT_EQ(answer.status, 201) << answer.body;
  const std::string id = answer.body["memory_id"];
  EXPECT_THAT(id, StartsWith("ep_"));
  EXPECT_EQ(answer.body["storage_confidence"]["value"], 0.75);
  EXPECT_EQ(answer.body["observed_at"], "2025-10-21T18:29:18Z");
  EXPECT_THAT(answer.body["system_message"].get<std::string>(), StartsWith("Episode '" + id));
  const Json got = Get("/api/v1/memories/" + id).body;
  EXPECT_EQ(got["content"], "met at the harbour");
  EXPECT_EQ(got["where"], "Hamburg");
  EXPECT_EQ(got["who"], sent["who"]);
  EXPECT_EQ(got["why"], "to talk");
  EXPECT_EQ(got["how"], "on foot");
  EXPECT_EQ(got["emotional_valence"], -0.25);
  EXPECT_EQ(got["importance"], 0.75);
}

TEST_F(MemoryRoutesTest, TextsWithoutAnEmbeddingGetVectorsOfTheirOwnThatSayTheyAreHashes) {
  for (const char* id : {"t1", "t2"}) Remember(id);
  std::vector<std::string> hashes;
  for (const char* id : {"t1", "t2"}) {
    Must(Space()->space->Retrieve(id, false, [&](const engram_se_memory& memory) {
      EXPECT_EQ(plugin::ToView(memory.provenance_model_name), "engram-hash-1");
      hashes.emplace_back(reinterpret_cast<const char*>(memory.embedding_sha256), 32);
      return false;
    }));
  }
  EXPECT_NE(hashes[0], hashes[1]);
}

TEST_F(MemoryRoutesTest, AWriteWithAKnownIdReplacesTheMemory) {
  ASSERT_EQ(Post("/api/v1/memories",
                 {{"id", "x"}, {"content", "old"}, {"tags", {"t"}}, {"confidence", 0.9}})
                .status,
            201);
  ASSERT_EQ(Post("/api/v1/memories", {{"id", "x"}, {"content", "new"}}).status, 201);
  const Json got = Get("/api/v1/memories/x").body;
  EXPECT_EQ(got["content"], "new");
  EXPECT_FALSE(got.contains("tags"));
  EXPECT_EQ(got["confidence"].get<float>(), 0.7f);
  EXPECT_THAT(ListedIds(""), ElementsAre("x"));
}

TEST_F(MemoryRoutesTest, ConfidenceOutsideItsRangeIsClamped) {
  Remember("high", 3.5f);
  Remember("low", -1.0f);
  EXPECT_EQ(Get("/api/v1/memories/high").body["confidence"], 1.0);
  EXPECT_EQ(Get("/api/v1/memories/low").body["confidence"], 0.0);
}

TEST_F(MemoryRoutesTest, DeleteReallyDeletes) {
  Remember("gone");
  ASSERT_THAT(ListedIds(""), ElementsAre("gone"));
  const Answer deleted = Delete("/api/v1/memories/gone");
  EXPECT_EQ(deleted.status, 200);
  EXPECT_EQ(deleted.body["status"], "deleted");
  EXPECT_EQ(deleted.body["memory_id"], "gone");
  EXPECT_EQ(Get("/api/v1/memories/gone").status, 404);
  EXPECT_THAT(ListedIds(""), IsEmpty());
  const Answer again = Delete("/api/v1/memories/gone");
  EXPECT_EQ(again.status, 404);
  EXPECT_EQ(again.code(), "MEMORY_NOT_FOUND");
  Restart();
  EXPECT_EQ(Get("/api/v1/memories/gone").status, 404);
}

TEST_F(MemoryRoutesTest, ReadsOfAnUnknownSpaceAreEmptyAndMakeNone) {
  EXPECT_EQ(Get("/api/v1/memories?space=nowhere").body["total"], 0);
  EXPECT_EQ(Get("/api/v1/memories/x?space=nowhere").code(), "MEMORY_NOT_FOUND");
  EXPECT_EQ(Delete("/api/v1/memories/x?space=nowhere").code(), "MEMORY_NOT_FOUND");
  EXPECT_THAT(Must(spaces_->Names()), IsEmpty());
}

TEST_F(MemoryRoutesTest, TheSpaceComesFromHeaderQueryBodyDefaultInThisOrder) {
  const auto remember_in = [&](const std::string& query, Json body, const Headers& headers) {
    body["content"] = "c";
    EXPECT_EQ(Post("/api/v1/memories/remember" + query, body, headers).status, 201);
  };
  remember_in("?space=from-query", {{"memory_space_id", "from-body"}},
              {{"X-Memory-Space", "from-header"}});
  remember_in("?space=from-query", {{"memory_space_id", "from-body"}}, {});
  remember_in("", {{"memory_space", "from-body"}}, {});
  remember_in("", {}, {{"x-engram-memory-space", "header-2"}});
  remember_in("", {}, {{"X-Memory-Space-Id", " header-3 "}});
  remember_in("", {}, {});
  EXPECT_THAT(Must(spaces_->Names()), ElementsAre("default", "from-body", "from-header",
                                                  "from-query", "header-2", "header-3"));
}

TEST_F(MemoryRoutesTest, ASpaceThatIsNamedTwiceOrWronglyIsRefused) {
  const Headers differing = {{"X-Memory-Space", "aaa"}, {"X-Engram-Memory-Space", "bbb"}};
  EXPECT_EQ(Get("/api/v1/memories", differing).status, 400);
  const Headers same = {{"X-Memory-Space", "aaa"}, {"X-Engram-Memory-Space", "aaa"}};
  EXPECT_EQ(Get("/api/v1/memories", same).status, 200);
  for (const char* name : {"../x", ".", "ab", "%C3%BCml", "Upper"}) {
    const Answer answer = Get(std::string("/api/v1/memories?space=") + name);
    EXPECT_EQ(answer.status, 400) << name;
    EXPECT_EQ(answer.code(), "INVALID_MEMORY_INPUT");
  }
  EXPECT_EQ(Post("/api/v1/memories", {{"content", "c"}, {"memory_space_id", std::string(65, 'a')}})
                .status,
            400);
}

TEST_F(MemoryRoutesTest, ValuesThatCannotBeTakenAre400) {
  const std::string embedding_767 = Json(std::vector<float>(767, 0.5f)).dump();
  const std::vector<std::pair<std::string, std::string>> bodies = {
      {R"({"content": "  \u3000\n"})", "blank"},
      {R"({"content": ")" + std::string(100'001, 'x') + R"("})", "100001 bytes"},
      {R"({"content": "c", "embedding": )" + embedding_767 + "}", "768 dimensions, got 767"},
      {R"({"content": "c", "embedding": []})", "768 dimensions, got 0"},
      {R"({"content": "c", "confidence": 1e39})", "32-bit float"},
      {R"({"content": "c", "embedding": [1e400]})", "32-bit float"},
      {R"({"content": "c", "confidence": NaN})", "well-formed"},
      {R"({"content": "c", "confidence": Infinity})", "well-formed"},
      {R"({"content": "c", "confidence": 01})", "well-formed"},
      {R"({"content": "c", "confidence": 1.})", "well-formed"},
      {R"({"content": "c", "id": ""})", "'id' is empty"},
      {R"({"content": "c")", "well-formed"},
      {R"({"content": "c"} {})", "well-formed"},
      {R"({"content": "c", "other": [1,,2]})", "well-formed"},
      {R"({"content": "c", "other": nul})", "well-formed"},
      {R"({"content": "c", "other": "\x"})", "well-formed"},
      {"{\"content\": \"\xff\"}", "UTF-8"},
      {R"({"content": "c", "other": )" + std::string(40, '[') + std::string(40, ']') + "}",
       "nested deeper"},
      {std::string(100'000, '['), "nested deeper"},
      {"[1,]", "well-formed"},
      {"12abc", "well-formed"},
      {"1] [2", "well-formed"},
      {"", "empty"},
  };
  for (const char* route : {"/api/v1/memories", "/api/v1/memories/remember"}) {
    for (const auto& [body, text] : bodies) {
      const Answer answer = PostText(route, body);
      EXPECT_EQ(answer.status, 400) << body.substr(0, 60);
      EXPECT_EQ(answer.code(), "INVALID_MEMORY_INPUT") << body.substr(0, 60);
      EXPECT_THAT(answer.message(), HasSubstr(text)) << body.substr(0, 60);
    }
  }
  EXPECT_EQ(Get("/api/v1/memories").body["total"], 0);
}

TEST_F(MemoryRoutesTest, AnIdThatItsRouteCannotReachIsRefused) {
  const auto status = [&](const std::string& id) {
    const Answer answer = Post("/api/v1/memories", {{"content", "text"}, {"id", id}});
    if (answer.status != 201) {
      EXPECT_EQ(answer.code(), "INVALID_MEMORY_INPUT");
    }
    return answer.status;
  };
  const std::string prefix = "/api/v1/memories/";
  int words = 0;
  for (const Route& route : router_->routes()) {
    if (!route.pattern.starts_with(prefix)) continue;
    const std::string rest = route.pattern.substr(prefix.size());
    if (rest.find_first_of("{/") != std::string::npos) continue;
    ++words;
    EXPECT_EQ(status(rest), 400) << rest;
  }
  EXPECT_EQ(words, 4);
  EXPECT_EQ(status("recalled"), 201);
  EXPECT_EQ(status(std::string(4096, 'x')), 201);
  EXPECT_EQ(status(std::string(4097, 'x')), 400);
  EXPECT_EQ(status(std::string(1365, ' ')), 201);
  EXPECT_EQ(status(std::string(1366, ' ')), 400);
  EXPECT_EQ(Get(prefix + std::string(4096, 'x')).status, 200);
  EXPECT_EQ(Post("/api/v1/episodes/remember",
                 {{"what", "text"}, {"when", "2025-01-01T00:00:00Z"}, {"id", "search"}})
                .status,
            400);
}

TEST_F(MemoryRoutesTest, JsonOfTheWrongShapeIs422AndOnThePlainRoute400) {
  for (const char* body :
       {"{}", R"({"content": 1})", R"({"content": null})", R"({"content": "c", "confidence": "x"})",
        R"({"content": "c", "tags": "t"})", R"({"content": "c", "tags": [1]})",
        R"({"content": "c", "memory_type": "odd"})", R"({"content": "c", "timestamp": "today"})",
        R"({"content": "c", "embedding": ["a"]})", R"({"content": "c", "auto_link": 1})", "[]",
        "\"c\""}) {
    const Answer strict = PostText("/api/v1/memories/remember", body);
    EXPECT_EQ(strict.status, 422) << body;
    EXPECT_EQ(strict.code(), "MEMORY_VALIDATION_ERROR") << body;
    const Answer plain = PostText("/api/v1/memories", body);
    EXPECT_EQ(plain.status, 400) << body;
    EXPECT_EQ(plain.code(), "INVALID_MEMORY_INPUT") << body;
  }
  EXPECT_EQ(PostText("/api/v1/episodes/remember", R"({"what": "w"})").status, 422);
  EXPECT_EQ(PostText("/api/v1/episodes/remember", R"({"when": "2025-01-01T00:00:00Z"})").status,
            422);
  // What is not well-formed comes first, also behind a wrong type.
  EXPECT_EQ(PostText("/api/v1/memories/remember", R"({"content": 1, "x": [})").status, 400);
  EXPECT_THAT(Get("/api/v1/memories").body["memories"], IsEmpty());
}

TEST_F(MemoryRoutesTest, NumbersAreRoundedOnce) {
  // Halfway between two floats but for its last digit: by way of a double it would round down.
  ASSERT_EQ(PostText("/api/v1/memories",
                     R"({"id":"n","content":"c","confidence":0.5000000298023223876953126})")
                .status,
            201);
  EXPECT_EQ(Get("/api/v1/memories/n").body["confidence"].get<float>(), 0x1.000002p-1f);
  ASSERT_EQ(PostText("/api/v1/memories", R"({"id":"n","content":"c","confidence":1e-60})").status,
            201);
  EXPECT_EQ(Get("/api/v1/memories/n").body["confidence"], 0.0);
}

TEST_F(MemoryRoutesTest, UnknownKeysAreIgnoredAndTheLastOfARepeatedKeyCounts) {
  ASSERT_EQ(PostText("/api/v1/memories",
                     R"({"id":"k","content":"one","x":{"y":[1e999,null,{"z":"\u00e4"}]},)"
                     R"("content":"two"})")
                .status,
            201);
  EXPECT_EQ(Get("/api/v1/memories/k").body["content"], "two");
}

TEST_F(MemoryRoutesTest, ListsAreSortedByIdBytesAndPageByOffsetAndByCursor) {
  for (const char* id : {"b", "a", "\xC3\xA4", "B", "a0", "c"}) Remember(id);
  const std::vector<std::string> all = {"B", "a", "a0", "b", "c", "\xC3\xA4"};
  EXPECT_EQ(ListedIds(""), all);
  EXPECT_THAT(ListedIds("?offset=2&limit=2"), ElementsAre("a0", "b"));
  EXPECT_THAT(ListedIds("?offset=6"), IsEmpty());

  std::vector<std::string> walked;
  Json cursor = "";
  int pages = 0;
  for (std::string query = "?limit=2"; !cursor.is_null(); ++pages) {
    const Json page = Get("/api/v1/memories" + query).body;
    for (const Json& memory : page["memories"]) walked.push_back(memory["id"]);
    EXPECT_EQ(page["count"], page["memories"].size());
    EXPECT_EQ(page["pagination"]["limit"], 2);
    cursor = page["pagination"]["next_cursor"];
    if (!cursor.is_null()) query = "?limit=2&cursor=" + cursor.get<std::string>();
  }
  EXPECT_EQ(walked, all);
  EXPECT_EQ(pages, 3);
}

TEST_F(MemoryRoutesTest, AWalkByCursorMissesNothingThatStaysWhileOthersComeAndGo) {
  for (const char* id : {"b", "d", "f", "h"}) Remember(id);
  const Json first = Get("/api/v1/memories?limit=2").body;
  ASSERT_EQ(Delete("/api/v1/memories/b").status, 200);
  Remember("a");
  Remember("g");
  EXPECT_THAT(ListedIds("?cursor=" + first["pagination"]["next_cursor"].get<std::string>()),
              ElementsAre("f", "g", "h"));
}

TEST_F(MemoryRoutesTest, TiersAreListedAndCountedAsTheyAre) {
  Remember("hot", 0.7f);
  Remember("warm", 0.5f);
  Remember("cold", 0.1f);
  EXPECT_THAT(ListedIds("?tier=hot"), ElementsAre("hot"));
  EXPECT_THAT(ListedIds("?tier=WARM"), ElementsAre("warm"));
  EXPECT_THAT(ListedIds("?tier=cold&offset=0&limit=5"), ElementsAre("cold"));
  EXPECT_THAT(ListedIds("?tier=cold&offset=1"), IsEmpty());
  EXPECT_THAT(ListedIds("?tier=all"), ElementsAre("cold", "hot", "warm"));
  EXPECT_THAT(ListedIds(""), ElementsAre("cold", "hot", "warm"));
  EXPECT_EQ(Get("/api/v1/memories").body["tier_counts"],
            (Json{{"hot", 1}, {"warm", 1}, {"cold", 1}, {"total", 3}}));
  const Answer invalid = Get("/api/v1/memories?tier=lukewarm");
  EXPECT_EQ(invalid.status, 400);
  EXPECT_EQ(invalid.code(), "BAD_REQUEST");
  EXPECT_THAT(invalid.message(), HasSubstr("Invalid tier value"));
}

TEST_F(MemoryRoutesTest, QueriesThatCannotBeReadAre400) {
  for (const char* query : {"?limit=abc", "?limit=-1", "?limit=", "?offset=1.5", "?cursor=zz",
                            "?cursor=abc", "?include_embeddings=yes", "?view=old"}) {
    const Answer answer = Get(std::string("/api/v1/memories") + query);
    EXPECT_EQ(answer.status, 400) << query;
    EXPECT_EQ(answer.code(), "BAD_REQUEST") << query;
  }
  EXPECT_EQ(Get("/api/v1/memories?limit=999999&other=1").body["pagination"]["limit"], 1000);
}

TEST_F(MemoryRoutesTest, APageOfBeforeIsNeverServedAfterAWrite) {
  Remember("a");
  const auto page = [&] { return Get("/api/v1/memories?limit=10").body; };
  EXPECT_EQ(page(), page());
  Remember("b");
  EXPECT_EQ(page()["count"], 2);
  Remember("a", 0.2f);
  EXPECT_EQ(page()["memories"][0]["confidence"].get<float>(), 0.2f);
  ASSERT_EQ(Delete("/api/v1/memories/a").status, 200);
  EXPECT_EQ(page()["count"], 1);
  Restart();
  Remember("c");
  EXPECT_EQ(page()["count"], 2);
}

TEST_F(MemoryRoutesTest, TheDualViewShowsTheNodeAndItsFormat) {
  Remember("n");
  EXPECT_EQ(Get("/api/v1/memories/n?view=dual").body["format"], "old");
  Must(Space()->space->SetMode(ENGRAM_SE_MODE_DUAL));
  Remember("n");
  const Json got = Get("/api/v1/memories/n?view=dual").body;
  EXPECT_EQ(got["format"], "dual");
  EXPECT_EQ(got["node"]["type"], "episode");
  EXPECT_EQ(got["node"]["strength"], nullptr);
  EXPECT_EQ(got["node"]["bindings"], 0);
  Must(Space()->space->SetStrength("n", 0.25f).status());
  EXPECT_EQ(Get("/api/v1/memories?view=dual").body["memories"][0]["node"]["strength"], 0.25);
}

TEST_F(MemoryRoutesTest, AnIdThatHasNotArrivedYetIs503AndNever404) {
  Remember("here");
  Space()->arriving = true;
  for (const Answer& answer : {Get("/api/v1/memories/later"), Delete("/api/v1/memories/later"),
                               Get("/api/v1/memories/later/edges")}) {
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.code(), "MEMORY_CLUSTER_UNAVAILABLE");
    EXPECT_THAT(answer.headers, ::testing::Contains(::testing::Pair("Retry-After", "1")));
  }
  EXPECT_EQ(Get("/api/v1/memories/here").status, 200);
  Space()->arriving = false;
  EXPECT_EQ(Get("/api/v1/memories/later").status, 404);
}

TEST_F(MemoryRoutesTest, AutoLinkJoinsToWhatIsReallySimilar) {
  Remember("cell");
  ASSERT_EQ(Post("/api/v1/memories", {{"id", "far"}, {"content", "quarterly revenue"}}).status,
            201);
  const Answer answer = Post("/api/v1/memories/remember", {{"id", "new"},
                                                           {"content", "content of cell"},
                                                           {"auto_link", true},
                                                           {"link_threshold", 0.9}});
  ASSERT_EQ(answer.status, 201);
  ASSERT_EQ(answer.body["auto_links"].size(), 1u) << answer.body;
  EXPECT_EQ(answer.body["auto_links"][0]["target_memory_id"], "cell");
  EXPECT_THAT(answer.body["system_message"].get<std::string>(),
              HasSubstr("Automatic linking enabled"));
  EXPECT_EQ(Get("/api/v1/memories/new/edges").body["edges"][0]["to"], "cell");
}

}  // namespace
}  // namespace engram::server
