// Whole records over HTTP, in the command line's form.
#include <gtest/gtest.h>

#include "plugin/loader/memory_input.h"
#include "tests/server/api_fixture.h"

namespace engram::server::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kRoute[] = "/api/v1/admin/memories";

std::string Line(const std::string& id, const std::string& content = "text") {
  Json line = {{"id", id}, {"content", content}, {"embedding", SomeEmbedding(1)}};
  return line.dump() + "\n";
}

class RecordRoutesTest : public ApiTest {
 protected:
  std::vector<std::string> List(const std::string& query = "") {
    const Response response = Send(Method::kGet, std::string(kRoute) + query);
    EXPECT_EQ(response.status, 200) << response.body;
    std::vector<std::string> lines;
    for (size_t at = 0; at < response.body.size();) {
      const size_t end = response.body.find('\n', at);
      lines.push_back(response.body.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }
  Response Put(const std::string& lines, const std::string& query = "") {
    return Send(Method::kPost, std::string(kRoute) + query, lines, kJson);
  }
  const Headers kJson = {{"Content-Type", "application/json"}};
};

TEST_F(RecordRoutesTest, WhatIsListedExactlyCanBePutBackTheSame) {
  ASSERT_EQ(Put(Line("a") + "\n" + Line("b")).status, 200);
  const auto lines = List("?exact=1&embeddings=1");
  ASSERT_EQ(lines.size(), 2u);
  ASSERT_EQ(Put(lines[0] + "\n" + lines[1], "?space=copy").status, 200);
  const auto copies = List("?exact=1&embeddings=1&space=copy");
  ASSERT_EQ(copies.size(), 2u);
  for (size_t i = 0; i < lines.size(); ++i) {
    Json original = Json::parse(lines[i]), copy = Json::parse(copies[i]);
    original.erase("lsn"), copy.erase("lsn");
    EXPECT_EQ(original, copy);
  }
}

TEST_F(RecordRoutesTest, TheSpaceIsNamedByAnyOfTheHeadersOrTheQuery) {
  for (const char* header : {"X-Memory-Space", "X-Engram-Memory-Space", "X-Memory-Space-Id"}) {
    const Headers named = {{"Content-Type", "application/json"}, {header, "other"}};
    ASSERT_EQ(Send(Method::kPost, kRoute, Line(header), named).status, 200);
    EXPECT_EQ(Send(Method::kGet, std::string(kRoute) + "/" + header, "", named).status, 200);
    EXPECT_EQ(Send(Method::kGet, std::string(kRoute) + "/" + header).status, 404);
    const Response space = Send(Method::kGet, "/api/v1/admin/space", "", named);
    EXPECT_EQ(Json::parse(space.body)["space"], "other");
    const Response verified = Send(Method::kPost, "/api/v1/admin/verify", "{}", named);
    EXPECT_EQ(Json::parse(verified.body)["space"], "other");
    const Response deleted =
        Send(Method::kPost, std::string(kRoute) + "/delete", Json(header).dump(), named);
    EXPECT_EQ(deleted.status, 200) << deleted.body;
    EXPECT_EQ(Send(Method::kGet, std::string(kRoute) + "/" + header, "", named).status, 404);
  }
  EXPECT_EQ(List("?space=other").size(), 0u);
  const Headers two = {{"X-Memory-Space", "one"}, {"X-Memory-Space-Id", "other"}};
  EXPECT_EQ(Send(Method::kGet, kRoute, "", two).status, 400);
  EXPECT_EQ(Send(Method::kGet, std::string(kRoute) + "?space=..").status, 400);
}

TEST_F(RecordRoutesTest, EachLineIsAcknowledgedInOrderWithItsLsn) {
  const Response response = Put(Line("b") + Line("a"));
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/x-ndjson");
  const size_t end = response.body.find('\n');
  const Json first = Json::parse(response.body.substr(0, end));
  const Json second = Json::parse(response.body.substr(end + 1));
  EXPECT_EQ(first["id"], "b");
  EXPECT_EQ(second["id"], "a");
  EXPECT_LT(first["lsn"].get<uint64_t>(), second["lsn"].get<uint64_t>());
}

TEST_F(RecordRoutesTest, ABadLineIsNamedAndNothingIsStored) {
  for (const char* bad : {"{}", "not JSON", "{\"id\":\"x\"}", "{\"id\":\"x\",\"nonsense\":1}"}) {
    const Answer answer = PostText(kRoute, Line("a") + bad);
    EXPECT_EQ(answer.status, 400) << bad;
    EXPECT_THAT(answer.message(), HasSubstr("line 2")) << bad;
  }
  EXPECT_EQ(Get(kRoute).status, 404) << "not even the space was made";
}

TEST_F(RecordRoutesTest, PagesFollowTheIdsAndHaveALimit) {
  std::string lines;
  for (int i = 0; i < 1005; ++i) lines += Line("m" + std::to_string(10000 + i));
  ASSERT_EQ(Put(lines).status, 200);
  EXPECT_EQ(List("?limit=100000").size(), 1000u);
  const auto page = List("?limit=3&after=m10001");
  ASSERT_EQ(page.size(), 3u);
  EXPECT_EQ(Json::parse(page[0])["id"], "m10002");
  EXPECT_EQ(List("?after=m11003").size(), 1u);
}

TEST_F(RecordRoutesTest, DeletesAnswerNullForWhatWasNotThere) {
  ASSERT_EQ(Put(Line("a b/\xc3\xa9")).status, 200);
  const std::string target = std::string(kRoute) + "/a%20b%2F%C3%A9?view=dual";
  EXPECT_EQ(Get(target).body["format"], "old");
  const Response response =
      Send(Method::kPost, std::string(kRoute) + "/delete", "\"a b/\xc3\xa9\"\n{\"id\":\"none\"}\n",
           {{"Content-Type", "application/json"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const size_t end = response.body.find('\n');
  EXPECT_TRUE(Json::parse(response.body.substr(0, end))["lsn"].is_number());
  EXPECT_TRUE(Json::parse(response.body.substr(end + 1))["lsn"].is_null());
  EXPECT_EQ(Get(target).status, 404);
}

TEST_F(RecordRoutesTest, WhileASpaceArrivesAnUnknownIdIsNotYetAndNothingIsDeleted) {
  ASSERT_EQ(Put(Line("here")).status, 200);
  Space()->arriving = true;
  const std::string both = "\"here\"\n\"later\"\n";
  const std::string later = std::string(kRoute) + "/later";
  const std::string deletes = std::string(kRoute) + "/delete";
  for (const Answer& answer : {Get(later), PostText(deletes, both)}) {
    EXPECT_EQ(answer.status, 503);
    EXPECT_THAT(answer.message(), HasSubstr("'later' is not here yet"));
    EXPECT_THAT(answer.headers, ::testing::Contains(::testing::Pair("Retry-After", "1")));
  }
  EXPECT_EQ(Get(std::string(kRoute) + "/here").status, 200);
  EXPECT_EQ(Send(Method::kPost, deletes, "\"here\"", kJson).status, 200);
  Space()->arriving = false;
  EXPECT_EQ(Get(later).status, 404);
  EXPECT_EQ(Send(Method::kPost, deletes, both, kJson).status, 200);
}

TEST_F(RecordRoutesTest, ReadsNeverMakeASpace) {
  for (const char* target :
       {"/api/v1/admin/memories?space=nobody", "/api/v1/admin/memories/x?space=nobody",
        "/api/v1/admin/space?space=nobody"}) {
    EXPECT_EQ(Get(target).status, 404) << target;
  }
  EXPECT_EQ(Post("/api/v1/admin/verify?space=nobody", Json::object(), kJson).status, 404);
  EXPECT_TRUE(spaces_->Names()->empty());
}

TEST_F(RecordRoutesTest, QueryParametersThatCannotBeReadAreRefused) {
  ASSERT_EQ(Put(Line("a")).status, 200);
  for (const char* query :
       {"limit=abc", "limit=-1", "limit=0", "limit=", "view=x", "exact=maybe", "embeddings=2"}) {
    const Answer refused = Get(std::string(kRoute) + "?" + query);
    EXPECT_EQ(refused.status, 400) << query;
    EXPECT_EQ(refused.body["error"]["code"], "BAD_REQUEST") << query;
  }
  EXPECT_EQ(Get(std::string(kRoute) + "/a?view=x").status, 400);
  EXPECT_EQ(Get(std::string(kRoute) + "/a?view=dual&exact=1&embeddings=true").status, 200);
}

TEST_F(RecordRoutesTest, StatisticsAndVerificationAgree) {
  ASSERT_EQ(Put(Line("a") + Line("b")).status, 200);
  const Json stats = Get("/api/v1/admin/space").body;
  EXPECT_EQ(stats["count"], 2);
  EXPECT_EQ(stats["old"], 2);
  const Answer verified = Post("/api/v1/admin/verify", {{"full", true}}, kJson);
  ASSERT_EQ(verified.status, 200) << verified.body;
  EXPECT_EQ(verified.body["ok"], true);
  EXPECT_EQ(verified.body["checked"], 2);
  EXPECT_EQ(Post("/api/v1/admin/verify", {{"source", "/etc"}}, kJson).status, 400);
}

}  // namespace
}  // namespace engram::server::testing
