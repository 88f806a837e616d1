// What the environment promises beside its pages.
#include "engine/internal/lmdb.h"

#include <gtest/gtest.h>
#include <lmdb.h>

#include <set>
#include <string>

#include "tests/testing/random.h"
#include "tests/testing/temp_dir.h"

namespace engram::engine::lmdb {
namespace {

// A program that knows nothing of our way to compare must find every key: mdb_dump, a rescue tool.
TEST(Environment, KeysAreInTheOrderThatLmdbItselfGivesThem) {
  const testing::TempDir dir = testing::TempDir::InMemory();
  testing::Random random(1);
  std::set<std::string> keys;
  while (keys.size() < 20'000) {
    std::string key(random.Below(3) == 0 ? 1 + random.Below(20) : 8, '\0');
    // Few different bytes: keys that begin alike, and bytes above 0x7f.
    for (char& byte : key) byte = static_cast<char>(random.Below(4) * 85);
    keys.insert(key);
  }
  {
    auto environment = Environment::Open({.path = dir.path(), .map_size_bytes = 64u << 20});
    ASSERT_TRUE(environment.ok()) << environment.status().ToString();
    auto txn = std::move(*(*environment)->BeginWrite());
    std::vector<std::string> shuffled(keys.begin(), keys.end());
    for (size_t i = shuffled.size(); i > 1; --i)
      std::swap(shuffled[i - 1], shuffled[random.Below(i)]);
    for (const std::string& key : shuffled) {
      ASSERT_TRUE(txn->Put(Table::kMeta, AsBytes(key), AsBytes(key)).ok());
    }
    ASSERT_TRUE(txn->Commit().ok());
  }
  MDB_env* env = nullptr;
  ASSERT_EQ(mdb_env_create(&env), 0);
  ASSERT_EQ(mdb_env_set_maxdbs(env, 20), 0);
  ASSERT_EQ(mdb_env_open(env, dir.path().c_str(), MDB_RDONLY, 0600), 0);
  MDB_txn* txn = nullptr;
  ASSERT_EQ(mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn), 0);
  MDB_dbi table = 0;
  ASSERT_EQ(mdb_dbi_open(txn, "meta", 0, &table), 0);
  MDB_cursor* cursor = nullptr;
  ASSERT_EQ(mdb_cursor_open(txn, table, &cursor), 0);
  for (const std::string& key : keys) {
    MDB_val k, v;
    ASSERT_EQ(mdb_cursor_get(cursor, &k, &v, MDB_NEXT), 0);
    EXPECT_EQ(std::string_view(static_cast<const char*>(k.mv_data), k.mv_size), key);
    MDB_val wanted{key.size(), const_cast<char*>(key.data())};
    EXPECT_EQ(mdb_get(txn, table, &wanted, &v), 0);
  }
  mdb_cursor_close(cursor);
  mdb_txn_abort(txn);
  mdb_env_close(env);
}

}  // namespace
}  // namespace engram::engine::lmdb
