// The migrator of an open space: docs/online-migration.md.
#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <thread>

#include "compat/conversion.h"
#include "migration/online/migrator.h"
#include "migration/online/progress_row.h"
#include "tests/migration/migration_fixture.h"
#include "tests/migration/planted_faults.h"
#include "tests/testing/random.h"

namespace engram::migration {
namespace {

using engine::Mode;
using online::Migrator;
using online::MigratorOptions;
using online::MigratorState;
using online::Phase;
using ::testing::HasSubstr;

class OnlineTest : public MigrationTest {
 protected:
  // A space that stays open until Close().
  void Serve() {
    store_ = Open(engine::Access::kCreate);
    backend_ = compat::MemoryBackend::Make(*store_, {});
  }
  void Close() {
    migrator_.reset();
    backend_.reset();
    ExpectOk(store_->Close());
    store_.reset();
  }
  void Reopen() {
    Close();
    Serve();
  }
  Migrator& Begin(bool history_scan = true) {
    options_.history_scan = history_scan;
    options_.log_directory = DualPath("log");
    migrator_.reset();
    auto migrator = Migrator::Open(*store_, context_.environment, options_);
    EXPECT_TRUE(migrator.ok()) << migrator.status().ToString();
    migrator_ = std::move(*migrator);
    return *migrator_;
  }
  MigratorState Step(uint64_t records_max = 100) {
    auto state = migrator_->Step(records_max);
    EXPECT_TRUE(state.ok()) << state.status().ToString();
    return state.ok() ? *state : MigratorState();
  }
  // Steps until there is nothing to do.
  MigratorState Settle(uint64_t records_max = 100) {
    MigratorState state;
    int steps = 0;
    do {
      state = Step(records_max);
    } while (state.done > 0 && ++steps < 100000);
    EXPECT_LT(steps, 100000) << "a busy loop";
    return state;
  }
  // Changes the old head of the record m-<n>, behind the back of a closed store.
  void Plant(int n, const std::function<void(std::string*)>& change) {
    testing::PlantedFaults faults(DualPath("store.1"));
    faults.Edit(engine::Table::kOldHeads, faults.KeyAt(engine::Table::kOldHeads, n), change);
  }
  // What the first step that does not work says; OK if all of a thousand do.
  Status FirstFailure() {
    Status failure;
    for (int i = 0; i < 1000 && failure.ok(); ++i) failure = migrator_->Step(10).status();
    return failure;
  }
  // A new version of a record as the ingest writes it: its rows, an empty change set in the log.
  void IngestPastTheLog(const std::string& id, bool poison = false) {
    auto view = std::move(*store_->View());
    const NodeKey source = **view->FindId(id);
    const auto stored = std::move(**view->Record(source));
    engine::Embedding embedding;
    ExpectOk(view->ReadEmbedding(stored.current().vector_key, &embedding).status());
    view.reset();
    auto txn = std::move(*store_->BeginBulk());
    const VectorKey vector = *txn->AllocateVectorKeys(1);
    engine::HeadCommon common = stored.old_head->common;
    common.seq = txn->lsn();
    common.vector_key = vector;
    if (poison) common.digest[0] ^= 1;
    const std::string key = engine::EncodeU64Key(source.value);
    const std::string vector_key = engine::EncodeU64Key(vector.value);
    std::string head, text, floats;
    engine::EncodeOldHead(AsBytes(key), common, stored.old_head->memory, &head);
    engine::EncodeTextFields(AsBytes(key), stored.text, &text);
    engine::EncodeEmbedding(
        AsBytes(vector_key), source,
        {reinterpret_cast<const uint8_t*>(embedding.data()), engine::kEmbeddingSizeBytes}, &floats);
    ExpectOk(txn->ReplaceRecord({source, vector, AsBytes(head), AsBytes(text), AsBytes(floats),
                                 common.digest, common.tier}));
    ExpectOk(txn->Commit({}));
  }
  engine::Counts Counts() { return *(*store_->View())->Count(); }
  std::string OpenDigest() { return ToHex((*store_->View())->Digests()->SpaceDigest()); }
  bool IsDual(const std::string& id) {
    auto view = std::move(*store_->View());
    const auto key = *view->FindId(id);
    return (*view->Record(*key))->is_dual();
  }
  void PutOne(const std::string& id, uint64_t seed) { Put(*backend_, 1, id + "#", seed); }
  void SetMode(Mode mode) { ExpectOk(backend_->SetMode(mode)); }

