// Salvage of damaged tables: what is intact stays, what is not is named and kept aside, and an
// independent verification of the result finds nothing.
#include <gmock/gmock.h>

#include "migration/migration.h"
#include "tests/migration/migration_fixture.h"
#include "tests/migration/planted_faults.h"

namespace engram::migration {
namespace {

using engine::Table;
using nlohmann::json;
using testing::PlantedFaults;

class SalvageTest : public MigrationTest {
 protected:
  // 40 converted records with node keys 1 to 40 (ids m-0 to m-39), edges and a binding.
  void SetUp() override {
    PutOld(40);
    MigrateOnce();
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    PutConceptAndLinks(*backend);
    ExpectOk(store->Close());
    ASSERT_TRUE(Checked()["ok"]);
    digest_ = Digest();
  }

  PlantedFaults Faults() { return PlantedFaults(DualPath("store.1")); }
  static std::string Key(uint64_t key) { return engine::EncodeU64Key(key); }
  // Flips a bit without repairing the checksum.
  void Damage(Table table, const std::string& key) {
    PlantedFaults faults = Faults();
    std::string row = faults.Get(table, key);
    row[row.size() / 2] ^= 4;
    faults.Put(table, key, row);
  }

  // As if fewer keys had been given than there are, checksum and all.
  void SetNextKey(const std::string& name, uint64_t next) {
    Faults().Edit(Table::kMeta, name, [&](std::string* row) { StoreLe(row->data(), next); });
  }

  json DryRun() { return Json(Salvage(context_, {.space = "default", .dry_run = true})); }
  // A dry run says the same and changes nothing; afterwards the store verifies and nothing is left
  // to do.
  json Salvaged() {
    const json predicted = DryRun();
    EXPECT_TRUE(predicted["needed"]);
    EXPECT_FALSE(Checked()["ok"]) << "the dry run must not have repaired it";
    const json report = Json(Salvage(context_, {.space = "default"}));
    EXPECT_TRUE(report["ok"]) << report.dump(1);
    for (const char* key : {"lost", "quarantined", "mixed", "repaired", "intact"}) {
      EXPECT_EQ(report[key], predicted[key]) << key;
    }
    EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
    EXPECT_FALSE(DryRun()["needed"]) << DryRun().dump(1);
    return report;
  }
  std::vector<std::string> Ids(const json& findings) {
    std::vector<std::string> ids;
    for (const json& finding : findings) ids.push_back(finding["id"].get<std::string>());
    return ids;
  }
  bool Readable(const std::string& id) {
    auto store = Open(engine::Access::kReadOnly);
    auto backend = compat::MemoryBackend::Make(*store, {});
    engine::Embedding embedding;
    const auto found = backend->Get(id, &embedding);
    return found.ok() && found->has_value();
  }
  uint64_t QuarantineRows() {
    auto store = Open(engine::Access::kReadOnly);
    auto view = store->View();
    uint64_t rows = 0;
    ExpectOk(
        (*view)->ScanTable(Table::kQuarantine, {}, [&](Bytes key, Bytes value) -> Result<bool> {
          EXPECT_TRUE(engine::DecodeChecked(key, value).ok());
          rows += 1;
          return true;
        }));
    return rows;
  }

