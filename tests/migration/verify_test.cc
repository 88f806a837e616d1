#include "migration/verify.h"

#include <gmock/gmock.h>

#include <functional>

#include "migration/audit_rows.h"
#include "tests/migration/migration_fixture.h"
#include "tests/migration/planted_faults.h"

namespace engram::migration {
namespace {

using engine::Table;
using nlohmann::json;
using testing::PlantedFaults;

class VerifyTest : public MigrationTest {
 protected:
  // 60 converted records, a Concept, a binding, two edges; node keys 1 to 61 and an endpoint.
  void SetUp() override {
    PutOld(60);
    MigrateOnce();
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    testing::RecordGenerator random(5);
    engine::DualNode node;
    node.text.id = "idea";
    node.text.content = "what they have in common";
    node.extension = testing::GoldenConcept();
    engine::Embedding centroid;
    random.FillEmbedding(&centroid);
    ASSERT_TRUE(backend->PutNode(node, centroid).ok());
    ASSERT_TRUE(backend->AddBinding("m-1", "idea", 0.5f, 0.25f).ok());
    ExpectOk(backend->AddEdge("m-1", "m-2", 0.5f));
    ExpectOk(backend->AddEdge("m-1", "nowhere", 0.5f));
    ExpectOk(store->Close());
    ASSERT_TRUE(Checked()["ok"]) << Checked().dump(1);
  }

  PlantedFaults Faults() { return PlantedFaults(DualPath("store.1")); }
  static std::string Key(uint64_t key) { return engine::EncodeU64Key(key); }

  // The verifier must object, and the report must name `what` somewhere.
  void ExpectFound(const std::string& what) {
    const json report = Checked();
    EXPECT_FALSE(report["ok"]);
    EXPECT_THAT(report.dump(), ::testing::HasSubstr(what)) << report.dump(1);
  }
  std::vector<json> Mismatches(const std::string& field) {
    std::vector<json> out;
    const json report = Checked();
    EXPECT_FALSE(report["ok"]);
    for (const json& found : report["mismatched"]) {
      if (found["field"] == field) out.push_back(found);
    }
    return out;
  }
};

// What was written and not applied when the verification began may be applied while it runs.
TEST_F(VerifyTest, WritesThatAreAppliedMeanwhileAreNoMismatch) {
  auto store = Open();
  auto backend = compat::MemoryBackend::Make(*store, {});
  testing::RecordGenerator random(6);
  for (int i = 0; i < 20; ++i) {
    engine::Memory memory;
    memory.text.id = "late-" + std::to_string(i);
    engine::Embedding embedding;
    random.FillEmbedding(&embedding);
    ASSERT_TRUE(backend->Put(memory, embedding).ok());
    const std::function<void(const Progress&)> apply = [&](const Progress&) {
      ExpectOk(store->Drain({.sync = false}));
    };
    ProgressMeter meter(Clock::System(), apply, nullptr, "default");
    VerifyRun run;
    run.meter = &meter;
    auto report = VerifyStore(*store, run);
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    ASSERT_TRUE(report->ok()) << report->ToJson("default").dump(1);
  }
  ExpectOk(store->Close());
}

TEST_F(VerifyTest, AChangedFloatOfAnEmbeddingIsFoundThoughItsChecksumIsRight) {
  Faults().Edit(Table::kEmbeddings, Key(7), [](std::string* row) { (*row)[8 + 100] ^= 1; });
  const auto found = Mismatches("embedding_sha256");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0]["id"], "m-6");
  EXPECT_NE(found[0]["expected"], found[0]["actual"]);
}

TEST_F(VerifyTest, AChangedFloatOfADualHeadIsFoundAndNamed) {
  Faults().Edit(Table::kHeads, Key(9), [](std::string* row) { (*row)[108] ^= 1; });
  const auto found = Mismatches("confidence.encoding");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0]["id"], "m-8");
  EXPECT_EQ(Mismatches("digest").size(), 1u + 1u + 1u) << "record, tier, range";
}

TEST_F(VerifyTest, AChangedFloatOfAnOldHeadIsFound) {
  Faults().Edit(Table::kOldHeads, Key(9), [](std::string* row) { (*row)[76] ^= 1; });
  const auto found = Mismatches("decay_rate");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0]["id"], "m-8");
}