  MigratorOptions options_;
  std::unique_ptr<engine::Store> store_;
  std::unique_ptr<compat::MemoryBackend> backend_;
  std::unique_ptr<Migrator> migrator_;
};

TEST_F(OnlineTest, HistoryIsConvertedVerifiedAndThenThereIsNothingToDo) {
  Serve();
  Put(*backend_, 1000, "m-", 1);
  SetMode(Mode::kDual);
  const std::string digest = OpenDigest();
  Begin();
  uint64_t old = 1000, steps = 0;
  bool backfilled = false, verified = false;
  for (MigratorState state; state.phase != Phase::kComplete; ++steps) {
    state = Step(100);
    EXPECT_LE(state.remaining_old, old);  // INV-15
    EXPECT_GE(state.remaining_old + 200, old) << "more than a step asked for";
    old = state.remaining_old;
    backfilled = backfilled || state.phase == Phase::kBackfill;
    verified = verified || state.phase == Phase::kVerify;
    EXPECT_EQ(OpenDigest(), digest);
    ASSERT_LT(steps, 1000u);
  }
  EXPECT_TRUE(backfilled && verified);
  const MigratorState state = Step();
  EXPECT_EQ(state.done, 0u);
  EXPECT_EQ(state.phase, Phase::kComplete);
  EXPECT_EQ(state.converted, 1000u);
  EXPECT_TRUE(state.digest_matches);
  EXPECT_EQ(Counts().old, 0u);
  // The same for the next one, which verifies nothing again.
  Begin();
  EXPECT_EQ(Step().phase, Phase::kComplete);
  Close();
  EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
}

TEST_F(OnlineTest, WithoutHistoryScanOnlyWhatIsWrittenIsConvertedInLegacyToo) {
  Serve();
  Put(*backend_, 50, "before-", 1);
  Begin(false);
  EXPECT_EQ(Settle().converted, 0u);
  Put(*backend_, 20, "while-", 2);
  EXPECT_FALSE(IsDual("while-7"));
  const MigratorState state = Settle(7);
  EXPECT_EQ(state.converted, 20u);
  EXPECT_EQ(state.phase, Phase::kTail);
  EXPECT_EQ(state.tailed, state.durable);
  EXPECT_EQ(Counts().old, 50u);
  EXPECT_TRUE(IsDual("while-7"));
  EXPECT_FALSE(IsDual("before-7"));
  // Written again in legacy: old again, and converted again.
  ExpectOk(backend_->UpdateActivation("while-7", 0.25f).status());
  EXPECT_FALSE(IsDual("while-7"));
  Settle();
  EXPECT_TRUE(IsDual("while-7"));
  EXPECT_EQ(backend_->Get("while-7", nullptr).value()->memory.activation, 0.25f);
  // With the scan the rest follows.
  Begin(true);
  EXPECT_EQ(Settle().phase, Phase::kComplete);
  EXPECT_EQ(Counts().old, 0u);
}

TEST_F(OnlineTest, TheNextMigratorGoesOnWhereTheLastOneStopped) {
  Serve();
  Put(*backend_, 900, "m-", 1);
  SetMode(Mode::kDual);
  uint64_t converted = 0;
  MigratorState state;
  // A verification belongs to its migrator: the last one makes it.
  for (int i = 0; i < 1000 && (i == 0 || state.remaining_old > 0); ++i) {
    Begin();
    state = Step(50);
    converted += state.converted;
    if (i % 3 == 0) Reopen();
    if (i == 4) Put(*backend_, 5, "later-", 2);
  }
  EXPECT_EQ(converted, 900u);
  Begin();
  EXPECT_EQ(Settle().phase, Phase::kComplete);
}

// What is written while nobody looks on, in so much log that it is recycled.
TEST_F(OnlineTest, INV6_a_recycled_log_is_noticed_and_history_covers_the_gap) {
  for (const bool history_scan : {true, false}) {
    context_.data_root = root_.Join(history_scan ? "with" : "without");
    Serve();
    Put(*backend_, 100, "before-", 1);
    Begin(history_scan);
    Settle();
    const uint64_t lsn = (*store_->View())->lsn().value;
    Put(*backend_, 30, "gap-", 2);
    for (int i = 0; i < 8; ++i) {
      Put(*backend_, 300, "noise-" + std::to_string(i) + "-", static_cast<uint64_t>(i) + 3);
      ExpectOk(store_->Drain({.sync = true}));
      ExpectOk(store_->RecycleLog());
    }
    wal::TailPosition position;
    position.store_uuid = store_->Info().store_uuid;
    position.next = Lsn{lsn + 1};
    const auto tailer = wal::Tailer::Open(FileSystem::Posix(), DualPath("log"), position);
    EXPECT_EQ(tailer.status().code(), StatusCode::kFailedPrecondition)
        << "the log is still there: this test shows nothing";
    const MigratorState state = Settle(500);
    EXPECT_EQ(Counts().old, history_scan ? 0u : 100u);
    EXPECT_TRUE(IsDual("gap-29") && IsDual("noise-7-299"));
    EXPECT_EQ(IsDual("before-0"), history_scan);
    EXPECT_EQ(state.phase, history_scan ? Phase::kComplete : Phase::kTail);
    Close();
  }
}

TEST_F(OnlineTest, WhatABulkIngestBroughtPastTheLogIsFoundByOneMorePass) {
  Serve();
  Put(*backend_, 40, "m-", 1);
  SetMode(Mode::kDual);
  Begin();
  EXPECT_EQ(Settle().phase, Phase::kComplete);
  IngestPastTheLog("m-3");
  EXPECT_EQ(Counts().old, 1u);
  const MigratorState state = Settle();
  EXPECT_EQ(state.phase, Phase::kComplete);
  EXPECT_EQ(Counts().old, 0u);
}

// Neither the last pass, which converted nothing, nor the one that every migrator makes once is a
// reason to look again: only the mark that the ingest left in the log is.
TEST_F(OnlineTest, EveryBulkIngestIsAReasonToLookAgain) {
  Serve();
  Put(*backend_, 40, "m-", 1);
  SetMode(Mode::kDual);
  Begin();
  EXPECT_EQ(Settle().phase, Phase::kComplete);
  Begin();
  IngestPastTheLog("m-3", /*poison=*/true);
  EXPECT_EQ(Settle().quarantined, 1u);
  IngestPastTheLog("m-4");
  EXPECT_EQ(Counts().old, 2u);
  const MigratorState state = Settle();
  EXPECT_EQ(state.phase, Phase::kComplete);
  EXPECT_EQ(Counts().old, 1u);
}

TEST_F(OnlineTest, OldRecordsThatNothingExplainsAreLookedForByTheNextMigrator) {
  Serve();
  Put(*backend_, 60, "m-", 1);
  SetMode(Mode::kDual);
  Begin();
  EXPECT_EQ(Settle().phase, Phase::kComplete);
  Close();
  {
    testing::PlantedFaults faults(DualPath("store.1"));
    faults.Remove(engine::Table::kHeads, faults.KeyAt(engine::Table::kHeads, 17));
    faults.Edit(engine::Table::kDigests, "counts", [](std::string* row) {
      (*row)[8] += 1;   // old
      (*row)[16] -= 1;  // dual
    });
  }
  Serve();
  EXPECT_EQ(Counts().old, 1u);
  Begin();
  EXPECT_EQ(Settle().phase, Phase::kComplete);
  EXPECT_EQ(Counts().old, 0u);
}

TEST_F(OnlineTest, APoisonRecordIsKeptBackCountedOnceReadableAndSetFreeByAWrite) {
  PutOld(30);
  Plant(11, [](std::string* row) { (*row)[60] ^= 1; });  // not what its digest was made of
  Serve();
  SetMode(Mode::kDual);
  for (int round = 0; round < 3; ++round) {
    Begin();
    const MigratorState state = Settle(10);
    EXPECT_EQ(state.phase, Phase::kComplete);
    EXPECT_TRUE(state.digest_matches);
    EXPECT_EQ(state.quarantined, 1u);
    EXPECT_EQ(state.remaining_old, 1u);
    EXPECT_EQ(Counts().quarantined, 1u);
    EXPECT_TRUE(backend_->Get("m-11", nullptr).value().has_value());
    if (round == 1) Reopen();
  }
  Put(*backend_, 12, "m-", 9);
  const MigratorState state = Settle();
  EXPECT_EQ(state.phase, Phase::kComplete);
  EXPECT_EQ(state.quarantined, 0u);
  EXPECT_EQ(Counts().quarantined, 0u);
  EXPECT_EQ(Counts().old, 0u);
}

TEST_F(OnlineTest, WhatAnOfflineRunQuarantinedIsCountedOnceAndDoesNotKeepFromCompletion) {
  PutOld(30);
  Plant(11, [](std::string* row) { (*row)[60] ^= 1; });
  EXPECT_FALSE(MigrateOnce()["ok"]);
  Serve();
  EXPECT_EQ(Counts().quarantined, 1u);
  Begin();
  const MigratorState state = Settle();
  EXPECT_EQ(state.phase, Phase::kComplete);
  EXPECT_EQ(state.quarantined, 1u);
  Put(*backend_, 12, "m-", 9);
  EXPECT_EQ(Settle().quarantined, 0u);
  EXPECT_EQ(Counts().quarantined, 0u);
}

// Written before the migrator's first position: no log tells it so.
TEST_F(OnlineTest, ARecordThatWasQuarantinedOnceHidesNoOldOne) {
  PutOld(30);
  Plant(11, [](std::string* row) { (*row)[60] ^= 1; });
  EXPECT_FALSE(MigrateOnce()["ok"]);
  Serve();
  Put(*backend_, 12, "m-", 9);
  SetMode(Mode::kLegacy);
  IngestPastTheLog("m-20");
  ExpectOk(store_->Drain({.sync = true}));
  ExpectOk(store_->RecycleLog());
  ASSERT_EQ(Counts().old, 1u);
  Begin();
  const MigratorState state = Settle();
  EXPECT_EQ(state.phase, Phase::kComplete);
  EXPECT_EQ(state.quarantined, 0u);
  EXPECT_EQ(Counts().quarantined, 0u);
  EXPECT_EQ(Counts().old, 0u);
}

TEST_F(OnlineTest, AQuarantinedRecordHidesNoOtherFault) {
  PutOld(30);
  Plant(11, [](std::string* row) { (*row)[60] ^= 1; });
  {
    testing::PlantedFaults faults(DualPath("store.1"));
    faults.Edit(engine::Table::kEmbeddings, faults.KeyAt(engine::Table::kEmbeddings, 21),
                [](std::string* row) { (*row)[100] ^= 1; });
  }
  Serve();
  SetMode(Mode::kDual);
  Begin();
  EXPECT_THAT(FirstFailure().message(), HasSubstr("the first: m-21: "));
  EXPECT_EQ(Settle().phase, Phase::kFailed);
}

TEST_F(OnlineTest, ARecordWhoseClaimIsNotInTheSumsFailsTheVerificationThoughQuarantined) {
  PutOld(30);
  Plant(11, [](std::string* row) { (*row)[24] ^= 1; });  // the digest itself
  Serve();
  SetMode(Mode::kDual);
  Begin();
  EXPECT_THAT(FirstFailure().message(), HasSubstr("range 0: digest expected"));
  const MigratorState state = Settle();
  EXPECT_EQ(state.phase, Phase::kFailed);
  EXPECT_FALSE(state.digest_matches);
  EXPECT_EQ(state.quarantined, 1u);
}

TEST_F(OnlineTest, INV9_a_verification_that_finds_a_planted_fault_fails_once_and_stays_failed) {
  PutOld(5000);
  {
    testing::PlantedFaults faults(DualPath("store.1"));
    // One float of one embedding: neither head nor sums say so.
    faults.Edit(engine::Table::kEmbeddings, faults.KeyAt(engine::Table::kEmbeddings, 4321),
                [](std::string* row) { (*row)[100] ^= 1; });
  }
  Serve();
  SetMode(Mode::kDual);
  Begin();
  Status failure;
  for (int i = 0; i < 1000 && failure.ok(); ++i) failure = migrator_->Step(300).status();
  EXPECT_THAT(failure.message(), HasSubstr("m-4321"));
  EXPECT_EQ(Settle().phase, Phase::kFailed);
  EXPECT_EQ(Counts().old, 0u);
}

TEST_F(OnlineTest, INV7_a_verification_lets_go_of_a_snapshot_that_pins_too_much) {
  Serve();
  Put(*backend_, 400, "m-", 1);
  SetMode(Mode::kDual);
  options_.pinned_log_bytes_max = 1;
  Begin();
  while (Step(50).phase != Phase::kVerify) {
  }
  for (int i = 0; i < 40; ++i) {  // longer than one verification takes
    Put(*backend_, 1, "w-", static_cast<uint64_t>(i) + 1);
    EXPECT_EQ(Step(50).phase, Phase::kVerify) << i;
  }
  EXPECT_EQ(Settle(50).phase, Phase::kComplete);
}

TEST_F(OnlineTest, AReadOnlySpaceAndARowOfAnotherVersionAreRefused) {
  PutOld(3);
  store_ = Open(engine::Access::kReadOnly);
  options_.log_directory = DualPath("log");
  EXPECT_EQ(Migrator::Open(*store_, context_.environment, options_).status().code(),
            StatusCode::kFailedPrecondition);
  store_.reset();
  Serve();
  std::string row = online::Progress().EncodeRow();
  EXPECT_TRUE(online::Progress::DecodeRow(row).ok());
  EXPECT_FALSE(online::Progress::DecodeRow(row + "x").ok());
  row[0] = 2;
  auto txn = std::move(*store_->Begin());
  ExpectOk(txn->SetMeta(online::kProgressRow, row));
  ExpectOk(store_->WaitDurable(*txn->Stage()));
  txn.reset();
  EXPECT_EQ(Migrator::Open(*store_, context_.environment, options_).status().code(),
            StatusCode::kUnsupported);
}

// Random writes, deletes, mode changes, new migrators and reopens between the steps of a migrator,
// against what was acknowledged.
class OnlineModel : public OnlineTest {
 protected:
  std::string Canonical(const engine::Memory& memory) {
    std::string out;
    engine::AppendCanonical(compat::ToDual(memory, Uuid{}, engine::Extension()), &out);
    return out;
  }
  void PutRandom() {
    const std::string id = "m-" + std::to_string(random_.Below(60));
    engine::Memory memory = records_.Memory();
    memory.text.id = id;
    memory.layout = engine::Layout::kNone;
    engine::Embedding embedding;
    records_.FillEmbedding(&embedding);
    ExpectOk(backend_->Put(memory, embedding).status());
    memory.embedding_sha256 = testing::HashOf(embedding);
    expected_[id] = Canonical(memory);
  }
  void RemoveRandom() {
    const std::string id = "m-" + std::to_string(random_.Below(60));
    const auto removed = backend_->Remove(id);
    EXPECT_EQ(removed.ok(), expected_.erase(id) == 1) << id;
  }
  void Check() {
    std::map<std::string, std::string> found;
    ExpectOk(backend_->Scan({}, [&](const compat::FullRecord& record, const engine::Embedding*) {
      found[record.memory.text.id] = Canonical(record.memory);
      return Result<bool>(true);
    }));
    EXPECT_EQ(found.size(), expected_.size());
    for (const auto& [id, canonical] : expected_) EXPECT_EQ(found[id], canonical) << id;
  }
  void Run(uint64_t seed) {
    random_ = testing::Random(seed);
    context_.data_root = root_.Join("model-" + std::to_string(seed));
    Serve();
    Begin();
    for (int i = 0; i < 400; ++i) {
      const uint64_t choice = random_.Below(100);
      if (choice < 35) {
        PutRandom();
      } else if (choice < 50) {
        RemoveRandom();
      } else if (choice < 55) {
        SetMode(static_cast<Mode>(1 + random_.Below(4)));
      } else if (choice < 57) {
        Reopen();
        Begin(random_.OneIn(2));
      } else if (choice < 60) {
        Begin(random_.OneIn(2));
      } else if (choice < 62) {
        ExpectOk(store_->Drain({.sync = true}));
        ExpectOk(store_->RecycleLog());
      } else {
        const std::string digest = OpenDigest();
        const uint64_t old = Counts().old;
        const MigratorState state = Step(1 + random_.Below(20));
        EXPECT_EQ(OpenDigest(), digest);
        EXPECT_LE(Counts().old, old);
        EXPECT_NE(state.phase, Phase::kFailed);
      }
      if (i % 50 == 0) Check();
    }
    SetMode(Mode::kDual);
    Begin(true);
    const MigratorState state = Settle(7);
    EXPECT_EQ(state.phase, Phase::kComplete);
    EXPECT_EQ(Counts().old, 0u);
    Check();
    Close();
    EXPECT_TRUE(Checked()["ok"]) << Checked().dump(1);
    expected_.clear();
  }

