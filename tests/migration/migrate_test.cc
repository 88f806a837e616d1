#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "migration/checkpoint.h"
#include "migration/job.h"
#include "tests/migration/migration_fixture.h"
#include "tests/migration/planted_faults.h"

namespace engram::migration {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(MigrationTest, ConvertsEveryOldRecordAndKeepsTheDigest) {
  PutOld(2500);
  const std::string before = Digest();
  EXPECT_EQ(Stats()["old"], 2500);
  const json report = MigrateOnce();
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  const json space = report["spaces"][0];
  EXPECT_EQ(space["found"], 2500);
  EXPECT_EQ(space["converted"], 2500);
  EXPECT_EQ(space["already_dual"], 0);
  EXPECT_EQ(space["remaining_old"], 0);
  EXPECT_EQ(space["digest"]["before"], before);
  EXPECT_EQ(space["digest"]["after"], before);
  const json stats = Stats();
  EXPECT_EQ(stats["mode"], "dual");
  EXPECT_EQ(stats["dual"], 2500);
  EXPECT_EQ(stats["old"], 0);
  EXPECT_EQ(stats["digest"], before);
}

TEST_F(MigrationTest, TheWayThereAndBackAndOnKeepsTheDigestAtEveryStep) {
  PutOld(700);
  const std::string digest = Digest();
  EXPECT_EQ(MigrateOnce()["spaces"][0]["digest"]["after"], digest);
  EXPECT_TRUE(Checked()["ok"]);
  const json back = Json(Rollback(context_, "default"));
  EXPECT_EQ(back["mode"], "legacy");
  EXPECT_EQ(back["digest"], digest);
  EXPECT_THAT(back["lossy"], IsEmpty());
  EXPECT_EQ(Stats()["mode"], "legacy");
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
  const json again = MigrateOnce();
  EXPECT_TRUE(again["ok"]) << again.dump(1);
  EXPECT_EQ(again["spaces"][0]["already_dual"], 700);
  EXPECT_EQ(again["spaces"][0]["digest"]["after"], digest);
  CompactJobOptions compact;
  compact.space = "default";
  json compacted = Json(Compact(context_, compact));
  EXPECT_EQ(compacted["digest_before"], digest);
  EXPECT_EQ(compacted["digest_after"], digest);
  EXPECT_EQ(compacted["finalized"], false);
  EXPECT_TRUE(Checked()["ok"]);
  compact.finalize = true;
  compacted = Json(Compact(context_, compact));
  EXPECT_EQ(compacted["digest_after"], digest);
  EXPECT_EQ(compacted["finalized"], true);
  EXPECT_EQ(Stats()["mode"], "finalized");
  EXPECT_EQ(Digest(), digest);
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
  const auto refused = Rollback(context_, "default");
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Json(CanRollback(context_, "default"))["can_rollback"]);
  EXPECT_TRUE(VerifyAuditLog(FileSystem::Posix(), DualPath("migration/audit.log")).ok());
}

TEST_F(MigrationTest, FinalizeConvertsWhatIsStillOld) {
  PutOld(300);
  const std::string digest = Digest();
  CompactJobOptions compact;
  compact.space = "default";
  compact.finalize = true;
  const json report = Json(Compact(context_, compact));
  EXPECT_EQ(report["digest_after"], digest);
  EXPECT_EQ(Stats()["dual"], 300);
  EXPECT_EQ(Stats()["mode"], "finalized");
}

TEST_F(MigrationTest, WritesAfterARollbackAreOldAndConvertedByTheNextRun) {
  PutOld(300);
  MigrateOnce();
  Json(Rollback(context_, "default"));
  PutOld(50, "m-", 99);  // replaces 50 of them
  PutOld(25, "new-", 7);
  EXPECT_EQ(Stats()["old"], 75);
  const std::string digest = Digest();
  const json space = MigrateOnce()["spaces"][0];
  EXPECT_EQ(space["converted"], 75);
  EXPECT_EQ(space["already_dual"], 250);
  EXPECT_EQ(space["digest"]["after"], digest);
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
}

TEST_F(MigrationTest, DeletedRecordsStayDeleted) {
  PutOld(100);
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    for (int i = 0; i < 100; i += 3) {
      EXPECT_TRUE(backend->Remove("m-" + std::to_string(i)).ok());
    }
    ExpectOk(store->Close());
  }
  const json space = MigrateOnce()["spaces"][0];
  EXPECT_EQ(space["found"], 66);
  EXPECT_EQ(space["converted"], 66);
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
}

