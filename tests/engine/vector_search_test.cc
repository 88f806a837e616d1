#include "engine/vector_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "engine/internal/vector_kernel.h"
#include "engine/rows.h"

namespace engram::engine {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Embedding Filled(float v) {
  Embedding e;
  e.fill(v);
  return e;
}

Embedding Random(std::mt19937_64& rng, float scale = 1) {
  std::normal_distribution<float> normal;
  Embedding e;
  for (float& x : e) x = scale * normal(rng);
  return e;
}

// The definition, in double and one component after the other.
double Cosine(const Embedding& a, const Embedding& b) {
  double dot = 0, aa = 0, bb = 0;
  for (uint32_t i = 0; i < kEmbeddingDimension; ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  if (aa == 0 || bb == 0) return 0;
  return dot / (std::sqrt(aa) * std::sqrt(bb));
}

// Stored rows under their keys, and a cursor over a range of them.
class Table {
 public:
  void Put(uint64_t vector, uint64_t node, const Embedding& e) {
    std::string key = EncodeU64Key(vector);
    std::string value;
    EncodeEmbedding(AsBytes(key), NodeKey{node},
                    {reinterpret_cast<const uint8_t*>(e.data()), kEmbeddingSizeBytes}, &value);
    rows_[key] = value;
    vectors_[node] = e;
    last_ = std::max(last_, vector);
  }
  std::string& Row(uint64_t vector) { return rows_.at(EncodeU64Key(vector)); }

  Result<std::vector<SearchHit>> Search(const Embedding& query, uint32_t k, uint32_t threads = 1) {
    VectorSearchRequest request;
    request.keys = {VectorKey{1}, VectorKey{last_}};
    request.k = k;
    request.thread_count = threads;
    return SearchVectors(
        query, request, [this](const VectorRange& r) -> Result<std::unique_ptr<VectorRowCursor>> {
          if (open_error_ && r.first.value > last_ / 2) return Status::Io("planted");
          return std::unique_ptr<VectorRowCursor>(std::make_unique<Cursor>(rows_, r));
        });
  }
  void FailOpens() { open_error_ = true; }

  // All nodes with their score, best first by the rule of the header.
  std::vector<std::pair<uint64_t, double>> Oracle(const Embedding& query) const {
    std::vector<std::pair<uint64_t, double>> all;
    for (const auto& [node, e] : vectors_) all.push_back({node, Cosine(query, e)});
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      if (std::isnan(a.second) || std::isnan(b.second)) {
        return !std::isnan(a.second) && std::isnan(b.second);
      }
      return a.second > b.second;
    });
    return all;
  }

 private:
  class Cursor : public VectorRowCursor {
   public:
    Cursor(const std::map<std::string, std::string>& rows, const VectorRange& r)
        : at_(rows.lower_bound(EncodeU64Key(r.first.value))),
          end_(rows.upper_bound(EncodeU64Key(r.last.value))) {}
    Result<bool> Next(Bytes* key, Bytes* value) override {
      if (at_ == end_) return false;
      *key = AsBytes(at_->first);
      *value = AsBytes(at_->second);
      ++at_;
      return true;
    }

   private:
    std::map<std::string, std::string>::const_iterator at_, end_;
  };

  std::map<std::string, std::string> rows_;
  std::map<uint64_t, Embedding> vectors_;
  uint64_t last_ = 0;
  bool open_error_ = false;
};

// Scores agree with the oracle at every rank; nodes agree wherever the oracle separates them.
void ExpectMatchesOracle(Table& table, const Embedding& query, uint32_t k, uint32_t threads = 1) {
  auto hits = table.Search(query, k, threads);
  ASSERT_TRUE(hits.ok()) << hits.status().ToString();
  auto oracle = table.Oracle(query);
  ASSERT_EQ(hits->size(), std::min<uint64_t>(k, oracle.size()));
  for (uint64_t i = 0; i < hits->size(); ++i) {
    const SearchHit& hit = (*hits)[i];
    if (std::isnan(oracle[i].second)) {
      EXPECT_TRUE(std::isnan(hit.score)) << "rank " << i;
      continue;
    }
    EXPECT_NEAR(hit.score, oracle[i].second, 2e-6) << "rank " << i;
    auto found = std::find_if(oracle.begin(), oracle.end(),
                              [&](const auto& o) { return o.first == hit.node.value; });
    EXPECT_NEAR(found->second, oracle[i].second, 4e-6) << "rank " << i;
  }
}

