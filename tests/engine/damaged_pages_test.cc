// LMDB reads its file through a map: damage there must be an error of the store that has it, and
// neither a signal nor an abort of the process that serves others as well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "engine/internal/lmdb.h"
#include "tests/testing/random.h"
#include "tests/testing/temp_dir.h"

namespace engram::engine::lmdb {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kHeads = 400;
constexpr uint64_t kEmbeddings = 60;

class DamagedPagesTest : public ::testing::Test {
 protected:
  DamagedPagesTest() : dir_(testing::TempDir::InMemory()), file_(dir_.Join("data.mdb")) {}

  Result<std::unique_ptr<Environment>> Open(bool read_only) {
    return Environment::Open(
        {.path = dir_.path(), .map_size_bytes = 64u << 20, .read_only = read_only});
  }
  void Fill() {
    auto environment = Open(false);
    ASSERT_TRUE(environment.ok()) << environment.status().ToString();
    auto txn = std::move(*(*environment)->BeginWrite());
    for (uint64_t key = 1; key <= kHeads; ++key) {
      Put(*txn, Table::kHeads, key, 200);
      if (key <= kEmbeddings) Put(*txn, Table::kEmbeddings, key, 3072);
    }
    ASSERT_TRUE(txn->Commit().ok());
  }
  static void Put(WriteTxn& txn, Table table, uint64_t key, size_t size_bytes) {
    const std::string value(size_bytes, static_cast<char>('a' + key % 26));
    EXPECT_TRUE(txn.Put(table, AsBytes(EncodeU64Key(key)), AsBytes(value)).ok());
  }
  // Every row of both tables, one way and by key; the first error.
  static Status ReadAll(Environment& environment) {
    ENGRAM_ASSIGN_OR_RETURN(auto txn, environment.BeginRead());
    uint64_t sum = 0;
    for (const Table table : {Table::kHeads, Table::kEmbeddings}) {
      ENGRAM_ASSIGN_OR_RETURN(auto cursor, ReadCursor::Open(txn, table));
      Bytes key, value;
      ENGRAM_ASSIGN_OR_RETURN(bool more, cursor->Seek({}, &key, &value));
      // A damaged tree may lead in circles.
      for (uint64_t left = 100 * kHeads; more && left > 0; --left) {
        for (uint8_t byte : key) sum += byte;
        for (uint8_t byte : value) sum += byte;
        ENGRAM_ASSIGN_OR_RETURN(more, cursor->Next(&key, &value));
      }
      for (uint64_t number = 1; number <= kHeads; number += 7) {
        ENGRAM_ASSIGN_OR_RETURN(const auto row, txn.Get(table, AsBytes(EncodeU64Key(number))));
        if (row) sum += row->size();
      }
    }
    return sum > 0 ? Status::Ok() : Status::Corruption("no rows");
  }
  std::string Image() const {
    std::ifstream in(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const std::string& image) const {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << image;
  }

  testing::TempDir dir_;
  const std::string file_;
};

TEST_F(DamagedPagesTest, AFileThatWasCutIsRefusedAndStaysAsItIs) {
  Fill();
  const std::string whole = Image();
  for (uint64_t pages : {1, 2, 16, 60}) {
    for (uint64_t bytes : {uint64_t{0}, uint64_t{100}}) {
      const std::string cut = whole.substr(0, whole.size() - pages * kPageBytes + bytes);
      for (bool read_only : {true, false}) {
        Write(cut);
        const auto environment = Open(read_only);
        ASSERT_FALSE(environment.ok()) << pages;
        EXPECT_EQ(environment.status().code(), StatusCode::kCorruption);
        EXPECT_THAT(environment.status().message(), HasSubstr(file_ + " is cut off"));
        EXPECT_THAT(environment.status().message(), HasSubstr(std::to_string(whole.size())));
        EXPECT_EQ(Image(), cut);
      }
    }
  }
  Write(whole);
  EXPECT_TRUE(ReadAll(**Open(false)).ok());
}

// LMDB itself leaves the file so when its last page was given back in the transaction that took it.
TEST_F(DamagedPagesTest, AFileThatLacksFreePagesOnlyIsMadeWhole) {
  Fill();
  uint64_t used = 0;
  std::set<uint64_t> free_pages;
  {
    auto environment = std::move(*Open(false));
    for (int round = 0; round < 12; ++round) {
      auto txn = std::move(*environment->BeginWrite());
      for (uint64_t key = 1; round == 0 && key <= kEmbeddings; ++key) {
        ASSERT_TRUE(txn->Delete(Table::kEmbeddings, AsBytes(EncodeU64Key(key))).ok());
      }
      Put(*txn, Table::kHeads, 1, 200);
      ASSERT_TRUE(txn->Commit().ok());
    }
    used = *environment->UsedBytes();
    auto txn = std::move(*environment->BeginRead());
    MDB_cursor* cursor = nullptr;
    ASSERT_EQ(mdb_cursor_open(txn.get(), 0, &cursor), 0);
    MDB_val key, row;
    while (mdb_cursor_get(cursor, &key, &row, MDB_NEXT) == 0) {
      const auto* numbers = static_cast<const size_t*>(row.mv_data);
      free_pages.insert(numbers + 1, numbers + 1 + numbers[0]);
    }
    mdb_cursor_close(cursor);
  }
  uint64_t kept = used;
  while (free_pages.contains(kept / kPageBytes - 1)) kept -= kPageBytes;
  ASSERT_LT(kept, used) << "no free page at the end: the test needs another history";
  std::filesystem::resize_file(file_, kept);
  auto environment = Open(false);
  ASSERT_TRUE(environment.ok()) << environment.status().ToString();
  EXPECT_GE(std::filesystem::file_size(file_), used);
  EXPECT_TRUE(ReadAll(**environment).ok());
  environment->reset();
  std::filesystem::resize_file(file_, kept - kPageBytes);
  EXPECT_EQ(Open(false).status().code(), StatusCode::kCorruption) << "one page in use is missing";
}

TEST_F(DamagedPagesTest, AFlippedBitIsAnErrorAndNeitherSignalNorAbort) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer's own memcmp runs into the fault, and ends the process";
#endif
  constexpr uint64_t kHeaderBytes = 60;  // of the page and of its first nodes
  constexpr int kRounds = 4000;
  Fill();
  const std::string whole = Image();
  testing::Random random(7);
  uint64_t errors = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::string damaged = whole;
    const uint64_t page = 2 + random.Below(whole.size() / kPageBytes - 2);
    const uint64_t at = random.Below(random.OneIn(3) ? kPageBytes : kHeaderBytes);
    damaged[page * kPageBytes + at] ^= static_cast<char>(1 << random.Below(8));
    Write(damaged);
    auto environment = Open(random.OneIn(2));
    Status status = environment.ok() ? ReadAll(**environment) : environment.status();
    errors += status.ok() ? 0 : 1;
    if (!environment.ok()) continue;
    auto txn = (*environment)->BeginWrite();
    if (!txn.ok()) continue;  // read-only
    const std::string key = EncodeU64Key(1 + random.Below(kHeads));
    IgnoreError((*txn)->Put(Table::kHeads, AsBytes(key), AsBytes(key)), "it may well fail");
    IgnoreError((*txn)->Delete(Table::kEmbeddings, AsBytes(key)), "so may this");
  }
  EXPECT_GT(errors, 100u) << "the damage misses what is read";
}

}  // namespace
}  // namespace engram::engine::lmdb
