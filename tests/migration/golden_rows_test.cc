// The rows and files of ingest and migration: every later version writes and reads these bytes.
// docs/format/ingest.md, docs/format/checkpoint.md, docs/format/store.md, docs/online-migration.md.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "migration/checkpoint.h"
#include "migration/coverage.h"
#include "migration/ingest_writer.h"
#include "migration/internal/salvage_rows.h"
#include "migration/job.h"
#include "migration/online/progress_row.h"
#include "migration/quarantine.h"
#include "migration/snapshot.h"
#include "migration/source_registry.h"
#include "migration/source_stamps.h"
#include "tests/migration/manual_clock.h"
#include "tests/migration/migration_fixture.h"
#include "tests/testing/golden.h"
#include "tests/testing/temp_dir.h"

namespace engram::migration {
namespace {

using testing::ExpectGolden;
using testing::ReadGolden;

template <size_t N>
std::array<uint8_t, N> Counting(uint8_t first) {
  std::array<uint8_t, N> out;
  for (size_t i = 0; i < N; ++i) out[i] = static_cast<uint8_t>(first + i);
  return out;
}

TEST(GoldenRows, AKnownSource) {
  const KnownSource source{2,
                           true,
                           "/var/lib/engram",
                           {{"default/wal/wal-1.log", 4096, Counting<32>(0x10)},
                            {"default/wal/wal-2.log", 0, Counting<32>(0x80)}}};
  ExpectGolden("row-source-1.bin", EncodeKnownSource(source));
  const auto read = DecodeKnownSource(2, ReadGolden("row-source-1.bin"));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->directory, source.directory);
  EXPECT_EQ(read->extents, source.extents);
  EXPECT_TRUE(read->complete);
}

TEST(GoldenRows, Stamps) {
  ExpectGolden("row-source-stamps-1.bin", EncodeStamps({{"wal/wal-1.log", 4096, 1, 2, 3, -4}}));
}

TEST(GoldenRows, Receipts) {
  CoverageLedger ledger;
  ASSERT_TRUE(ledger.Add({1, 4096}).ok());
  ASSERT_TRUE(ledger.Add({8193, 9000}).ok());
  ExpectGolden("row-receipts.bin", ledger.Encode());
  const auto read = CoverageLedger::Decode(AsBytes(ReadGolden("row-receipts.bin")));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->ranges(), ledger.ranges());
}

TEST(GoldenRows, AQuarantinedSourceRecord) {
  const std::string key = QuarantineKey(3, "default/wal/wal-1.log", 0x1234);
  std::string row;
  QuarantinedRecord record;
  record.ref.offset = 0x1234;
  record.reason = "not decodable";
  EncodeQuarantineRow(AsBytes(key), "default/wal/wal-1.log", record, AsBytes("raw bytes"), &row);
  ExpectGolden("row-quarantine-source.bin", key + row);
}

// Rows that only a store writes.
class GoldenRowsOfAStore : public MigrationTest {};

TEST_F(GoldenRowsOfAStore, TheReceiptOfAnIngest) {
  MigrateOptions options;
  options.source = ENGRAM_SOURCE_DIR "/tests/fixtures/plain/data";
  MigrateOnce(options);
  auto store = Open(engine::Access::kReadOnly);
  ASSERT_NE(store, nullptr);
  const auto row = (*store->View())->Meta("source.1.receipt");
  ASSERT_TRUE(row.ok() && row->has_value());
  ExpectGolden("row-source-receipt-1.bin", **row);
}

TEST_F(GoldenRowsOfAStore, ARecordKeptBackFromTheConversion) {
  PutOld(1);
  auto store = Open();
  ASSERT_NE(store, nullptr);
  const std::string head = ReadGolden("row-old-head.bin");
  const std::string head_key = engine::EncodeU64Key(42);
  const std::string key = "convert|" + head_key;
  auto txn = store->BeginBulk();
  ASSERT_TRUE(txn.ok());
  ExpectOk((*txn)->PutRow(engine::Table::kOldHeads, AsBytes(head_key), AsBytes(head)));
  const auto kept = QuarantineRecord(**txn, {NodeKey{42}, "the digest changes", head});
  ASSERT_TRUE(kept.ok() && *kept);
  const auto row = (*txn)->GetRow(engine::Table::kQuarantine, AsBytes(key));
  ASSERT_TRUE(row.ok() && row->has_value());
  ExpectGolden("row-quarantine-convert.bin", key + **row);
  const std::string golden = ReadGolden("row-quarantine-convert.bin").substr(key.size());
  ExpectOk((*txn)->PutRow(engine::Table::kQuarantine, AsBytes(key), AsBytes(golden)));
  ExpectOk((*txn)->Commit({.sync = false}));
  const auto read = QuarantinedRecords(**store->View());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_THAT(*read, ::testing::ElementsAre(::testing::Pair(42u, head)));
}