TEST(VectorSearch, TopKEqualsTheOracleOverRandomVectors) {
  std::mt19937_64 rng(1);
  Table table;
  for (uint64_t i = 1; i <= 500; ++i) table.Put(i, 1000 - i, Random(rng));
  for (uint32_t k : {1u, 7u, 100u, 500u, 1000u}) ExpectMatchesOracle(table, Random(rng), k);
}

TEST(VectorSearch, EveryKernelComputesTheCosineAtAnyAlignment) {
  std::mt19937_64 rng(2);
  for (const internal::NamedKernel& kernel : internal::SupportedVectorKernels()) {
    for (int round = 0; round < 50; ++round) {
      Embedding query = Random(rng), row = Random(rng);
      std::vector<uint8_t> bytes(kEmbeddingSizeBytes + 64);
      uint8_t* at = bytes.data() + round;
      std::memcpy(at, row.data(), kEmbeddingSizeBytes);
      internal::CosineScorer scorer(query, kernel.run);
      EXPECT_NEAR(scorer.Score(at), Cosine(query, row), 2e-6) << kernel.name;
    }
  }
}

TEST(VectorSearch, EveryComponentCounts) {
  for (const internal::NamedKernel& kernel : internal::SupportedVectorKernels()) {
    for (uint32_t i = 0; i < kEmbeddingDimension; ++i) {
      Embedding e = Filled(0);
      e[i] = 2;
      internal::CosineScorer scorer(e, kernel.run);
      EXPECT_FLOAT_EQ(scorer.Score(reinterpret_cast<const uint8_t*>(e.data())), 1)
          << kernel.name << " component " << i;
    }
  }
}

TEST(VectorSearch, ScoresFromDenormalToHugeVectorsNeitherUnderflowNorOverflow) {
  std::mt19937_64 rng(3);
  for (const internal::NamedKernel& kernel : internal::SupportedVectorKernels()) {
    for (float query_scale : {1e-42f, 1e-30f, 1e-18f, 1e-13f, 1.0f, 1e17f, 1e25f, 1e37f}) {
      for (float row_scale : {1e-42f, 1e-30f, 1e-18f, 1e-13f, 1.0f, 1e17f, 1e25f, 1e37f}) {
        Embedding query = Random(rng, query_scale), row = Random(rng, row_scale);
        for (int i = 0; i < 200; ++i) row[i] = query[i] / query_scale * row_scale;
        internal::CosineScorer scorer(query, kernel.run);
        EXPECT_NEAR(scorer.Score(reinterpret_cast<const uint8_t*>(row.data())), Cosine(query, row),
                    2e-6)
            << kernel.name << " " << query_scale << " " << row_scale;
      }
    }
  }
}

TEST(VectorSearch, ZeroNormScoresZeroWhateverTheOtherSideIs) {
  Table table;
  table.Put(1, 1, Filled(0));
  table.Put(2, 2, Filled(-0.0f));
  table.Put(3, 3, Filled(-1));
  for (float q : {1.0f, -0.0f, 0.0f}) {
    auto hits = table.Search(Filled(q), 3);
    ASSERT_TRUE(hits.ok());
    EXPECT_EQ((*hits)[0].node.value, 1u);
    EXPECT_EQ((*hits)[0].score, 0);
    EXPECT_EQ((*hits)[1].node.value, 2u);
    EXPECT_EQ((*hits)[1].score, 0);
    EXPECT_EQ((*hits)[2].score, q == 1 ? -1 : 0);
  }
  Table nan_table;
  nan_table.Put(1, 1, Filled(kNan));
  auto hits = nan_table.Search(Filled(0), 1);
  ASSERT_TRUE(hits.ok());
  EXPECT_EQ((*hits)[0].score, 0);
}