TEST_F(VerifyTest, EveryByteOfAHeadCounts) {
  // Whatever byte of a dual head changes with its checksum repaired, something must object.
  const std::string good = Faults().Get(Table::kHeads, Key(12));
  for (size_t i = 0; i + 4 < good.size(); ++i) {
    Faults().Edit(Table::kHeads, Key(12), [i](std::string* row) { (*row)[i] ^= 1; });
    EXPECT_FALSE(Checked()["ok"]) << "offset " << i;
    Faults().Put(Table::kHeads, Key(12), good);
  }
  EXPECT_TRUE(Checked()["ok"]);
}

TEST_F(VerifyTest, SwappedHeadsAreFound) {
  Faults().Swap(Table::kHeads, Key(3), Key(4));
  ExpectFound("m-2");
  ExpectFound("m-3");
}

TEST_F(VerifyTest, SwappedTextRowsAreFound) {
  Faults().Swap(Table::kContent, Key(3), Key(4));
  ExpectFound("digest");
}

TEST_F(VerifyTest, AHeadUnderAnotherKeyIsCorruptWithoutARepairedChecksum) {
  auto faults = Faults();
  faults.Put(Table::kHeads, Key(3), faults.Get(Table::kHeads, Key(4)));
  const json report = Checked();
  EXPECT_EQ(report["corrupt"].size(), 1u) << report.dump(1);
}

TEST_F(VerifyTest, ARemovedRowOfAnyTableIsFound) {
  struct Removal {
    Table table;
    std::string key;
    std::string named;
  };
  const std::string edge_out = Faults().KeyAt(Table::kEdgesOut, 0);
  const std::string edge_in = Faults().KeyAt(Table::kEdgesIn, 0);
  const std::string binding = Faults().KeyAt(Table::kBindingsIn, 0);
  const std::string uuid = Faults().KeyAt(Table::kUuids, 5);
  const std::string extension = Faults().KeyAt(Table::kExtensions, 0);
  const std::vector<Removal> removals = {
      {Table::kHeads, Key(5), "counts"},
      {Table::kContent, Key(5), "text row of node key 5"},
      {Table::kEmbeddings, Key(5), "missing"},
      {Table::kIds, "im-4", "id row of node key 5"},
      {Table::kUuids, uuid, "uuid row"},
      {Table::kExtensions, extension, "idea"},
      {Table::kEdgesOut, edge_out, "edges"},
      {Table::kEdgesIn, edge_in, "edges"},
      {Table::kBindingsIn, binding, "bindings"},
      {Table::kDigests, "tier/3", "tier cold"},
      {Table::kDigests, "counts", "counts"},
  };
  for (const Removal& removal : removals) {
    const std::string row = Faults().Get(removal.table, removal.key);
    Faults().Remove(removal.table, removal.key);
    SCOPED_TRACE("table " + std::to_string(static_cast<int>(removal.table)));
    ExpectFound(removal.named);
    Faults().Put(removal.table, removal.key, row);
  }
  EXPECT_TRUE(Checked()["ok"]);
}

TEST_F(VerifyTest, BothHeadsRemovedLeavesAMissingId) {
  Faults().Remove(Table::kHeads, Key(5));
  Faults().Remove(Table::kOldHeads, Key(5));
  const json report = Checked();
  EXPECT_FALSE(report["ok"]);
  EXPECT_THAT(report["missing"].dump(), ::testing::HasSubstr("m-4")) << report.dump(1);
  EXPECT_THAT(report["orphans"].dump(), ::testing::HasSubstr("embedding row")) << report.dump(1);
}

TEST_F(VerifyTest, AnEditedDigestRowIsFound) {
  for (const std::string& row :
       {std::string("tier/1"), std::string("tier/3"), "r" + engine::EncodeU64Key(0),
        std::string("edges"), std::string("bindings")}) {
    const std::string good = Faults().Get(Table::kDigests, row);
    Faults().Edit(Table::kDigests, row,
                  [](std::string* value) { (*value)[value->size() - 9] ^= 1; });
    SCOPED_TRACE(row);
    ExpectFound("digest");
    Faults().Put(Table::kDigests, row, good);
  }
  const std::string counts = Faults().Get(Table::kDigests, "counts");
  Faults().Edit(Table::kDigests, "counts", [](std::string* value) { (*value)[8] ^= 1; });
  ExpectFound("counts");
}

