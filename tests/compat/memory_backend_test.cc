// The host contract, row by row: upstream's MemoryBackend and GraphBackend, column H, D for
// spreading, and the typed calls.
#include "compat/memory_backend.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "compat/conversion.h"
#include "tests/compat/backend_fixture.h"

namespace engram::compat::testing {
namespace {

using engram::testing::SameBits;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

INSTANTIATE_TEST_SUITE_P(Stores, BackendTest, ::testing::ValuesIn(AllStores()), KindName);

StatusCode CodeOf(const Status& status) { return status.code(); }
template <typename T>
StatusCode CodeOf(const Result<T>& result) {
  return result.status().code();
}

// --- store, retrieve, remove, contains, count, ids, clear ---

TEST_P(BackendTest, StoredMemoryIsRetrievedInEveryBit) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Acknowledged a = Put("m" + std::to_string(seed), seed);
    ExpectServed(backend(), a.memory.text.id, a);
  }
}

TEST_P(BackendTest, StoringAnIdAgainReplacesTheWholeMemory) {
  Put("m", 1);
  Acknowledged second = Put("m", 2);
  ExpectServed(backend(), "m", second);
  EXPECT_EQ(Must(backend().Count()), 1u);
}

TEST_P(BackendTest, HostileIdsAreKeptApart) {
  std::vector<std::string> ids = {"",
                                  std::string("\0", 1),
                                  std::string("a\0b", 3),
                                  "a",
                                  " a",
                                  std::string(441, 'x'),
                                  std::string(442, 'x'),
                                  std::string(440, 'x') + "y",
                                  std::string(4000, 'x'),
                                  "\xc3\xa9",
                                  "e\xcc\x81",
                                  "{\"id\": 1}"};
  Ledger ledger;
  for (uint64_t i = 0; i < ids.size(); ++i) ledger[ids[i]] = Put(ids[i], 100 + i);
  for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
  ExpectStoreEquals(bench_, ledger);
}

TEST_P(BackendTest, TextThatIsNotUtf8IsRefusedAndNamed) {
  Acknowledged a = MakeMemory("m", 1);
  a.memory.text.id = "\xff";
  EXPECT_EQ(CodeOf(backend().Put(a.memory, a.embedding)), StatusCode::kInvalidArgument);
  a = MakeMemory("m", 1);
  a.memory.text.content = "\xc0\x80";
  auto refused = backend().Put(a.memory, a.embedding);
  EXPECT_EQ(CodeOf(refused), StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.status().message(), ::testing::HasSubstr("content"));
  EXPECT_FALSE(refused.status().hint().empty());
  EXPECT_EQ(CodeOf(backend().AddEdge("a", "\xff", 1)), StatusCode::kInvalidArgument);
  EXPECT_EQ(Must(backend().Count()), 0u);
}

TEST_P(BackendTest, EmbeddingHashIsComputedHereWhateverTheCallerSays) {
  Acknowledged a = MakeMemory("m", 1);
  Memory lying = a.memory;
  lying.embedding_sha256.fill(0xee);
  Must(backend().Put(lying, a.embedding));
  ExpectServed(backend(), "m", a);
}

TEST_P(BackendTest, UnknownIdIsNoneAndNoError) {
  EXPECT_FALSE(Must(backend().Get("nobody", nullptr)).has_value());
  EXPECT_FALSE(Must(backend().Contains("nobody")));
}

TEST_P(BackendTest, RemoveOfUnknownIdIsNotFoundWithAHint) {
  auto removed = backend().Remove("nobody");
  EXPECT_EQ(CodeOf(removed), StatusCode::kNotFound);
  EXPECT_FALSE(removed.status().hint().empty());
}

TEST_P(BackendTest, RemovedMemoryIsGoneEverywhere) {
  Acknowledged a = Put("m");
  Must(backend().Remove("m"));
  EXPECT_FALSE(Must(backend().Contains("m")));
  EXPECT_FALSE(Must(backend().Get("m", nullptr)).has_value());
  EXPECT_EQ(Must(backend().Count()), 0u);
  EXPECT_THAT(Must(backend().Search(a.embedding, 5)), IsEmpty());
  EXPECT_EQ(CodeOf(backend().Remove("m")), StatusCode::kNotFound);
  ExpectStoreEquals(bench_, {});
}