TEST(VectorSearch, NanRanksBelowEveryNumberAndTiesGoByNodeKey) {
  Table table;
  Embedding one_nan = Filled(1);
  one_nan[767] = kNan;
  Embedding one_inf = Filled(1);
  one_inf[0] = kInf;
  table.Put(1, 9, one_nan);
  table.Put(2, 3, one_inf);
  table.Put(3, 8, Filled(-1));
  table.Put(4, 7, Filled(1));
  table.Put(5, 2, Filled(1));
  table.Put(6, 5, Filled(-kInf));
  auto hits = table.Search(Filled(1), 10);
  ASSERT_TRUE(hits.ok());
  std::vector<uint64_t> nodes;
  for (const SearchHit& h : *hits) nodes.push_back(h.node.value);
  EXPECT_EQ(nodes, (std::vector<uint64_t>{2, 7, 8, 3, 5, 9}));
  for (int i = 3; i < 6; ++i) EXPECT_TRUE(std::isnan((*hits)[i].score));
  auto best = table.Search(Filled(1), 3);
  ASSERT_TRUE(best.ok());
  EXPECT_EQ((*best)[2].node.value, 8u) << "a NaN must never push a number out of the top k";
}

TEST(VectorSearch, QueryWithNanOrInfinityMakesEveryScoreNan) {
  Table table;
  table.Put(1, 1, Filled(1));
  table.Put(2, 2, Filled(0));
  for (float bad : {kNan, kInf, -kInf}) {
    Embedding query = Filled(1);
    query[5] = bad;
    auto hits = table.Search(query, 2);
    ASSERT_TRUE(hits.ok());
    EXPECT_EQ((*hits)[0].node.value, 2u) << "zero norm is 0, and that ranks above NaN";
    EXPECT_TRUE(std::isnan((*hits)[1].score));
  }
}

TEST(VectorSearch, SeveralThreadsGiveWhatOneGives) {
  std::mt19937_64 rng(4);
  Table table;
  for (uint64_t i = 1; i <= 300; ++i) table.Put(i * 100, i, Random(rng));  // sparse keys
  Embedding query = Random(rng);
  auto one = table.Search(query, 20, 1);
  auto four = table.Search(query, 20, 4);
  ASSERT_TRUE(one.ok() && four.ok());
  ASSERT_EQ(one->size(), four->size());
  for (uint64_t i = 0; i < one->size(); ++i) {
    EXPECT_EQ((*one)[i].node, (*four)[i].node);
    EXPECT_EQ((*one)[i].score, (*four)[i].score);
  }
}

TEST(VectorSearch, EmptyTableAndZeroKGiveNothing) {
  Table table;
  auto none = table.Search(Filled(1), 5);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
  table.Put(1, 1, Filled(1));
  auto zero = table.Search(Filled(1), 0);
  ASSERT_TRUE(zero.ok());
  EXPECT_TRUE(zero->empty());
}

TEST(VectorSearch, CorruptRowInTheResultIsReportedAndOneOutsideIsNot) {
  std::mt19937_64 rng(5);
  Table table;
  Embedding best = Random(rng);
  table.Put(1, 1, best);
  for (uint64_t i = 2; i <= 50; ++i) table.Put(i, i, Random(rng));
  table.Row(1).back() ^= 1;
  auto hits = table.Search(best, 5);
  ASSERT_FALSE(hits.ok());
  EXPECT_EQ(hits.status().code(), StatusCode::kCorruption);
  EXPECT_NE(hits.status().message().find("row 1"), std::string::npos) << hits.status().ToString();
  Embedding opposite = best;
  for (float& x : opposite) x = -x;
  EXPECT_TRUE(table.Search(opposite, 5).ok()) << "verification covers rows that are not returned";
}

TEST(VectorSearch, RowOfAnotherSizeIsCorruption) {
  Table table;
  table.Put(1, 1, Filled(1));
  table.Row(1).pop_back();
  auto hits = table.Search(Filled(1), 1);
  ASSERT_FALSE(hits.ok());
  EXPECT_EQ(hits.status().code(), StatusCode::kCorruption);
}

TEST(VectorSearch, CursorErrorOnAnyThreadFailsTheSearch) {
  Table table;
  for (uint64_t i = 1; i <= 20; ++i) table.Put(i * 1000, i, Filled(1));
  table.FailOpens();
  auto hits = table.Search(Filled(1), 1, 3);
  ASSERT_FALSE(hits.ok());
  EXPECT_EQ(hits.status().code(), StatusCode::kIo);
}

}  // namespace
}  // namespace engram::engine
