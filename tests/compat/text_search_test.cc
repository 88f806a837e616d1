#include "compat/text_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "tests/compat/backend_fixture.h"
#include "tests/testing/random.h"

namespace engram::compat::testing {
namespace {

// The rules as the boundary states them, one after the other and as slowly as it gets.
std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}
std::set<std::string> Words(const std::string& text) {
  std::istringstream in(text);
  std::set<std::string> words;
  for (std::string word; in >> word;) words.insert(word);
  return words;
}
float Naive(const std::string& id, const std::string& query, const std::string& content) {
  const std::string q = Lower(query), c = Lower(content);
  if (id == query || c.find(q) != std::string::npos) return 1.0f;
  if (!c.empty() && q.find(c) != std::string::npos) return 0.8f;
  const auto a = Words(q), b = Words(c);
  size_t common = 0;
  for (const std::string& word : a) common += b.count(word);
  const size_t all = a.size() + b.size() - common;
  return all == 0 ? 0.0f : static_cast<float>(common) / static_cast<float>(all);
}

std::string RandomText(engram::testing::Random& random, size_t words_max) {
  static const char* kWords[] = {"Ärger", "the", "The", "THE", "cat", "cats", "sat",      "on",
                                 "a",     "mat", "[x]", "{X}", "@",   "`",    "z\xC3\xA9"};
  static const char* kGaps[] = {" ", "  ", "\t", "\n", "\v", "\f", "\r\n"};
  std::string text;
  for (size_t n = random.Below(words_max + 1); n > 0; --n) {
    text += kWords[random.Below(std::size(kWords))];
    text += kGaps[random.Below(std::size(kGaps))];
  }
  if (!text.empty() && random.Below(2) == 0) text.pop_back();
  return text;
}

TEST(FoldedNeedle, FindsEveryPlaceInEveryLengthAndCase) {
  for (size_t size = 1; size <= 70; ++size) {
    for (size_t needle = 1; needle <= 5 && needle <= size; ++needle) {
      for (size_t at = 0; at + needle <= size; ++at) {
        std::string text(size, '.');
        for (size_t i = 0; i < needle; ++i) text[at + i] = i % 2 == 0 ? 'Q' : 'w';
        EXPECT_TRUE(FoldedNeedle(std::string("qWqWq").substr(0, needle)).IsIn(text)) << at;
        text[at] = '.';
        EXPECT_FALSE(FoldedNeedle(std::string("qWqWq").substr(0, needle)).IsIn(text));
      }
    }
  }
}

TEST(FoldedNeedle, TellsLettersFromBytesThatDifferInTheCaseBit) {
  EXPECT_FALSE(FoldedNeedle("{").IsIn("["));
  EXPECT_FALSE(FoldedNeedle("[").IsIn("{"));
  EXPECT_FALSE(FoldedNeedle("`").IsIn("@"));
  EXPECT_FALSE(FoldedNeedle("\xE4").IsIn("\xC4"));
  EXPECT_TRUE(FoldedNeedle("a[").IsIn("xA[y"));
}

TEST(TextScorer, ScoresAsTheRulesSay) {
  engram::testing::Random random(7);
  for (int i = 0; i < 20000; ++i) {
    const std::string query = RandomText(random, 5);
    const std::string content = RandomText(random, 12);
    const float expected = Naive("id", query, content);
    const TextScorer scorer(query, 0, 10);
    EXPECT_EQ(scorer.Score("id", content, 0), expected) << query << " / " << content;
    // A bound may give up on a record, but never on one that reaches it.
    const float least = static_cast<float>(random.Below(11)) / 10.0f;
    const float bounded = scorer.Score("id", content, least);
    if (expected >= least) {
      EXPECT_EQ(bounded, expected) << query << " / " << content << " least " << least;
    } else {
      EXPECT_LT(bounded, least);
    }
  }
}

class TextSearchTest : public BackendTest {
 protected:
  void PutText(const std::string& id, std::optional<std::string> content) {
    Acknowledged a = MakeMemory(id, ++seed_);
    a.memory.text.content = std::move(content);
    Must(backend().Put(a.memory, a.embedding));
  }
  uint64_t seed_ = 0;
};

TEST_P(TextSearchTest, FindsTheBestOfAllRecordsTiesByIdAndLeavesTheRestOut) {
  if (GetParam() == StoreKind::kFake) GTEST_SKIP() << "the fake has no text rows to scan";
  engram::testing::Random random(11);
  std::map<std::string, std::string> contents;
  for (int i = 0; i < 300; ++i) {
    const std::string id = "m" + std::to_string(random.Below(1000));
    if (random.Below(8) == 0) {
      PutText(id, std::nullopt);
      contents.erase(id);
    } else {
      contents[id] = RandomText(random, 12);
      PutText(id, contents[id]);
    }
  }
  const std::string deleted = contents.begin()->first;
  Must(backend().Remove(deleted));
  contents.erase(deleted);
  for (int i = 0; i < 60; ++i) {
    std::string query = RandomText(random, 4);
    if (i % 10 == 0) query = contents.rbegin()->first;
    const float threshold = static_cast<float>(random.Below(5)) / 4.0f;
    const auto k = static_cast<uint32_t>(1 + random.Below(20));
    std::vector<std::pair<float, std::string>> expected;
    for (const auto& [id, content] : contents) {
      const float score = Naive(id, query, content);
      if (score >= threshold) expected.push_back({-score, id});
    }
    std::sort(expected.begin(), expected.end());
    if (expected.size() > k) expected.resize(k);
    const auto found = Must(backend().SearchText(query, threshold, k));
    ASSERT_EQ(found.size(), expected.size()) << query;
    for (size_t n = 0; n < found.size(); ++n) {
      EXPECT_EQ(found[n].id, expected[n].second) << query;
      EXPECT_EQ(found[n].score, -expected[n].first) << query;
    }
    if (i == 30) bench_.Reopen();  // once more from LMDB alone
  }
  EXPECT_TRUE(Must(backend().SearchText("the", 0, 0)).empty());
}

INSTANTIATE_TEST_SUITE_P(Stores, TextSearchTest, ::testing::ValuesIn(AllStores()), KindName);

class ScanWindowTest : public BackendTest {};

TEST_P(ScanWindowTest, SkipTierAndLimitCutTheFullScan) {
  engram::testing::Random random(5);
  for (int i = 0; i < 120; ++i) {
    const std::string id = "m" + std::to_string(i);
    Put(id, static_cast<uint64_t>(i) + 1);
    const float kActivations[] = {0.1f, 0.5f, 0.9f};
    Must(backend().UpdateActivation(id, kActivations[random.Below(3)]));
  }
  Must(backend().AddEdge("m1", "nobody", 1));  // an id without a record counts nowhere
  using Row = std::pair<std::string, engine::Tier>;
  const auto scan = [&](const MemoryBackend::ScanOptions& options) {
    std::vector<Row> rows;
    Must(backend().Scan(options, [&](const FullRecord& record, const Embedding*) -> Result<bool> {
      rows.emplace_back(record.memory.text.id, record.head.tier);
      return true;
    }));
    return rows;
  };
  const std::vector<Row> all = scan({});
  ASSERT_EQ(all.size(), 120u);
  for (int tier = 0; tier <= 3; ++tier) {
    std::vector<Row> of_tier;
    for (const Row& row : all) {
      if (tier == 0 || row.second == static_cast<engine::Tier>(tier)) of_tier.push_back(row);
    }
    for (size_t skip : {size_t{0}, size_t{1}, size_t{17}, of_tier.size(), size_t{500}}) {
      for (size_t limit : {size_t{1}, size_t{10}, size_t{1000}}) {
        MemoryBackend::ScanOptions options;
        options.skip = skip;
        options.limit = limit;
        if (tier != 0) options.tier = static_cast<engine::Tier>(tier);
        const size_t first = std::min(skip, of_tier.size());
        const size_t last = std::min(first + limit, of_tier.size());
        EXPECT_EQ(scan(options), std::vector<Row>(of_tier.begin() + static_cast<long>(first),
                                                  of_tier.begin() + static_cast<long>(last)))
            << tier << " " << skip << " " << limit;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, ScanWindowTest, ::testing::ValuesIn(AllStores()), KindName);

}  // namespace
}  // namespace engram::compat::testing