TEST_P(BackendTest, ScanIsInOrderOfIdBytesFromAfterUpToLimit) {
  for (const char* id : {"b", "a", "", "c", "B"}) Put(id);
  Must(backend().AddEdge("a", "aa", 1));  // a key without a record is not listed
  auto ids = [&](const MemoryBackend::ScanOptions& options) {
    std::vector<std::string> seen;
    Must(backend().Scan(options, [&](const FullRecord& r, const Embedding* e) -> Result<bool> {
      EXPECT_EQ(e != nullptr, options.embeddings);
      seen.push_back(r.memory.text.id);
      return true;
    }));
    return seen;
  };
  EXPECT_THAT(ids({}), ElementsAre("", "B", "a", "b", "c"));
  EXPECT_THAT(ids({.after = "a"}), ElementsAre("b", "c"));
  EXPECT_THAT(ids({.after = "aa", .limit = 1}), ElementsAre("b"));
  EXPECT_THAT(ids({.after = "", .limit = 2, .embeddings = true}), ElementsAre("B", "a"));
  EXPECT_THAT(ids({.after = std::nullopt, .limit = 0}), IsEmpty());
  EXPECT_THAT(ids({.after = "c"}), IsEmpty());
}

TEST_P(BackendTest, ScanVisitorStopsAndItsErrorIsReturned) {
  for (const char* id : {"a", "b", "c"}) Put(id);
  int visited = 0;
  Must(backend().Scan(
      {}, [&](const FullRecord&, const Embedding*) -> Result<bool> { return ++visited < 2; }));
  EXPECT_EQ(visited, 2);
  Status failed = backend().Scan({}, [&](const FullRecord&, const Embedding*) -> Result<bool> {
    return Status::Cancelled("enough");
  });
  EXPECT_EQ(failed.code(), StatusCode::kCancelled);
}

TEST_P(BackendTest, ClearRemovesNodesEdgesAndBindings) {
  Put("a");
  Put("b");
  Must(backend().AddEdge("a", "b", 1));
  Must(backend().AddBinding("a", "b", 1, 1));
  Must(backend().Clear());
  EXPECT_EQ(Must(backend().Count()), 0u);
  EXPECT_THAT(Must(backend().Neighbours("a")), IsEmpty());
  Put("a");
  EXPECT_THAT(Must(backend().Neighbours("a")), IsEmpty());
  EXPECT_THAT(Must(backend().ConceptsOf("a")), IsEmpty());
  EXPECT_EQ(bench_.Counts().edges, 0u);
  EXPECT_EQ(bench_.Counts().bindings, 0u);
}

TEST_P(BackendTest, BatchPutReportsAnLsnForEachInOrder) {
  std::vector<Acknowledged> all;
  for (uint64_t i = 0; i < 100; ++i) all.push_back(MakeMemory("m" + std::to_string(i % 60), i));
  std::vector<MemoryBackend::PutItem> items;
  Ledger ledger;
  for (const Acknowledged& a : all) {
    items.push_back({&a.memory, &a.embedding});
    ledger[a.memory.text.id] = a;
  }
  std::vector<Lsn> lsns;
  Must(backend().PutBatch(items, &lsns));
  ASSERT_EQ(lsns.size(), items.size());
  for (uint64_t i = 1; i < lsns.size(); ++i) EXPECT_LT(lsns[i - 1], lsns[i]);
  ExpectStoreEquals(bench_, ledger);
}

TEST_P(BackendTest, BatchPutStopsAtTheFirstErrorAndReportsWhatIsDurable) {
  Acknowledged good = MakeMemory("good", 1), bad = MakeMemory("bad", 2);
  bad.memory.text.where = "\xff";
  std::vector<Lsn> lsns;
  Status status = backend().PutBatch({{&good.memory, &good.embedding},
                                      {&bad.memory, &bad.embedding},
                                      {&good.memory, &good.embedding}},
                                     &lsns);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  ASSERT_EQ(lsns.size(), 1u);
  EXPECT_EQ(Must(backend().Get("good", nullptr))->head.seq, lsns[0]);
  EXPECT_FALSE(Must(backend().Contains("bad")));
}