TEST_F(MigrationTest, AConceptIsListedAsLossyAndItsDigestSurvives) {
  PutOld(20);
  MigrateOnce();
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    PutConceptAndLinks(*backend);
    EXPECT_TRUE(backend->SetStrength("m-2", 0.75f).ok());
    ExpectOk(store->Close());
  }
  const std::string digest = Digest();
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
  EXPECT_EQ(Json(CanRollback(context_, "default"))["lossy"], json::array({"idea"}));
  const json back = Json(Rollback(context_, "default"));
  EXPECT_EQ(back["lossy"], json::array({"idea"}));
  EXPECT_EQ(back["digest"], digest);
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
  const json again = MigrateOnce();
  EXPECT_TRUE(again["ok"]) << again.dump(1);
  EXPECT_EQ(Digest(), digest);
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
}

TEST_F(MigrationTest, AMigrationCancelledAnywhereResumesToTheSameDigest) {
  PutOld(3000);
  const std::string digest = Digest();
  MigrateOptions options;
  options.batch_size = 50;
  options.checkpoint_interval = 200;
  uint64_t cancelled = 0;
  for (uint64_t stop = 1; stop <= 40; ++stop) {
    std::atomic<bool> cancel{false};
    uint64_t calls = 0;
    JobContext context = context_;
    context.cancel = &cancel;
    // A progress callback comes at the start of the conversion; then the clock decides.
    std::thread canceller([&, stop] {
      std::this_thread::sleep_for(std::chrono::microseconds(stop * 500));
      cancel = true;
    });
    context.progress = [&](const Progress&) { ++calls; };
    options.resume = true;
    const auto report = Migrate(context, options);
    canceller.join();
    if (report.ok()) {
      EXPECT_EQ((*report)["spaces"][0]["digest"]["after"], digest);
    } else {
      ++cancelled;
      EXPECT_EQ(report.status().code(), StatusCode::kCancelled) << report.status().ToString();
      EXPECT_FALSE(report.status().hint().empty());
      EXPECT_EQ(Digest(), digest) << "half-way the content is the same";
    }
    if (stop % 10 == 0) Json(Rollback(context_, "default"));
  }
  EXPECT_GT(cancelled, 0u);
  options.resume = true;
  const json report = MigrateOnce(options);
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  EXPECT_EQ(report["spaces"][0]["remaining_old"], 0);
  EXPECT_EQ(Digest(), digest);
  EXPECT_TRUE(Checked()["ok"]);
}

TEST_F(MigrationTest, AResumedJobCountsEveryRecordOnce) {
  PutOld(2000);
  MigrateOptions options;
  options.batch_size = 10;
  options.checkpoint_interval = 50;
  options.rate_limit_per_second = 2000;
  std::atomic<bool> cancel{false};
  JobContext context = context_;
  context.cancel = &cancel;
  context.progress = [&](const Progress& progress) {
    if (progress.phase == "convert" && progress.done > 0) cancel = true;
  };
  const auto stopped = Migrate(context, options);
  ASSERT_EQ(stopped.status().code(), StatusCode::kCancelled);
  const uint64_t converted = Stats()["dual"];
  ASSERT_GT(converted, 0u);
  ASSERT_LT(converted, 2000u);
  options.resume = true;
  options.rate_limit_per_second = 0;
  const json report = MigrateOnce(options);
  EXPECT_TRUE(report["resumed"]);
  EXPECT_EQ(report["spaces"][0]["found"], 2000);
  EXPECT_EQ(report["spaces"][0]["converted"], 2000);
  EXPECT_EQ(report["spaces"][0]["already_dual"], 0);
}

// Behind the receipts of an interrupted job: its space went back to the old mode by itself.
TEST_F(MigrationTest, AResumedJobConvertsWhatBecameOldAgain) {
  PutOld(500);
  MigrateOptions options;
  options.batch_size = 10;
  options.checkpoint_interval = 10;
  std::atomic<bool> cancel{false};
  JobContext context = context_;
  context.cancel = &cancel;
  context.progress = [&](const Progress& progress) { cancel = progress.phase == "verify"; };
  ASSERT_EQ(Migrate(context, options).status().code(), StatusCode::kCancelled);
  ASSERT_EQ(Stats()["dual"], 500);
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    ExpectOk(backend->SetMode(engine::Mode::kLegacy));
    Put(*backend, 5, "m-", 77);
    ExpectOk(store->Close());
  }
  ASSERT_EQ(Stats()["old"], 5);
  options.resume = true;
  const json report = MigrateOnce(options);
  EXPECT_TRUE(report["resumed"]);
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  EXPECT_EQ(report["spaces"][0]["remaining_old"], 0);
}

TEST_F(MigrationTest, ARefusedFinalizeLeavesTheModeAndTheJob) {
  PutOld(30);
  {
    testing::PlantedFaults faults(DualPath("store.1"));
    faults.Edit(engine::Table::kOldHeads, engine::EncodeU64Key(12),
                [](std::string* row) { (*row)[60] ^= 1; });
  }
  const json before = Stats();
  CompactJobOptions compact;
  compact.space = "default";
  compact.finalize = true;
  const auto refused = Compact(context_, compact);
  ASSERT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), ::testing::HasSubstr("1 records could not"));
  EXPECT_EQ(Stats()["mode"], before["mode"]);
  EXPECT_EQ(Stats()["digest"], before["digest"]);
}

