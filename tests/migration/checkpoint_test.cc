#include "migration/checkpoint.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "tests/migration/manual_clock.h"
#include "tests/testing/temp_dir.h"

namespace engram::migration {
namespace {

using ::testing::HasSubstr;
using testing::ManualClock;
using testing::TempDir;

template <size_t N>
std::array<uint8_t, N> Filled(uint8_t value) {
  std::array<uint8_t, N> out;
  out.fill(value);
  return out;
}

Checkpoint Sample() {
  Checkpoint c;
  c.store_uuid.bytes = Filled<16>(0x11);
  c.job_id.bytes = Filled<16>(0x22);
  c.space = "default";
  c.state = JobState::kBackfill;
  c.config = {1000, 10000, 512, 5000, 2};
  c.source_path = "/data/upstream";
  c.source = {{"default/wal/wal-1.log", 4096, Filled<32>(0x33)},
              {"default/wal/wal-2.log", 0, Filled<32>(0x44)}};
  c.position = 100;
  c.nodes = 99;
  c.nodes_total = 1000;
  c.receipts = {{1, 100}, {200, 300}};
  c.start.lsn = 7;
  c.start.space = Filled<32>(0x55);
  c.start.tiers[1] = {42, Filled<32>(0x66)};
  c.time_s = -5;
  return c;
}

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

void Spill(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Recomputes the hash at the end, so that a test reaches what lies behind it.
std::string Resealed(std::string bytes) {
  bytes.resize(bytes.size() - 32);
  PutBytes(&bytes, Sha256Of(AsBytes(bytes)));
  return bytes;
}

Status DecodeStatus(std::string_view bytes) {
  return DecodeCheckpoint("/x/checkpoint.bin", AsBytes(bytes)).status();
}

TEST(Checkpoint, ReadsBackWhatWasWritten) {
  TempDir dir;
  const std::string path = CheckpointPath(dir.path());
  ASSERT_TRUE(WriteCheckpoint(FileSystem::Posix(), path, Sample()).ok());
  auto read = ReadCheckpoint(FileSystem::Posix(), path);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, Sample());
}

TEST(Checkpoint, MatchesTheGoldenFile) {
  const std::string golden =
      std::string(ENGRAM_SOURCE_DIR) + "/tests/format/golden/checkpoint-1.bin";
  if (getenv("ENGRAM_WRITE_GOLDEN") != nullptr) Spill(golden, EncodeCheckpoint(Sample()));
  const std::string bytes = Slurp(golden);
  EXPECT_EQ(bytes, EncodeCheckpoint(Sample()));
  auto read = DecodeCheckpoint(golden, AsBytes(bytes));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, Sample());
}

TEST(Checkpoint, EveryFlippedBitIsRefused) {
  const std::string good = EncodeCheckpoint(Sample());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 4);
    EXPECT_FALSE(DecodeStatus(bad).ok()) << "byte " << i;
  }
}

TEST(Checkpoint, EveryTruncationIsRefused) {
  const std::string good = EncodeCheckpoint(Sample());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(DecodeStatus(good.substr(0, size)).code(), StatusCode::kCorruption) << size;
  }
  EXPECT_EQ(DecodeStatus(good + "x").code(), StatusCode::kCorruption);
}

TEST(Checkpoint, AnUnknownVersionIsRefusedAndNotReinterpreted) {
  std::string bytes = EncodeCheckpoint(Sample());
  bytes[8] = 2;
  const Status status = DecodeStatus(Resealed(bytes));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_THAT(status.message(), HasSubstr("version 2"));
}

TEST(Checkpoint, AnotherConversionFunctionIsRefused) {
  Checkpoint other = Sample();
  other.conversion_function_id = kConversionFunctionId + 1;
  EXPECT_EQ(DecodeStatus(EncodeCheckpoint(other)).code(), StatusCode::kUnsupported);
}

TEST(Checkpoint, OverlappingReceiptsAreRefused) {
  for (const std::vector<KeyRange>& bad : std::vector<std::vector<KeyRange>>{
           {{1, 100}, {100, 200}}, {{1, 100}, {101, 200}}, {{5, 4}}, {{200, 300}, {1, 100}}}) {
    Checkpoint c = Sample();
    c.receipts = bad;
    EXPECT_EQ(DecodeStatus(EncodeCheckpoint(c)).code(), StatusCode::kCorruption);
  }
}

TEST(Checkpoint, DamageNamesFileOffsetExpectedAndActual) {
  std::string bytes = EncodeCheckpoint(Sample());
  bytes[60] = static_cast<char>(bytes[60] ^ 1);
  const Status status = DecodeStatus(bytes);
  EXPECT_THAT(status.message(), HasSubstr("/x/checkpoint.bin"));
  EXPECT_THAT(status.message(), HasSubstr("offset"));
  EXPECT_THAT(status.message(), HasSubstr("expected"));
  EXPECT_THAT(status.message(), HasSubstr("actual"));
  EXPECT_FALSE(status.hint().empty());
}

TEST(Checkpoint, AMissingOneIsNotFound) {
  TempDir dir;
  EXPECT_EQ(ReadCheckpoint(FileSystem::Posix(), dir.Join("none")).status().code(),
            StatusCode::kNotFound);
  EXPECT_TRUE(RemoveCheckpoint(FileSystem::Posix(), dir.Join("none")).ok());
}