TEST_P(BackendTest, BatchRemoveGivesUnknownIdsNoLsnAndGoesOn) {
  Put("a");
  Put("b");
  std::vector<Lsn> lsns;
  Must(backend().RemoveBatch({"a", "nobody", "b", "a"}, &lsns));
  ASSERT_EQ(lsns.size(), 4u);
  EXPECT_NE(lsns[0], Lsn{});
  EXPECT_EQ(lsns[1], Lsn{});
  EXPECT_NE(lsns[2], Lsn{});
  EXPECT_EQ(lsns[3], Lsn{}) << "the batch sees its own deletes";
  EXPECT_EQ(Must(backend().Count()), 0u);
}

TEST(BackendErrors, BatchThatFillsTheDiskReportsWhatIsDurable) {
  Bench bench(StoreKind::kFake);
  Acknowledged a = MakeMemory("a", 1), b = MakeMemory("b", 2);
  bench.fake().fail_stage_at_lsn = 2;
  std::vector<Lsn> lsns;
  Status status = bench.backend().PutBatch(
      {{&a.memory, &a.embedding}, {&b.memory, &b.embedding}, {&a.memory, &a.embedding}}, &lsns);
  EXPECT_EQ(status.code(), StatusCode::kFull);
  EXPECT_THAT(lsns, ElementsAre(Lsn{1}));
  ExpectServed(bench.backend(), "a", a);
}

TEST(BackendErrors, AnswerThatRestsOnAnUndurableWriteWaitsForIt) {
  Bench bench(StoreKind::kFake);
  Acknowledged a = MakeMemory("a", 1);
  Must(bench.backend().Put(a.memory, a.embedding));
  auto stage_delete = [&] {  // another client's delete, not flushed yet
    auto txn = Must(bench.store().Begin());
    Must(txn->RemoveRecord(*Must(txn->view().FindId("a")), "a"));
    Must(txn->Stage());
  };
  stage_delete();
  EXPECT_TRUE(Must(bench.backend().Contains("a")));
  EXPECT_EQ(CodeOf(bench.backend().Remove("a")), StatusCode::kNotFound);
  EXPECT_FALSE(Must(bench.backend().Contains("a"))) << "said to be gone, so it must be";
}

// --- search ---

TEST_P(BackendTest, SearchRanksByCosineBestFirst) {
  Embedding axis[3] = {};
  for (int i = 0; i < 3; ++i) axis[i][i] = 1;
  Embedding between = axis[0];
  between[1] = 0.5f;
  for (auto [id, e] :
       {std::pair("x", &axis[0]), {"y", &axis[1]}, {"z", &axis[2]}, {"xy", &between}}) {
    Acknowledged a = MakeMemory(id, 1);
    Must(backend().Put(a.memory, *e));
  }
  auto hits = Must(backend().Search(axis[0], 3));
  ASSERT_EQ(hits.size(), 3u);
  EXPECT_EQ(hits[0].id, "x");
  EXPECT_FLOAT_EQ(hits[0].score, 1);
  EXPECT_EQ(hits[1].id, "xy");
  EXPECT_EQ(hits[2].score, 0);
  EXPECT_EQ(Must(backend().Search(axis[0], 100)).size(), 4u);
  EXPECT_THAT(Must(backend().Search(axis[0], 0)), IsEmpty());
}

TEST_P(BackendTest, SearchFindsOnlyTheCurrentVectorOfARewrittenMemory) {
  Embedding x = {}, y = {};
  x[0] = 1;
  y[1] = 1;
  Acknowledged a = MakeMemory("m", 1);
  Must(backend().Put(a.memory, x));
  Must(backend().Put(a.memory, y));
  auto hits = Must(backend().Search(x, 5));
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].score, 0);
}

// --- activation ---

TEST_P(BackendTest, UpdateActivationIsClampedVisibleAndChangesNothingElse) {
  Acknowledged a = Put("m");
  for (auto [given, kept] : {std::pair(0.25f, 0.25f),
                             {-1.0f, 0.0f},
                             {7.0f, 1.0f},
                             {kInf, 1.0f},
                             {-kInf, 0.0f},
                             {0.95f, 0.95f}}) {
    Must(backend().UpdateActivation("m", given));
    a.memory.activation = kept;
    ExpectServed(backend(), "m", a);
  }
  Must(backend().UpdateActivation("m", kNan));
  EXPECT_TRUE(std::isnan(Activation("m")));
  EXPECT_EQ(Must(backend().Get("m", nullptr))->head.tier, engine::Tier::kCold);
  Must(backend().UpdateActivation("m", -0.0f));
  EXPECT_TRUE(std::signbit(Activation("m")));
  ExpectDigestsRecompute(bench_);
}