TEST_F(GoldenRowsOfAStore, TheDescriptionOfASnapshot) {
  testing::ManualClock clock;
  JobContext context{.environment = {.clock = clock},
                     .data_root = context_.data_root,
                     .log = context_.log,
                     .map_size_bytes = context_.map_size_bytes,
                     .progress = {}};
  std::filesystem::create_directories(context_.data_root + "/default");
  std::filesystem::copy(testing::GoldenPath("store-v1"), DualDirectory(context, "default"),
                        std::filesystem::copy_options::recursive);
  auto store = Open();
  ASSERT_NE(store, nullptr);
  const auto taken = TakeSnapshot(context, *store, "migration-1");
  ASSERT_TRUE(taken.ok()) << taken.status().ToString();
  const std::string path = taken->path + "/snapshot.json";
  std::ifstream in(path, std::ios::binary);
  ExpectGolden("snapshot-1.json", {std::istreambuf_iterator<char>(in), {}});
  std::ofstream(path, std::ios::binary) << ReadGolden("snapshot-1.json");
  const auto read = NewestSnapshot(context, "default");
  ASSERT_TRUE(read.ok() && read->has_value()) << read.status().ToString();
  EXPECT_EQ((*read)->ToJson(), taken->ToJson());
  EXPECT_EQ((*read)->store_uuid, store->Info().store_uuid);
  for (const char* damaged :
       {"", "[]", "{\"version\": \"x\"}", "{\"version\": 1, \"lsn\": -1.5}", "{\"version\": 1e300}",
        "{\"version\": 1, \"name\": 7}", "{\"version\": 1}"}) {
    std::ofstream(path, std::ios::binary) << damaged;
    const auto refused = NewestSnapshot(context, "default").status();
    EXPECT_EQ(refused.code(), StatusCode::kCorruption) << damaged;
    EXPECT_NE(refused.message().find("snapshot.json"), std::string::npos) << refused.message();
  }
}

TEST(GoldenRows, ARowThatSalvageTookOut) {
  const std::string long_key(490, 'k');
  for (const auto& [file, key] :
       {std::pair<const char*, std::string>{"row-quarantine-salvage.bin", "memory-1"},
        {"row-quarantine-salvage-long-key.bin", long_key}}) {
    internal::SalvagePlan plan;
    internal::SalvageRows(&plan).SetAside(engine::Table::kIds, AsBytes(key), AsBytes("raw bytes"));
    std::string kept;
    for (const auto& [at, row] : plan.rows) {
      if (at.first == engine::Table::kQuarantine) kept = at.second + row.value();
    }
    ExpectGolden(file, kept);
  }
}

TEST(GoldenRows, AJob) {
  Job job;
  job.id.bytes = Counting<16>(0x20);
  job.state = JobState::kBackfill;
  job.max_key = 9000;
  job.counters = {8000, 7000, 900, 1};
  job.start.lsn = 17;
  job.start.space = Counting<32>(0x30);
  job.start.tiers[0] = {5, Counting<32>(0x40)};
  ExpectGolden("row-job-1.json", job.EncodeRow());
  const auto read = Job::DecodeRow(ReadGolden("row-job-1.json"));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->EncodeRow(), job.EncodeRow());
}

TEST(GoldenRows, ProgressOfAnOnlineMigration) {
  online::Progress progress;
  progress.position.segment = 3;
  progress.position.offset_bytes = 81920;
  progress.position.next = {77};
  progress.max_key = 9000;
  progress.seq_min = {5};
  progress.converted = 1234;
  progress.quarantined = 2;
  progress.verified = {70};
  progress.whole_history = true;
  ExpectGolden("row-online-1.bin", progress.EncodeRow());
  const auto read = online::Progress::DecodeRow(ReadGolden("row-online-1.bin"));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->EncodeRow(), progress.EncodeRow());
  EXPECT_EQ(read->converted, 1234u);
}

TEST(GoldenRows, AnAuditLog) {
  testing::TempDir dir;
  testing::ManualClock clock;
  const std::string path = dir.Join("audit.log");
  auto log = AuditLog::Open(FileSystem::Posix(), clock, path);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  ASSERT_TRUE((*log)->Append("start", {{"space", "default"}, {"lsn", 7}}).ok());
  ASSERT_TRUE((*log)->Append("finish", {{"text", "caf\u00e9 \"x\"\n"}}).ok());
  log->reset();
  std::ifstream in(path, std::ios::binary);
  const std::string written{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  ExpectGolden("audit-1.log", written);
  std::ofstream(path, std::ios::binary) << ReadGolden("audit-1.log");
  const auto chain = VerifyAuditLog(FileSystem::Posix(), path);
  ASSERT_TRUE(chain.ok()) << chain.status().ToString();
  EXPECT_EQ(chain->lines, 2u);
}

}  // namespace
}  // namespace engram::migration
