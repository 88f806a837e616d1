// The memtable against a sorted map of versions, and readers beside its writer.
#include "engine/internal/overlay.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

namespace engram::engine {
namespace {

struct Change {
  Table table;
  std::string key;
  std::string value;
  bool is_delete = false;
};

void Insert(Memtable* memtable, uint64_t lsn, const std::vector<Change>& changes) {
  ChangeSetBuilder builder;
  for (const Change& change : changes) {
    if (change.is_delete) {
      builder.Delete(change.table, AsBytes(change.key));
    } else {
      builder.Put(change.table, AsBytes(change.key), AsBytes(change.value));
    }
  }
  builder.counts().records = 1;
  ChangeSet decoded;
  std::string payload = builder.Finish(lsn + 1, lsn + 2, &decoded);
  memtable->Insert(Lsn{lsn}, std::move(payload), decoded);
}

// Every version of every row, by table, key and LSN.
class Model {
 public:
  void Add(uint64_t lsn, const Change& change) {
    rows_[static_cast<int>(change.table)][change.key][lsn] = change;
  }
  std::vector<Change> Collect(Table table, const std::string& first, const std::string& prefix,
                              uint64_t visible) const {
    std::vector<Change> found;
    const auto rows = rows_.find(static_cast<int>(table));
    if (rows == rows_.end()) return found;
    for (const auto& [key, versions] : rows->second) {
      auto above = versions.upper_bound(visible);
      if (key < first || !key.starts_with(prefix) || above == versions.begin()) continue;
      found.push_back(std::prev(above)->second);
    }
    return found;
  }

 private:
  std::map<int, std::map<std::string, std::map<uint64_t, Change>>> rows_;
};

std::string RandomKey(Table table, std::mt19937_64* random) {
  const auto below = [random](uint64_t n) { return (*random)() % n; };
  if (table == Table::kEdgesOut) {
    return EncodeU64Key(below(5)) + EncodeU64Key(below(20)) + EncodeU64Key(below(5));
  }
  if (table == Table::kHeads) return EncodeU64Key(below(400));
  return "i" + std::string(below(30), 'k') + std::to_string(below(50));
}

void ExpectSame(const std::vector<OverlayRow>& actual, const std::vector<Change>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(AsView(actual[i].key), expected[i].key);
    EXPECT_EQ(AsView(actual[i].value), expected[i].value);
    EXPECT_EQ(actual[i].is_delete, expected[i].is_delete);
  }
}

class MemtableModelTest : public ::testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, MemtableModelTest, ::testing::Range<uint64_t>(1, 21));

TEST_P(MemtableModelTest, EveryLsnReadsAndScansAsASortedMapOfVersions) {
  constexpr Table kTables[] = {Table::kHeads, Table::kIds, Table::kEdgesOut};
  std::mt19937_64 random(GetParam());
  Memtable memtable;
  Model model;
  const uint64_t last = 20 + random() % 300;
  for (uint64_t lsn = 1; lsn <= last; ++lsn) {
    std::vector<Change> changes(1 + random() % 5);
    for (Change& change : changes) {
      change.table = kTables[random() % 3];
      change.key = RandomKey(change.table, &random);
      change.is_delete = random() % 4 == 0;
      if (!change.is_delete) change.value = "value of " + std::to_string(random());
      model.Add(lsn, change);
    }
    Insert(&memtable, lsn, changes);
  }
  for (int i = 0; i < 300; ++i) {
    const uint64_t visible = random() % (last + 2);
    const Table table = kTables[random() % 3];
    const std::string key = RandomKey(table, &random);
    const auto newest = model.Collect(table, key, key, visible);
    const auto found = memtable.Find(table, AsBytes(key), Lsn{visible});
    const bool is_there = !newest.empty() && newest[0].key == key;
    ASSERT_EQ(found.has_value(), is_there) << "key " << ToHex(AsBytes(key)) << " at " << visible;
    if (found) ExpectSame({*found}, {newest[0]});
    const std::string prefix = key.substr(0, random() % (key.size() + 1));
    std::vector<OverlayRow> rows;
    const std::string first = random() % 2 == 0 ? prefix : key;
    memtable.Collect(table, AsBytes(first), AsBytes(prefix), Lsn{visible}, &rows);
    ExpectSame(rows, model.Collect(table, first, prefix, visible));
  }
}

TEST(MemtableTest, ChangesAreThoseBetweenTwoLsns) {
  Memtable memtable;
  for (uint64_t lsn = 10; lsn < 20; ++lsn) Insert(&memtable, lsn, {});
  std::vector<DigestChange> digests;
  CountDeltas counts;
  memtable.CollectChanges(Lsn{12}, Lsn{15}, &digests, &counts);
  EXPECT_EQ(counts.records, 3);
  EXPECT_EQ(memtable.last(), Lsn{19});
  EXPECT_EQ(memtable.next_node_key(), 20u);
  EXPECT_EQ(memtable.next_vector_key(), 21u);
}

// For the thread sanitizer as well: the index grows under the readers.
TEST(MemtableTest, AReaderFindsEveryRowUpToTheLsnItSaw) {
  constexpr uint64_t kLast = 20000;
  Memtable memtable;
  std::atomic<uint64_t> missing{0}, scans{0};
  const auto read = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    for (uint64_t visible = 0; visible < kLast;) {
      visible = memtable.last().value;
      if (visible == 0) continue;
      const uint64_t lsn = 1 + random() % visible;
      const auto found = memtable.Find(Table::kHeads, AsBytes(EncodeU64Key(lsn)), Lsn{visible});
      if (!found || AsView(found->value) != std::to_string(lsn)) ++missing;
      std::vector<OverlayRow> links;
      const std::string node = EncodeU64Key(lsn / 100);
      memtable.Collect(Table::kEdgesOut, AsBytes(node), AsBytes(node), Lsn{visible}, &links);
      const uint64_t node_begin = lsn / 100 * 100;
      const uint64_t node_end = std::min(node_begin + 99, visible);
      if (links.size() != node_end - std::max<uint64_t>(node_begin, 1) + 1) ++missing;
      ++scans;
    }
  };
  std::thread one(read, 1), two(read, 2);
  for (uint64_t lsn = 1; lsn <= kLast; ++lsn) {
    const std::string link = EncodeU64Key(lsn / 100) + EncodeU64Key(lsn) + EncodeU64Key(1);
    Insert(&memtable, lsn,
           {{Table::kHeads, EncodeU64Key(lsn), std::to_string(lsn)},
            {Table::kEdgesOut, link, "weight"}});
  }
  one.join();
  two.join();
  EXPECT_EQ(missing, 0u);
  EXPECT_GT(scans, 1u);
}

}  // namespace
}  // namespace engram::engine