TEST_P(BackendTest, UpdateActivationOfUnknownIdIsNotFound) {
  EXPECT_EQ(CodeOf(backend().UpdateActivation("nobody", 1)), StatusCode::kNotFound);
  Must(backend().AddEdge("a", "b", 1));
  EXPECT_EQ(CodeOf(backend().UpdateActivation("b", 1)), StatusCode::kNotFound);
}

TEST_P(BackendTest, UnchangedEmbeddingKeepsItsRowAndAChangedOneGetsANewRow) {
  Acknowledged a = Put("m", 1);
  VectorKey first = Must(backend().Get("m", nullptr))->head.vector_key;
  Acknowledged other = MakeMemory("m", 2);
  Must(backend().Put(other.memory, a.embedding));
  EXPECT_EQ(Must(backend().Get("m", nullptr))->head.vector_key, first);
  Must(backend().UpdateActivation("m", 0.5f));
  EXPECT_EQ(Must(backend().Get("m", nullptr))->head.vector_key, first);
  Must(backend().Put(other.memory, other.embedding));
  EXPECT_NE(Must(backend().Get("m", nullptr))->head.vector_key, first);
}

// --- edges ---

std::vector<std::pair<std::string, float>> Pairs(const std::vector<MemoryBackend::Edge>& edges) {
  std::vector<std::pair<std::string, float>> pairs;
  for (const auto& e : edges) pairs.push_back({e.id, e.weight});
  return pairs;
}
using P = std::pair<std::string, float>;

TEST_P(BackendTest, EdgesAreDirectedParallelAndInInsertionOrderWithoutExistenceCheck) {
  Must(backend().AddEdge("a", "b", 0.5f));
  Must(backend().AddEdge("a", "c", -3));
  Must(backend().AddEdge("a", "b", 0.25f));
  Must(backend().AddEdge("a", "a", kInf));
  EXPECT_THAT(Pairs(Must(backend().Neighbours("a"))),
              ElementsAre(P("b", 0.5f), P("c", -3), P("b", 0.25f), P("a", kInf)));
  EXPECT_THAT(Must(backend().Neighbours("b")), IsEmpty());
  EXPECT_THAT(Must(backend().Neighbours("nobody")), IsEmpty());
  EXPECT_EQ(Must(backend().EdgeWeight("a", "b")), 0.5f) << "the first parallel edge's";
  EXPECT_EQ(Must(backend().EdgeWeight("b", "a")), std::nullopt);
  EXPECT_EQ(Must(backend().EdgeWeight("nobody", "a")), std::nullopt);
  EXPECT_EQ(Must(backend().Count()), 0u);
}

TEST_P(BackendTest, RemoveEdgeRemovesAllParallelOnes) {
  for (float w : {1.0f, 2.0f}) Must(backend().AddEdge("a", "b", w));
  Must(backend().AddEdge("a", "c", 3));
  EXPECT_TRUE(Must(backend().RemoveEdge("a", "b")));
  EXPECT_FALSE(Must(backend().RemoveEdge("a", "b")));
  EXPECT_FALSE(Must(backend().RemoveEdge("c", "a")));
  EXPECT_FALSE(Must(backend().RemoveEdge("nobody", "a")));
  EXPECT_THAT(Pairs(Must(backend().Neighbours("a"))), ElementsAre(P("c", 3)));
  ExpectEdgeDigestsRecompute(bench_);
}

