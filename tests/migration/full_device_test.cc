// A device without the room that a migration needs: said before anything is done, and nothing is
// left behind.
#include <gmock/gmock.h>

#include "tests/migration/migration_fixture.h"
#include "tests/migration/small_device.h"
#include "tests/testing/generated_log.h"

namespace engram::migration {
namespace {

using ::testing::HasSubstr;

class FullDeviceTest : public MigrationTest {
 protected:
  void SetUp() override {
    source_ = root_.Join("source");
    testing::GenerateLog(source_, "--records 200 --seed 3", /*manifest=*/false);
  }
  Status MigrateOnSmallDevice(uint64_t available_bytes = 5000, MigrateOptions options = {}) {
    SmallDevice device(available_bytes,
                       [](const std::string& path) { return path.ends_with("/dual"); });
    const JobContext context{.environment = {.fs = device},
                             .data_root = context_.data_root,
                             .log = context_.log,
                             .map_size_bytes = context_.map_size_bytes,
                             .progress = {}};
    options.source = source_;
    return Migrate(context, options).status();
  }
  std::string source_;
};

TEST_F(FullDeviceTest, ARefusalForWantOfRoomLeavesNothingBehind) {
  const Status refused = MigrateOnSmallDevice();
  EXPECT_EQ(refused.code(), StatusCode::kFull) << refused.ToString();
  EXPECT_THAT(refused.message(), HasSubstr("needs"));
  EXPECT_THAT(refused.message(), HasSubstr("has 5000"));
  EXPECT_FALSE(std::filesystem::exists(context_.data_root)) << "it was not there before either";
}

TEST_F(FullDeviceTest, WhatWasThereBeforeStays) {
  std::filesystem::create_directories(context_.data_root + "/default/warm");
  EXPECT_EQ(MigrateOnSmallDevice().code(), StatusCode::kFull);
  EXPECT_TRUE(std::filesystem::exists(context_.data_root + "/default/warm"));
  EXPECT_FALSE(std::filesystem::exists(context_.data_root + "/default/dual"));
  PutOld(5);
  const std::string digest = Digest();
  EXPECT_EQ(MigrateOnSmallDevice().code(), StatusCode::kFull);
  EXPECT_EQ(Digest(), digest);
  EXPECT_EQ(Stats()["count"], 5);
}

// Room for the snapshot (16 MiB at least) or for the ingest (about 1 MB), not for both.
TEST_F(FullDeviceTest, TheSnapshotCountsBeforeAnythingIsDone) {
  constexpr uint64_t kAvailableBytes = 17'500'000;
  PutOld(5);
  const std::string digest = Digest();
  MigrateOptions options;
  options.snapshot = true;
  for (const bool dry_run : {true, false}) {
    options.dry_run = dry_run;
    EXPECT_EQ(MigrateOnSmallDevice(kAvailableBytes, options).code(), StatusCode::kFull) << dry_run;
    EXPECT_FALSE(std::filesystem::exists(context_.data_root + "/default/dual/snapshots"));
    EXPECT_EQ(Digest(), digest);
  }
  options = {};
  EXPECT_TRUE(MigrateOnSmallDevice(kAvailableBytes, options).ok());
}

}  // namespace
}  // namespace engram::migration