TEST_F(MigrationTest, TheRateLimitHolds) {
  PutOld(1500);
  MigrateOptions options;
  options.batch_size = 100;
  options.rate_limit_per_second = 3000;
  const json space = MigrateOnce(options)["spaces"][0];
  EXPECT_GE(space["seconds"].get<double>(), 0.4);
}

TEST_F(MigrationTest, ADryRunCreatesNothingAndPredictsTheBytes) {
  PutOld(2000);
  const auto tree = [this] {
    std::set<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(context_.data_root)) {
      const auto time = entry.last_write_time().time_since_epoch().count();
      const bool reader_table = entry.path().filename() == "lock.mdb";
      out.insert(entry.path().string() + (reader_table ? "" : " " + std::to_string(time)));
    }
    return out;
  };
  const auto before = tree();
  MigrateOptions options;
  options.dry_run = true;
  const json dry = MigrateOnce(options)["spaces"][0];
  EXPECT_EQ(tree(), before);
  EXPECT_EQ(dry["converted"], 2000);
  const json real = MigrateOnce()["spaces"][0];
  EXPECT_EQ(dry["digest"]["after"], real["digest"]["after"]);
  const double predicted = dry["bytes_predicted"];
  const double written = real["bytes_written"];
  EXPECT_NEAR(written / predicted, 1.0, 0.1) << predicted << " " << written;
}

TEST_F(MigrationTest, ACheckpointOfAnotherStoreIsRefused) {
  PutOld(100);
  MigrateOnce();
  const std::string path = DualPath("migration/checkpoint.bin");
  auto checkpoint = ReadCheckpoint(FileSystem::Posix(), path);
  ASSERT_TRUE(checkpoint.ok());
  checkpoint->store_uuid = Uuid{};
  ExpectOk(WriteCheckpoint(FileSystem::Posix(), path, *checkpoint));
  MigrateOptions options;
  options.resume = true;
  const auto refused = Migrate(context_, options);
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("another store"));
  EXPECT_FALSE(refused.status().hint().empty());
  options.resume = false;
  EXPECT_TRUE(MigrateOnce(options)["ok"]) << "without --resume it is not looked at";
}

TEST_F(MigrationTest, ADamagedCheckpointIsRefusedAndNamed) {
  PutOld(100);
  MigrateOnce();
  const std::string path = DualPath("migration/checkpoint.bin");
  { std::ofstream(path, std::ios::in | std::ios::out).seekp(40).put('x'); }
  MigrateOptions options;
  options.resume = true;
  const auto refused = Migrate(context_, options);
  EXPECT_EQ(refused.status().code(), StatusCode::kCorruption);
  EXPECT_THAT(refused.status().message(), HasSubstr(path));
}

TEST_F(MigrationTest, WithoutASpaceThereIsNothingToDoAndItSaysSo) {
  std::filesystem::create_directories(context_.data_root);
  const auto refused = Migrate(context_, {});
  EXPECT_EQ(refused.status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(refused.status().hint().empty());
  MigrateOptions named;
  named.space = "nothere";
  EXPECT_EQ(Migrate(context_, named).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(std::filesystem::is_empty(context_.data_root)) << "nothing was created";
}

TEST_F(MigrationTest, EverySpaceOfTheDataRootIsMigrated) {
  for (const char* space : {"alpha", "beta", "---"}) {
    auto store = Open(engine::Access::kCreate, space);
    auto backend = compat::MemoryBackend::Make(*store, {});
    Put(*backend, 30, "x-", 3);
    ExpectOk(store->Close());
  }
  const json report = MigrateOnce();
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  ASSERT_EQ(report["spaces"].size(), 3u);
  EXPECT_EQ(report["spaces"][0]["space"], "---");
  EXPECT_EQ(Json(MigrationStatus(context_, "beta"))["phase"], "rollback_window");
}

TEST_F(MigrationTest, TheStatesAreDurableAndTheAuditLogHoldsTheStory) {
  PutOld(10);
  EXPECT_EQ(Json(MigrationStatus(context_, "default"))["phase"], "off");
  MigrateOnce();
  EXPECT_EQ(Json(MigrationStatus(context_, "default"))["phase"], "rollback_window");
  Json(Rollback(context_, "default"));
  EXPECT_EQ(Json(MigrationStatus(context_, "default"))["phase"], "off");
  std::ifstream in(DualPath("migration/audit.log"));
  std::vector<std::string> events;
  for (std::string line; std::getline(in, line);) {
    events.push_back(json::parse(line)["event"]);
  }
  EXPECT_EQ(events.front(), "start");
  EXPECT_EQ(events.back(), "rollback");
  EXPECT_THAT(events, ::testing::Contains("mode"));
  EXPECT_THAT(events, ::testing::Contains("finish"));
}

}  // namespace
}  // namespace engram::migration