TEST_P(BackendTest, AllEdgesListsEveryEdgeOnceAndStopsWhenAsked) {
  Must(backend().AddEdge("a", "b", 1));
  Must(backend().AddEdge("b", "a", 2));
  Must(backend().AddEdge("a", "b", 3));
  std::multimap<std::string, P> all;
  auto collect = [&](std::string_view f, std::string_view t, float w) -> Result<bool> {
    all.emplace(f, P(t, w));
    return true;
  };
  Must(backend().AllEdges(collect));
  EXPECT_THAT(all, ElementsAre(std::pair("a", P("b", 1)), std::pair("a", P("b", 3)),
                               std::pair("b", P("a", 2))));
  int seen = 0;
  Must(backend().AllEdges([&](auto, auto, float) -> Result<bool> { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
}

TEST_P(BackendTest, RemovingANodeDropsItsEdgesBothWaysAndItsBindings) {
  for (const char* id : {"a", "b", "c"}) Put(id);
  Must(backend().AddEdge("a", "b", 1));
  Must(backend().AddEdge("b", "c", 1));
  Must(backend().AddEdge("a", "c", 1));
  Must(backend().AddBinding("a", "b", 1, 1));
  Must(backend().AddBinding("b", "c", 1, 1));
  Must(backend().AddBinding("a", "c", 1, 1));
  Must(backend().Remove("b"));
  EXPECT_THAT(Pairs(Must(backend().Neighbours("a"))), ElementsAre(P("c", 1)));
  EXPECT_THAT(Must(backend().Neighbours("b")), IsEmpty());
  EXPECT_EQ(Must(backend().ConceptsOf("a")).size(), 1u);
  EXPECT_EQ(Must(backend().EpisodesOf("c")).size(), 1u);
  Put("b", 2);
  EXPECT_THAT(Must(backend().ConceptsOf("b")), IsEmpty());
  ExpectEdgeDigestsRecompute(bench_);
}

TEST_P(BackendTest, RemovingAnIdWithoutARecordLeavesItsEdges) {
  Must(backend().AddEdge("a", "b", 1));
  EXPECT_EQ(CodeOf(backend().Remove("b")), StatusCode::kNotFound);
  EXPECT_EQ(Must(backend().Neighbours("a")).size(), 1u);
}

TEST_P(BackendTest, BreadthFirstVisitsByDepthThenInsertionOrderStartAndLastDepthIncluded) {
  for (auto [f, t] : {std::pair("s", "b"),
                      {"s", "a"},
                      {"a", "d"},
                      {"b", "c"},
                      {"b", "a"},
                      {"c", "s"},
                      {"c", "e"},
                      {"s", "s"}}) {
    Must(backend().AddEdge(f, t, 1));
  }
  EXPECT_THAT(Must(backend().TraverseBreadthFirst("s", 0)), ElementsAre("s"));
  EXPECT_THAT(Must(backend().TraverseBreadthFirst("s", 1)), ElementsAre("s", "b", "a"));
  EXPECT_THAT(Must(backend().TraverseBreadthFirst("s", 2)), ElementsAre("s", "b", "a", "c", "d"));
  EXPECT_THAT(Must(backend().TraverseBreadthFirst("s", 99)),
              ElementsAre("s", "b", "a", "c", "d", "e"));
  EXPECT_THAT(Must(backend().TraverseBreadthFirst("nobody", 3)), ElementsAre("nobody"));
}

// --- spreading ---

TEST_P(BackendTest, SpreadingAddsSourceTimesWeightTimesDecayToEachTargetUpToOne) {
  for (const char* id : {"s", "a", "b", "c"}) Put(id);
  Must(backend().UpdateActivation("s", 0.5f));
  for (const char* id : {"a", "b", "c"}) Must(backend().UpdateActivation(id, 0.25f));
  Must(backend().AddEdge("s", "a", 0.5f));
  Must(backend().AddEdge("s", "a", 0.25f));  // parallel edges add up
  Must(backend().AddEdge("s", "b", 100));
  Must(backend().AddEdge("s", "c", -8));  // no lower bound
  Must(backend().AddEdge("s", "s", 1));
  Must(backend().AddEdge("s", "unknown", 1));
  Must(backend().AddEdge("a", "c", 1));  // one hop only
  Must(backend().SpreadActivation("s", 0.5f));
  EXPECT_EQ(Activation("a"), 0.25f + 0.125f + 0.0625f);
  EXPECT_EQ(Activation("b"), 1);
  EXPECT_EQ(Activation("c"), 0.25f - 2);
  EXPECT_EQ(Activation("s"), 0.75f);
  EXPECT_FALSE(Must(backend().Contains("unknown")));
  ExpectDigestsRecompute(bench_);
}

TEST_P(BackendTest, SpreadingFromAnIdWithoutARecordCountsItAsOneHalf) {
  Put("a");
  Must(backend().UpdateActivation("a", 0.25f));
  Must(backend().AddEdge("ghost", "a", 0.5f));
  Must(backend().SpreadActivation("ghost", 1));
  EXPECT_EQ(Activation("a"), 0.5f);
  Must(backend().SpreadActivation("nobody", 1));
}

TEST_P(BackendTest, SpreadingTurnsNanIntoOneAsUpstreamDoes) {
  for (const char* id : {"s", "a"}) Put(id);
  Must(backend().UpdateActivation("s", 0.5f));
  Must(backend().AddEdge("s", "a", kNan));
  Must(backend().SpreadActivation("s", 1));
  EXPECT_EQ(Activation("a"), 1);
}

// --- typed nodes and bindings ---

TEST_P(BackendTest, TypedSettersSetExtensionFieldsAndLeaveTheMemoryAlone) {
  Acknowledged a = Put("m");
  Must(backend().SetStrength("m", 7.5f));
  Must(backend().SetConsolidationScore("m", 7.5f));
  a.extension.strength = 7.5f;
  a.extension.consolidation_score = 1.0f;
  ExpectServed(backend(), "m", a);
  Must(backend().SetConsolidationScore("m", kNan));
  EXPECT_TRUE(std::isnan(*Must(backend().Get("m", nullptr))->node.extension.consolidation_score));
  EXPECT_EQ(CodeOf(backend().SetStrength("nobody", 1)), StatusCode::kNotFound);
  ExpectDigestsRecompute(bench_);
}

engine::DualNode ConceptNode(const Acknowledged& a, uint64_t seed) {
  return ToDual(a.memory, Uuid{}, MakeConcept(seed));
}

TEST_P(BackendTest, ConceptIsStoredAndServedInBothViews) {
  Acknowledged a = MakeMemory("c", 1);
  a.extension = MakeConcept(5);
  Must(backend().PutNode(ConceptNode(a, 5), a.embedding));
  ExpectServed(backend(), "c", a);
  EXPECT_EQ(bench_.Counts().concepts, 1u);
  EXPECT_EQ(CodeOf(backend().SetStrength("c", 1)), StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(backend().SetConsolidationScore("c", 1)), StatusCode::kInvalidArgument);
}

TEST_P(BackendTest, MemoryWriteKeepsTypeDualOnlyFieldsBindingsAndEdges) {
  Acknowledged e = Put("e");
  Must(backend().SetStrength("e", 0.125f));
  Acknowledged c = MakeMemory("c", 1);
  Must(backend().PutNode(ConceptNode(c, 5), c.embedding));
  Must(backend().AddBinding("e", "c", 0.5f, 0.25f));
  Must(backend().AddEdge("e", "c", 1));
  Acknowledged e2 = Put("e", 7), c2 = Put("c", 8);
  e2.extension.strength = 0.125f;
  c2.extension = MakeConcept(5);
  ExpectServed(backend(), "e", e2);
  ExpectServed(backend(), "c", c2);
  EXPECT_EQ(Must(backend().ConceptsOf("e")).size(), 1u);
  EXPECT_EQ(Must(backend().Neighbours("e")).size(), 1u);
  EXPECT_EQ(Must(backend().Get("e", nullptr))->binding_count, 1u);
  EXPECT_EQ(Must(backend().Get("c", nullptr))->binding_count, 1u);
  ExpectDigestsRecompute(bench_);
}

TEST_P(BackendTest, TypedPutReplacesTheTypeToo) {
  Acknowledged a = MakeMemory("n", 1);
  Must(backend().PutNode(ConceptNode(a, 5), a.embedding));
  Must(backend().PutNode(ToDual(a.memory, Uuid{}, Extension{}), a.embedding));
  ExpectServed(backend(), "n", a);
  EXPECT_EQ(bench_.Counts().episodes, 1u);
  EXPECT_EQ(bench_.Counts().concepts, 0u);
  EXPECT_FALSE(bench_.Stored("n").has_extension);
}

TEST_P(BackendTest, NodeWithFieldsOfTheOtherTypeIsRefused) {
  Acknowledged a = MakeMemory("n", 1);
  engine::DualNode concept_node = ConceptNode(a, 5);
  concept_node.extension.strength = 1;
  EXPECT_EQ(CodeOf(backend().PutNode(concept_node, a.embedding)), StatusCode::kInvalidArgument);
  engine::DualNode episode = ToDual(a.memory, Uuid{}, Extension{});
  episode.extension.instance_count = 1;
  EXPECT_EQ(CodeOf(backend().PutNode(episode, a.embedding)), StatusCode::kInvalidArgument);
  episode.extension = {};
  episode.extension.type = static_cast<engine::NodeType>(9);
  EXPECT_EQ(CodeOf(backend().PutNode(episode, a.embedding)), StatusCode::kInvalidArgument);
  EXPECT_EQ(Must(backend().Count()), 0u);
}

TEST_P(BackendTest, BindingsAreClampedAppendedAndSeenFromBothSides) {
  Put("e");
  Put("c");
  Must(backend().AddBinding("e", "c", 7, -7));
  Must(backend().AddBinding("e", "c", 0.5f, kNan));
  auto concepts = Must(backend().ConceptsOf("e"));
  auto episodes = Must(backend().EpisodesOf("c"));
  ASSERT_EQ(concepts.size(), 2u);
  ASSERT_EQ(episodes.size(), 2u);
  EXPECT_EQ(concepts[0].id, "c");
  EXPECT_EQ(concepts[0].strength, 1);
  EXPECT_EQ(concepts[0].contribution, 0);
  EXPECT_EQ(episodes[1].id, "e");
  EXPECT_EQ(episodes[1].strength, 0.5f);
  EXPECT_TRUE(std::isnan(episodes[1].contribution));
  EXPECT_EQ(CodeOf(backend().AddBinding("e", "nobody", 1, 1)), StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(backend().AddBinding("nobody", "c", 1, 1)), StatusCode::kNotFound);
  EXPECT_THAT(Must(backend().ConceptsOf("nobody")), IsEmpty());
  EXPECT_THAT(Must(backend().EpisodesOf("nobody")), IsEmpty());
  ExpectEdgeDigestsRecompute(bench_);
}

TEST_P(BackendTest, SpreadingFromAnEpisodeRaisesItsConceptsAndLeavesTheBindings) {
  for (const char* id : {"e", "c"}) Put(id);
  Must(backend().UpdateActivation("e", 0.5f));
  Must(backend().UpdateActivation("c", 0.25f));
  Must(backend().AddBinding("e", "c", 0.5f, 0));
  Must(backend().AddBinding("e", "c", 0.25f, 0));
  Must(backend().SpreadThroughBindings("e", true, 0.5f));
  EXPECT_EQ(Activation("c"), 0.25f + 0.125f + 0.0625f);
  EXPECT_EQ(Must(backend().ConceptsOf("e"))[0].strength, 0.5f);
}

TEST_P(BackendTest, SpreadingFromAConceptStrengthensItsBindingsFirst) {
  for (const char* id : {"e", "f", "c"}) Put(id);
  Must(backend().UpdateActivation("c", 0.5f));
  for (const char* id : {"e", "f"}) Must(backend().UpdateActivation(id, 0.25f));
  Must(backend().AddBinding("e", "c", 0.5f, 0));
  Must(backend().AddBinding("f", "c", 0.9f, 0));
  Must(backend().SpreadThroughBindings("c", false, 0.5f));  // delta 0.25
  EXPECT_EQ(Must(backend().ConceptsOf("e"))[0].strength, 0.75f);
  EXPECT_EQ(Must(backend().ConceptsOf("f"))[0].strength, 1);
  EXPECT_EQ(Activation("e"), 0.25f + 0.25f * 0.75f);
  EXPECT_EQ(Activation("f"), 0.5f);
  Must(backend().SpreadThroughBindings("nobody", false, 1));
  ExpectEdgeDigestsRecompute(bench_);
  ExpectDigestsRecompute(bench_);
}

TEST_P(BackendTest, IdThatIsAUuidNeverMeetsTheDerivedUuidOfAnother) {
  SpaceId space = Must(SpaceId::Parse("default"));
  Ledger ledger;
  for (uint64_t i = 0; i < 40; ++i) {
    std::string id = "m" + std::to_string(i);
    ledger[id] = Put(id, i);
    // The derived UUID of that id as an id of its own, and with version 4 instead of 8.
    std::string derived = engine::NodeUuid(space, id).ToString();
    ASSERT_EQ(derived[14], '8');
    ledger[derived] = Put(derived, 100 + i);
    derived[14] = '4';
    ledger[derived] = Put(derived, 200 + i);
  }
  auto view = Must(bench_.store().View());
  for (const auto& [id, a] : ledger) {
    auto key = Must(view->FindUuid(engine::NodeUuid(space, id)));
    ASSERT_TRUE(key.has_value());
    EXPECT_EQ(Must(view->IdOf(*key)), id);
  }
  view.reset();
  ExpectStoreEquals(bench_, ledger);
}

}  // namespace
}  // namespace engram::compat::testing
