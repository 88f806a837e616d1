// The snapshot at the start of a migration and the way back to it.
#include "migration/snapshot.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/migration/migration_fixture.h"
#include "tests/migration/planted_faults.h"

namespace engram::migration {
namespace {

using nlohmann::json;

class SnapshotTest : public MigrationTest {
 protected:
  json Back(bool dry_run = false) {
    return Json(RollbackToState(context_, {.space = "default", .dry_run = dry_run}));
  }
  std::map<std::string, std::string> Changes(const json& report) {
    std::map<std::string, std::string> changes;
    for (const json& write : report["later_writes"]) changes[write["id"]] = write["change"];
    return changes;
  }
  std::string SnapshotPath() {
    const auto newest = NewestSnapshot(context_, "default");
    EXPECT_TRUE(newest.ok() && newest->has_value());
    return (*newest)->path;
  }
  // A migration with a snapshot of 30 records, then one record each added, changed and deleted.
  void MigrateAndWriteOn() {
    PutOld(30);
    before_ = Stats();
    MigrateOptions options;
    options.snapshot = true;
    const json report = MigrateOnce(options);
    EXPECT_EQ(report["spaces"][0]["snapshot"]["digest"], before_["digest"]);
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    Put(*backend, 1, "new-", 7);
    EXPECT_TRUE(backend->UpdateActivation("m-3", 0.125f).ok());
    EXPECT_TRUE(backend->Remove("m-4").ok());
    ExpectOk(backend->AddEdge("m-1", "m-2", 0.5f));
    ExpectOk(store->Close());
  }

  json before_;
};

TEST_F(SnapshotTest, GoingBackNamesWhatItGivesUpAndGivesTheSpaceAsItWas) {
  MigrateAndWriteOn();
  const json now = Stats();
  const json shown = Back(/*dry_run=*/true);
  EXPECT_THAT(Changes(shown), ::testing::ElementsAre(::testing::Pair("m-3", "changed"),
                                                     ::testing::Pair("m-4", "deleted"),
                                                     ::testing::Pair("new-0", "added")));
  EXPECT_EQ(shown["edges_differ"], true);
  EXPECT_EQ(Stats(), now) << "looking changes nothing";
  const json done = Back();
  EXPECT_TRUE(done["ok"]) << done.dump(1);
  EXPECT_EQ(Changes(done), Changes(shown));
  const json after = Stats();
  for (const char* key : {"digest", "count", "old", "dual", "mode", "tiers", "edges"}) {
    EXPECT_EQ(after[key], before_[key]) << key;
  }
  EXPECT_GT(after["lsn"].get<uint64_t>(), now["lsn"].get<uint64_t>()) << "LSNs go on";
  EXPECT_TRUE(Checked()["ok"]);
}

TEST_F(SnapshotTest, KeysAndSequencesGoOnAfterTheWayBack) {
  MigrateAndWriteOn();
  Back();
  auto store = Open();
  auto backend = compat::MemoryBackend::Make(*store, {});
  auto view = store->View();
  Put(*backend, 1, "later-", 9);
  view = store->View();
  const auto key = (*view)->FindId("later-0");
  ASSERT_TRUE(key.ok() && key->has_value());
  EXPECT_GT((*key)->value, 31u) << "the key of new-0 is not given again";
  view->reset();
  ExpectOk(store->Close());
  EXPECT_TRUE(Checked()["ok"]);
  // And on again: the same digest as ever.
  EXPECT_TRUE(MigrateOnce()["ok"]);
}

TEST_F(SnapshotTest, WithoutASnapshotTheRefusalSaysHowToGetOneAndWhatElseThereIs) {
  PutOld(3);
  MigrateOnce();
  const auto refused = RollbackToState(context_, {.space = "default"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().hint(), ::testing::HasSubstr("--snapshot"));
}

TEST_F(SnapshotTest, ADamagedSnapshotIsRefusedAndTheStoreLeftAsItIs) {
  MigrateAndWriteOn();
  const json now = Stats();
  {
    testing::PlantedFaults faults(SnapshotPath() + "/store.1");
    faults.Edit(engine::Table::kDigests, "tier/3", [](std::string* row) { (*row)[20] ^= 1; });
  }
  const auto refused = RollbackToState(context_, {.space = "default"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kCorruption) << refused.status().ToString();
  EXPECT_EQ(Stats(), now);
  EXPECT_TRUE(Checked()["ok"]);
}

TEST_F(SnapshotTest, AHalfMadeSnapshotCountsForNothing) {
  PutOld(3);
  std::filesystem::create_directories(DualPath("snapshots/migration-x.tmp/store.1"));
  const auto newest = NewestSnapshot(context_, "default");
  ASSERT_TRUE(newest.ok());
  EXPECT_FALSE(newest->has_value());
}

TEST_F(SnapshotTest, FinalizedIsTheEndOfTheWayBack) {
  MigrateAndWriteOn();
  Json(Compact(context_, {.space = "default", .finalize = true}));
  const auto refused = RollbackToState(context_, {.space = "default"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace engram::migration