  std::string digest_;
};

TEST_F(SalvageTest, AnIntactSpaceNeedsNothingAndIsNotChanged) {
  const json report = Json(Salvage(context_, {.space = "default"}));
  EXPECT_TRUE(report["ok"]);
  EXPECT_FALSE(report["needed"]) << report.dump(1);
  EXPECT_EQ(report["intact"], 41);
  EXPECT_EQ(report["digest"]["after"], digest_);
  EXPECT_EQ(Digest(), digest_);
  EXPECT_FALSE(std::filesystem::exists(DualPath("snapshots")));
}

TEST_F(SalvageTest, AHeadIsMadeAgainFromTheOtherOneAndNothingIsLost) {
  for (Table table : {Table::kHeads, Table::kOldHeads}) {
    Damage(table, Key(7));
    const json report = Salvaged();
    EXPECT_THAT(Ids(report["repaired"]), ::testing::ElementsAre("m-6"));
    EXPECT_TRUE(report["quarantined"].empty());
    EXPECT_EQ(Digest(), digest_) << "the content is the same";
    EXPECT_TRUE(Readable("m-6"));
  }
}

TEST_F(SalvageTest, ARecordWithoutAReadableHeadIsSetAsideAndNamed) {
  Damage(Table::kHeads, Key(7));
  Damage(Table::kOldHeads, Key(7));
  const json report = Salvaged();
  EXPECT_THAT(Ids(report["quarantined"]), ::testing::ElementsAre("m-6"));
  EXPECT_EQ(report["intact"], 40);
  EXPECT_FALSE(Readable("m-6"));
  EXPECT_TRUE(Readable("m-5"));
  EXPECT_EQ(QuarantineRows(), 4u) << "both heads, the text and the embedding, as they were";
}

TEST_F(SalvageTest, DamagedTextsExtensionsAndEmbeddingsQuarantineTheirRecordAlone) {
  Damage(Table::kContent, Key(3));
  Damage(Table::kEmbeddings, Faults().KeyAt(Table::kEmbeddings, 4));
  Damage(Table::kExtensions, Key(41));
  const json report = Salvaged();
  EXPECT_THAT(Ids(report["quarantined"]), ::testing::UnorderedElementsAre("m-2", "m-4", "idea"));
  EXPECT_EQ(report["intact"], 38);
}

TEST_F(SalvageTest, DamagedNamesAreMadeAgain) {
  Damage(Table::kIds, engine::EncodeIdKey("m-9"));
  Faults().Remove(Table::kUuids, Faults().KeyAt(Table::kUuids, 11));
  const json report = Salvaged();
  EXPECT_EQ(report["repaired"].size(), 2u) << report["repaired"].dump(1);
  EXPECT_EQ(report["intact"], 41);
  EXPECT_EQ(Digest(), digest_);
  EXPECT_TRUE(Readable("m-9"));
}

TEST_F(SalvageTest, AnEdgeOrABindingIsMadeAgainFromItsTwin) {
  for (Table table : {Table::kEdgesOut, Table::kEdgesIn, Table::kBindingsOut, Table::kBindingsIn}) {
    Damage(table, Faults().KeyAt(table, 0));
    const json report = Salvaged();
    EXPECT_EQ(report["repaired"].size(), 1u) << report["repaired"].dump(1);
  }
  Damage(Table::kEdgesOut, Faults().KeyAt(Table::kEdgesOut, 0));
  Damage(Table::kEdgesIn, Faults().KeyAt(Table::kEdgesIn, 0));
  const json report = Salvaged();
  EXPECT_FALSE(report["quarantined"].empty());
}

TEST_F(SalvageTest, ADamagedDigestRowIsCountedAnewFromTheRecords) {
  Damage(Table::kDigests, "tier/1");
  EXPECT_FALSE(Salvage(context_, {.space = "default", .dry_run = true})->empty());
  const json report = Json(Salvage(context_, {.space = "default"}));
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  EXPECT_TRUE(report["sums_counted_anew"]);
  EXPECT_EQ(Digest(), digest_);
  EXPECT_TRUE(Checked()["ok"]);
}

TEST_F(SalvageTest, AChangedFloatWithARepairedChecksumIsNotTakenForContent) {
  Faults().Edit(Table::kEmbeddings, Key(7), [](std::string* row) { (*row)[8 + 100] ^= 1; });
  const json report = Salvaged();
  EXPECT_THAT(Ids(report["quarantined"]), ::testing::ElementsAre("m-6"));
}

TEST_F(SalvageTest, AChangedTextWithARepairedChecksumIsNotTakenForContent) {
  PlantedFaults faults = Faults();
  engine::TextFields text;
  std::string row = faults.Get(Table::kContent, Key(7));
  ExpectOk(engine::DecodeTextFields(AsBytes(Key(7)), AsBytes(row), &text));
  text.content = "what nobody wrote";
  row.clear();
  engine::EncodeTextFields(AsBytes(Key(7)), text, &row);
  faults.Put(Table::kContent, Key(7), row);
  const json report = Salvaged();
  EXPECT_THAT(Ids(report["quarantined"]), ::testing::ElementsAre("m-6"));
}

// A head that cannot be read cannot be subtracted: the tiers are dirty until salvage, and writes go
// on meanwhile.
TEST_F(SalvageTest, WritesOverAnUnreadableHeadGoOnAndTheTiersAreDirtyUntilSalvage) {
  for (uint64_t key : {7u, 8u}) {
    Damage(Table::kHeads, Key(key));
    Damage(Table::kOldHeads, Key(key));
  }
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    engine::Memory memory;
    memory.text.id = "m-6";
    memory.text.content = "again";
    engine::Embedding embedding;
    embedding.fill(0.25f);
    const auto put = backend->Put(memory, embedding);
    EXPECT_TRUE(put.ok()) << put.status().ToString();
    const auto removed = backend->Remove("m-7");
    EXPECT_TRUE(removed.ok()) << removed.status().ToString();
    auto view = store->View();
    EXPECT_TRUE((*view)->Digests()->tiers[2].dirty) << "before it is applied";
    ExpectOk(store->Close());
  }
  EXPECT_TRUE(Readable("m-6"));
  EXPECT_FALSE(Readable("m-7"));
  const json checked = Checked();
  EXPECT_THAT(checked["corrupt"].dump(), ::testing::HasSubstr("tier hot: dirty"));
  EXPECT_EQ(Stats()["tiers"]["hot"]["dirty"], true);
  EXPECT_EQ(Stats()["count"], 40);
  const json report = Salvaged();
  EXPECT_EQ(report["intact"], 40);
  EXPECT_TRUE(report["quarantined"].empty()) << report["quarantined"].dump(1);
  EXPECT_FALSE(Stats()["tiers"]["hot"].contains("dirty"));
}

// The id is what the caller gave: a text row that cannot be read is no reason to keep a record.
TEST_F(SalvageTest, ARecordWithADamagedTextRowCanBeDeleted) {
  Damage(Table::kContent, Key(2));
  Damage(Table::kContent, Key(7));
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    for (const char* id : {"m-1", "m-6"}) {
      const auto removed = backend->Remove(id);
      EXPECT_TRUE(removed.ok()) << removed.status().ToString();
    }
    ExpectOk(store->Close());
  }
  EXPECT_EQ(Stats()["count"], 39);
  EXPECT_EQ(Stats()["edges"], 0);
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
  EXPECT_FALSE(DryRun()["needed"]) << DryRun().dump(1);
}