TEST(Checkpoint, AnotherStoreOrSpaceIsRefusedWithTheReason) {
  const Checkpoint c = Sample();
  EXPECT_TRUE(CheckSameStore(c, c.store_uuid, "default").ok());
  const Status store = CheckSameStore(c, Uuid{}, "default");
  EXPECT_EQ(store.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(store.message(), HasSubstr("another store"));
  const Status space = CheckSameStore(c, c.store_uuid, "other");
  EXPECT_THAT(space.message(), HasSubstr("'other'"));
}

TEST(Checkpoint, ASourceMayGrowAndNothingElse) {
  const std::vector<SourceExtent> before = {{"a", 10, Filled<32>(1)}, {"b", 20, Filled<32>(2)}};
  std::vector<SourceFileNow> now = {{"a", 10, 10, Filled<32>(1)}, {"b", 20, 20, Filled<32>(2)}};
  EXPECT_TRUE(CheckSourceOnlyGrew(before, now).ok());
  now[1].size_bytes = 25;
  now.push_back({"c", 5, 0, {}});
  EXPECT_TRUE(CheckSourceOnlyGrew(before, now).ok()) << "grown file, new file";
  auto changed = now;
  changed[0].prefix_sha256 = Filled<32>(9);
  EXPECT_THAT(CheckSourceOnlyGrew(before, changed).message(), HasSubstr("rewritten"));
  changed = now;
  changed[0].size_bytes = changed[0].prefix_size_bytes = 9;
  EXPECT_EQ(CheckSourceOnlyGrew(before, changed).code(), StatusCode::kFailedPrecondition);
  changed = now;
  changed.erase(changed.begin());
  EXPECT_THAT(CheckSourceOnlyGrew(before, changed).message(), HasSubstr("gone"));
}

class AuditLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<AuditLog> Open() {
    auto log = AuditLog::Open(fs_, clock_, path_);
    EXPECT_TRUE(log.ok()) << log.status().ToString();
    return log.ok() ? std::move(*log) : nullptr;
  }
  void WriteThree() {
    auto log = Open();
    for (const char* event : {"start", "checkpoint", "finish"}) {
      ASSERT_TRUE(log->Append(event, {{"nodes", 7}, {"space", "d\"\xff"}}).ok());
    }
  }
  FileSystem& fs_ = FileSystem::Posix();
  ManualClock clock_;
  TempDir dir_;
  const std::string path_ = AuditLogPath(dir_.path());
};

TEST_F(AuditLogTest, TheChainHoldsAcrossReopens) {
  WriteThree();
  WriteThree();
  auto chain = VerifyAuditLog(fs_, path_);
  ASSERT_TRUE(chain.ok()) << chain.status().ToString();
  EXPECT_EQ(chain->lines, 6u);
  EXPECT_FALSE(chain->torn_tail);
}

TEST_F(AuditLogTest, EveryChangedByteIsFound) {
  WriteThree();
  const std::string good = Slurp(path_);
  for (size_t i = 0; i + 1 < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    Spill(path_, bad);
    EXPECT_EQ(VerifyAuditLog(fs_, path_).status().code(), StatusCode::kCorruption) << "byte " << i;
  }
}

TEST_F(AuditLogTest, ARemovedOrReorderedLineIsFound) {
  WriteThree();
  std::vector<std::string> lines;
  std::stringstream in(Slurp(path_));
  for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
  Spill(path_, lines[0] + lines[2]);
  EXPECT_FALSE(VerifyAuditLog(fs_, path_).ok());
  Spill(path_, lines[1] + lines[0] + lines[2]);
  EXPECT_FALSE(VerifyAuditLog(fs_, path_).ok());
  EXPECT_FALSE(AuditLog::Open(fs_, clock_, path_).ok()) << "a changed log is not appended to";
}

// The hash of a line says who wrote it, not that it has the types that this program writes.
TEST_F(AuditLogTest, AnEntryOfOtherTypesUnderARightHashIsDamage) {
  WriteThree();
  const std::string zeros(64, '0');
  for (const std::string& body :
       {"{\"seq\":\"1\",\"prev\":\"" + zeros + "\",", std::string("{\"seq\":1,\"prev\":7,"),
        std::string("{\"seq\":1,")}) {
    Spill(path_, body + "\"hash\":\"" + ToHex(Sha256Of(AsBytes(body))) + "\"}\n");
    EXPECT_EQ(VerifyAuditLog(fs_, path_).status().code(), StatusCode::kCorruption) << body;
  }
}

TEST_F(AuditLogTest, ATornLastLineIsCutOffAndTheChainGoesOn) {
  WriteThree();
  const std::string good = Slurp(path_);
  Spill(path_, good + "{\"seq\":4,\"ti");
  auto chain = VerifyAuditLog(fs_, path_);
  ASSERT_TRUE(chain.ok());
  EXPECT_TRUE(chain->torn_tail);
  ASSERT_TRUE(Open()->Append("finish", {}).ok());
  chain = VerifyAuditLog(fs_, path_);
  ASSERT_TRUE(chain.ok()) << chain.status().ToString();
  EXPECT_EQ(chain->lines, 4u);
  EXPECT_EQ(Slurp(path_).substr(0, good.size()), good) << "append-only";
}

}  // namespace
}  // namespace engram::migration