  testing::Random random_{1};
  testing::RecordGenerator records_{1};
  std::map<std::string, std::string> expected_;
};

TEST_F(OnlineModel, StepsNeverChangeWhatIsServedAndAlwaysComeToTheEnd) {
  const uint64_t first = testing::NumberFromEnvironment("ENGRAM_SEED", 1);
  for (uint64_t seed = first; seed < first + 12; ++seed) {
    SCOPED_TRACE("ENGRAM_SEED=" + std::to_string(seed));
    Run(seed);
    if (HasFailure()) return;
  }
}

TEST_F(OnlineTest, WritersReadersAndModeChangesBesideAMigratorLoseNothing) {
  Serve();
  Put(*backend_, 2000, "old-", 1);
  Begin();
  std::atomic<bool> stop{false};
  std::vector<std::thread> clients;
  std::vector<float> last(4, -1);
  for (size_t c = 0; c < last.size(); ++c) {
    clients.emplace_back([&, c] {
      testing::Random random(c + 1);
      const std::string own = "own-" + std::to_string(c) + "-#";
      Put(*backend_, 1, own, c + 1);
      while (!stop) {
        const float activation = static_cast<float>(random.Below(1000)) / 1000.0f;
        ExpectOk(backend_->UpdateActivation(own + "0", activation).status());
        last[c] = activation;
        const auto read = backend_->Get(own + "0", nullptr);
        EXPECT_EQ((*read)->memory.activation, activation);
        const std::string id = "old-" + std::to_string(random.Below(2000));
        EXPECT_TRUE(backend_->Get(id, nullptr).value().has_value());
      }
    });
  }
  for (int round = 0; round < 6; ++round) {
    SetMode(round % 2 == 0 ? Mode::kDual : Mode::kLegacy);
    for (int i = 0; i < 20; ++i) Step(60);
  }
  SetMode(Mode::kDual);
  MigratorState state;
  for (int i = 0; i < 2000 && state.phase != Phase::kComplete; ++i) state = Step(100);
  EXPECT_EQ(state.phase, Phase::kComplete) << "under load";
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(Settle().phase, Phase::kComplete);
  for (size_t c = 0; c < last.size(); ++c) {
    const auto read = backend_->Get("own-" + std::to_string(c) + "-#0", nullptr);
    EXPECT_EQ((*read)->memory.activation, last[c]);
  }
  EXPECT_EQ(Counts().old, 0u);
  Close();
  EXPECT_TRUE(Checked()["ok"]);
}

}  // namespace
}  // namespace engram::migration