TEST_F(SalvageTest, WhatNeedsADamagedRowFailsWithTheCommandThatGoesOn) {
  Damage(Table::kContent, Key(3));
  for (Table table : {Table::kHeads, Table::kOldHeads}) Damage(table, Key(7));
  auto store = Open();
  auto backend = compat::MemoryBackend::Make(*store, {});
  engine::Embedding embedding;
  // The digest of the edge from m-1 to m-2 is over the ids of both.
  for (const Status& failed :
       {backend->Remove("m-1").status(), backend->Get("m-2", &embedding).status(),
        backend->Get("m-6", &embedding).status()}) {
    EXPECT_EQ(failed.code(), StatusCode::kCorruption) << failed.ToString();
    EXPECT_THAT(failed.message(), ::testing::HasSubstr("data.mdb, table "));
    EXPECT_THAT(failed.hint(), ::testing::HasSubstr("`engram space salvage --yes`"));
  }
  ExpectOk(store->Close());
}

// A scan that passes over records by what their heads say reports one that has no readable head.
TEST_F(SalvageTest, AScanOfOneTierReportsARecordWithoutAReadableHead) {
  for (Table table : {Table::kHeads, Table::kOldHeads}) Damage(table, Key(7));
  auto store = Open(engine::Access::kReadOnly);
  auto backend = compat::MemoryBackend::Make(*store, {});
  uint64_t seen = 0;
  for (engine::Tier tier : {engine::Tier::kHot, engine::Tier::kWarm, engine::Tier::kCold}) {
    compat::MemoryBackend::ScanOptions options;
    options.tier = tier;
    const Status scanned = backend->Scan(options, [&](const auto&, const auto*) {
      seen += 1;
      return true;
    });
    EXPECT_EQ(scanned.code(), StatusCode::kCorruption) << scanned.ToString();
    EXPECT_THAT(scanned.message(), ::testing::HasSubstr("data.mdb"));
  }
  EXPECT_EQ(seen, 40u);
  ExpectOk(store->Close());
}

TEST_F(SalvageTest, AGoodHeadIsServedBesideADamagedOneAndVerificationNamesTheDamage) {
  Damage(Table::kOldHeads, Key(7));
  Damage(Table::kHeads, Key(8));
  EXPECT_TRUE(Readable("m-6"));
  EXPECT_TRUE(Readable("m-7"));
  const json checked = Checked();
  EXPECT_FALSE(checked["ok"]);
  ASSERT_EQ(checked["corrupt"].size(), 2u) << checked.dump(1);
  EXPECT_THAT(checked["corrupt"].dump(), ::testing::HasSubstr("old head of m-6"));
  EXPECT_THAT(checked["corrupt"].dump(), ::testing::HasSubstr("dual head of m-7"));
  EXPECT_TRUE(checked["mismatched"].empty()) << "the sums are those of the good heads";
  EXPECT_EQ(Digest(), digest_);
}

// Else the next record would get the key of one that is there, and overwrite it.
TEST_F(SalvageTest, KeysAreNeverGivenTwiceWhateverTheCountersSay) {
  for (const char* name : {"engine.next_node_key", "engine.next_vector_key"}) {
    SCOPED_TRACE(name);
    for (const uint64_t next : {uint64_t{1}, uint64_t{40}}) {
      SetNextKey(name, next);
      EXPECT_THAT(Checked().dump(), ::testing::HasSubstr(name));
      EXPECT_TRUE(DryRun()["keys_counted_anew"]);
      Salvaged();
      EXPECT_EQ(Digest(), digest_);
      SetNextKey(name, next);
      PutOld(3, "later-" + std::to_string(next) + name, 9);
      EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
      EXPECT_TRUE(Readable("m-0"));
      digest_ = Digest();
    }
  }
}

}  // namespace
}  // namespace engram::migration