TEST_F(VerifyTest, AnEmbeddingRowNobodyPointsToIsAnOrphan) {
  auto faults = Faults();
  const std::string row = faults.Get(Table::kEmbeddings, Key(7));
  const std::string key = Key(500);
  faults.Put(Table::kEmbeddings, key, PlantedFaults::Sealed(key, row));
  ExpectFound("embedding row 500");
}

TEST_F(VerifyTest, ASampleChecksThatManyAndIsNotFooledByThem) {
  const json report = Checked(10);
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  EXPECT_GE(report["checked"], 10);
  EXPECT_LE(report["checked"], 12);
}

TEST_F(VerifyTest, ASampleOfRecordsThatLieBesideItsStrideIsNotEmpty) {
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    // Of node keys 1 to 61 the even ones go.
    for (int i = 1; i < 60; i += 2) EXPECT_TRUE(backend->Remove("m-" + std::to_string(i)).ok());
    ExpectOk(store->Close());
  }
  for (const uint64_t sample : {1, 7, 15}) {
    const json report = Checked(sample);
    EXPECT_TRUE(report["ok"]) << report.dump(1);
    EXPECT_GT(report["checked"], 0) << sample;
  }
}

TEST_F(VerifyTest, TheReportCountsWhatMatched) {
  json report = Checked();
  EXPECT_EQ(report["checked"], 61);
  EXPECT_EQ(report["matched"], 61);
  EXPECT_EQ(report["success_rate"], 1.0);
  EXPECT_EQ(report["digest"]["space"], Digest());
  Faults().Edit(Table::kEmbeddings, Key(7), [](std::string* row) { (*row)[8] ^= 1; });
  report = Checked();
  EXPECT_EQ(report["matched"], 60);
  EXPECT_LT(report["success_rate"], 1.0);
}

TEST_F(VerifyTest, ARecordThatCannotBeConvertedIsQuarantinedCountedAndKept) {
  Json(Rollback(context_, "default"));
  Faults().Remove(Table::kHeads, Key(20));
  // Its stored digest is not that of its content: converting it would change the digest.
  Faults().Edit(Table::kOldHeads, Key(20), [](std::string* row) { (*row)[60] ^= 1; });
  const json report = MigrateOnce();
  EXPECT_FALSE(report["ok"]);
  const json space = report["spaces"][0];
  EXPECT_EQ(space["quarantined"], 1) << space.dump(1);
  auto store = Open(engine::Access::kReadOnly);
  auto view = store->View();
  ASSERT_TRUE(view.ok());
  uint64_t rows = 0;
  ExpectOk((*view)->ScanTable(Table::kQuarantine, {}, [&](Bytes, Bytes value) -> Result<bool> {
    rows += 1;
    EXPECT_THAT(std::string(AsView(value)), ::testing::HasSubstr("digest would change"));
    return true;
  }));
  EXPECT_EQ(rows, 1u);
}

TEST(AuditRows, TimesReadAsTheEngineWritesThem) {
  testing::RecordGenerator random(11);
  for (int i = 0; i < 200000; ++i) {
    const engine::Timestamp time = random.Time();
    ASSERT_EQ(AuditTimeOf(time.seconds, time.nanos).view(), engine::FormatTimestamp(time))
        << time.seconds << " " << time.nanos;
  }
}

TEST(AuditRows, UuidsAndIdKeysAreTheEnginesOwn) {
  testing::RecordGenerator random(12);
  auto space = SpaceId::Parse("default");
  ASSERT_TRUE(space.ok());
  for (int i = 0; i < 20000; ++i) {
    const std::string id = random.Id();
    EXPECT_EQ(AuditUuid("default", id), engine::NodeUuid(*space, id).bytes) << id;
    EXPECT_EQ(AuditIdKey(id), engine::EncodeIdKey(id));
  }
}

}  // namespace
}  // namespace engram::migration
