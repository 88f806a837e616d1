#include "engine/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include "base/crypto.h"
#include "compat/conversion.h"
#include "engine/rows.h"
#include "tests/migration/planted_faults.h"
#include "tests/testing/refusing_file_system.h"
#include "tests/testing/temp_dir.h"

namespace engram::engine {
namespace {

// A store in a temporary directory with domain verbs.
class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { Open(Access::kCreate); }

  StoreOptions Options(const std::string& folder, Access access) const {
    StoreOptions options;
    options.directory = dir_.path() + "/" + folder + "/dual";
    options.space = "default";
    options.access = access;
    options.map_size_bytes = 1u << 30;
    options.background_apply = background_;
    options.log = log_;
    return options;
  }
  void Open(Access access) {
    store_.reset();
    const StoreOptions options = Options("default", access);
    auto store = Store::Open({.fs = *fs_}, options);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = std::move(*store);
  }

  // What the files of the open store are now, as the next process finds them.
  Result<std::unique_ptr<Store>> OpenAsCrashed(uint64_t overlay_size_bytes_max = 64u << 20) {
    std::filesystem::copy(dir_.path() + "/default", dir_.path() + "/crashed",
                          std::filesystem::copy_options::recursive);
    StoreOptions options = Options("crashed", Access::kReadWrite);
    options.overlay_size_bytes_max = overlay_size_bytes_max;
    return Store::Open({}, options);
  }

  static Embedding Filled(float value) {
    Embedding embedding;
    embedding.fill(value);
    return embedding;
  }

  Lsn Put(const std::string& id, const std::string& content, float activation, bool dual = false) {
    Memory memory;
    memory.text.id = id;
    memory.text.content = content;
    memory.activation = activation;
    const Embedding embedding = Filled(activation);
    memory.embedding_sha256 =
        Sha256Of({reinterpret_cast<const uint8_t*>(embedding.data()), kEmbeddingSizeBytes});
    auto txn = store_->Begin();
    EXPECT_TRUE(txn.ok()) << txn.status().ToString();
    const Uuid uuid = NodeUuid(*SpaceId::Parse("default"), id);
    WriteTxn::Record record;
    record.key = *(*txn)->KeyFor(id, uuid);
    record.old_head = memory;
    record.text = &memory.text;
    record.embedding = &embedding;
    record.activation = activation;
    DualNode node = compat::ToDual(memory, uuid, {});
    record.digest = RecordDigest(node);
    if (dual) record.dual_head = node;
    Status put = (*txn)->PutRecord(record);
    EXPECT_TRUE(put.ok()) << put.ToString();
    auto lsn = (*txn)->Stage();
    EXPECT_TRUE(lsn.ok()) << lsn.status().ToString();
    Status durable = store_->WaitDurable(*lsn);
    EXPECT_TRUE(durable.ok()) << durable.ToString();
    return *lsn;
  }

  void Remove(const std::string& id) {
    auto txn = store_->Begin();
    auto key = (*txn)->view().FindId(id);
    ASSERT_TRUE(key.ok() && *key);
    ASSERT_TRUE((*txn)->RemoveRecord(**key, id).ok());
    auto lsn = (*txn)->Stage();
    ASSERT_TRUE(lsn.ok());
    ASSERT_TRUE(store_->WaitDurable(*lsn).ok());
  }

  std::optional<std::string> Content(const std::string& id) {
    auto view = store_->View();
    EXPECT_TRUE(view.ok()) << view.status().ToString();
    auto key = (*view)->FindId(id);
    EXPECT_TRUE(key.ok());
    if (!key.ok() || !*key) return std::nullopt;
    auto record = (*view)->Record(**key);
    EXPECT_TRUE(record.ok()) << record.status().ToString();
    if (!record.ok() || !*record) return std::nullopt;
    Embedding embedding;
    EXPECT_TRUE((*view)->ReadEmbedding((*record)->current().vector_key, &embedding).ok());
    return (*record)->text.content;
  }

  Counts Count() { return *(*store_->View())->Count(); }
  Sha256Digest Digest() { return (*store_->View())->Digests()->SpaceDigest(); }

  testing::TempDir dir_;
  bool background_ = false;
  wal::LogOptions log_;
  FileSystem* fs_ = &FileSystem::Posix();
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, AWriteIsReadBackBeforeAndAfterItIsApplied) {
  Put("a", "first", 0.9f);
  EXPECT_EQ(Content("a"), "first");
  const Sha256Digest before = Digest();
  ASSERT_TRUE(store_->Drain({}).ok());
  EXPECT_EQ(Content("a"), "first");
  EXPECT_EQ(Digest(), before);
  EXPECT_EQ(Count().records, 1u);
}

// Its pages are on their way to the device while LMDB still copies the rest of them.
TEST_F(StoreTest, ACommitLargeEnoughToBeWrittenEarlyIsAllThereAfterReopening) {
  for (int i = 0; i < 3000; ++i) Put("m" + std::to_string(i), "v", static_cast<float>(i) / 3000);
  const Sha256Digest digest = Digest();
  ASSERT_GT(store_->Info().overlay_size_bytes, 9u << 20);
  ASSERT_TRUE(store_->Drain({}).ok());
  EXPECT_EQ(store_->Info().overlay_size_bytes, 0u);
  EXPECT_EQ(Digest(), digest);
  ASSERT_TRUE(store_->Close().ok());
  Open(Access::kReadWrite);
  EXPECT_EQ(Count().records, 3000u);
  EXPECT_EQ(Digest(), digest);
  EXPECT_EQ(Content("m2999"), "v");
}

TEST_F(StoreTest, ReopenFindsEverythingAfterACleanClose) {
  for (int i = 0; i < 50; ++i) Put("m" + std::to_string(i), "v", i / 50.0f, i % 2 == 0);
  Remove("m7");
  const Sha256Digest digest = Digest();
  ASSERT_TRUE(store_->Close().ok());
  Open(Access::kReadWrite);
  EXPECT_EQ(Digest(), digest);
  EXPECT_EQ(Count().records, 49u);
  EXPECT_EQ(Count().dual, 25u);
  EXPECT_EQ(Content("m7"), std::nullopt);
  EXPECT_EQ(Content("m8"), "v");
  ASSERT_TRUE(store_->Close().ok());
  Open(Access::kReadOnly);
  EXPECT_EQ(Digest(), digest);
  EXPECT_EQ(Content("m8"), "v");
}

TEST_F(StoreTest, DigestDoesNotDependOnHistory) {
  Put("a", "1", 0.5f);
  Put("b", "2", 0.9f);
  const Sha256Digest wanted = Digest();
  Put("a", "other", 0.1f);
  Put("c", "gone", 0.2f);
  ASSERT_TRUE(store_->Drain({}).ok());
  Remove("c");
  Put("a", "1", 0.5f);
  EXPECT_EQ(Digest(), wanted);
}

TEST_F(StoreTest, CompareAndRewriteInstallsOnlyOverTheRecordThatWasRead) {
  const Lsn old_seq = Put("a", "1", 0.5f);
  auto view = store_->View();
  auto record = *(*view)->Record(**(*view)->FindId("a"));
  DualHead head;
  head.common = record->old_head->common;
  head.node =
      compat::ToDual(record->old_head->memory, NodeUuid(*SpaceId::Parse("default"), "a"), {});
  view->reset();
  const Lsn new_seq = Put("a", "2", 0.6f);
  {
    auto bulk = store_->BeginBulk();
    ASSERT_TRUE(bulk.ok()) << bulk.status().ToString();
    EXPECT_EQ(*(*bulk)->InstallDualHead(record->key, old_seq, head), false);
    ASSERT_TRUE((*bulk)->Commit({}).ok());
  }
  record = *(*store_->View().value()).Record(record->key);
  head.common = record->old_head->common;
  {
    auto bulk = store_->BeginBulk();
    EXPECT_EQ(*(*bulk)->InstallDualHead(record->key, new_seq, head), true);
    EXPECT_EQ(*(*bulk)->InstallDualHead(record->key, new_seq, head), false);
    ASSERT_TRUE((*bulk)->Commit({.sync = true}).ok());
  }
  EXPECT_EQ(Count().dual, 1u);
  EXPECT_EQ(Count().old, 0u);
}

TEST_F(StoreTest, ACurrentRecordAsksForTheOldHeadOnlyWhereNoDualHeadPassesItsCheck) {
  Put("both", "1", 0.5f, true);
  Put("old", "2", 0.6f);
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  const std::string key = EncodeU64Key(1);
  std::string good;
  {
    testing::PlantedFaults faults(dir_.path() + "/default/dual/store.1");
    good = faults.Get(Table::kOldHeads, key);
    faults.Put(Table::kOldHeads, key, "damaged");
  }
  Open(Access::kReadWrite);
  auto view = *store_->View();
  auto current = *view->CurrentRecord(NodeKey{1});
  auto record = *view->Record(NodeKey{1});
  EXPECT_TRUE(current->is_dual());
  EXPECT_FALSE(current->old_head_damaged) << "it was looked for";
  EXPECT_TRUE(record->old_head_damaged);
  EXPECT_EQ(current->current().digest, record->current().digest);
  EXPECT_EQ((*view->Head(NodeKey{1}))->digest, record->current().digest);
  current = *view->CurrentRecord(NodeKey{2});
  EXPECT_FALSE(current->is_dual());
  EXPECT_EQ(current->text.content, "2");
  EXPECT_FALSE(view->CurrentRecord(NodeKey{3})->has_value());
  view.reset();
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  {
    testing::PlantedFaults faults(dir_.path() + "/default/dual/store.1");
    faults.Put(Table::kOldHeads, key, good);
    faults.Put(Table::kHeads, key, "damaged");
  }
  Open(Access::kReadWrite);
  view = *store_->View();
  current = *view->CurrentRecord(NodeKey{1});
  EXPECT_TRUE(current->dual_head_damaged);
  EXPECT_FALSE(current->is_dual());
  EXPECT_EQ(current->text.content, "1");
  EXPECT_EQ(current->current().digest, record->current().digest);
}

// Ids of seven bytes have keys as long as numbers, among others that have not.
TEST_F(StoreTest, IdsOfEveryLengthAreAppliedFromSeveralMemtables) {
  for (const char* id : {"bbbbbb0", "cccccccccc", "bbbbbbb", "b"}) Put(id, id, 0.5f);
  // Every record is replayed into a memtable of its own.
  auto crashed = OpenAsCrashed(/*overlay_size_bytes_max=*/1);
  ASSERT_TRUE(crashed.ok()) << crashed.status().ToString();
  const Status applied = (*crashed)->Drain({});
  ASSERT_TRUE(applied.ok()) << applied.ToString();
  for (const char* id : {"bbbbbb0", "cccccccccc", "bbbbbbb", "b"}) {
    EXPECT_TRUE((*(*(*crashed)->View())->FindId(id)).has_value()) << id;
  }
}

// The log's segments cannot be given back; a commit that was made is made all the same.
class FullForTheLogTest : public StoreTest {
 protected:
  void SetUp() override {
    log_.segment_size_bytes_min = log_.segment_size_bytes_max = 5 * 4096;
    fs_ = &disk_;
    Open(Access::kCreate);
    for (int i = 0; i < 8; ++i) Put("a" + std::to_string(i), "x", 0.5f);
    ASSERT_TRUE(store_->Drain({}).ok());
  }
  void TearDown() override {
    disk_.Refuse(false);
    store_.reset();  // before the disk that it is on
  }

  testing::RefusingFileSystem disk_{".seg", Status::Full("no room to rename")};
};

TEST_F(FullForTheLogTest, WhatWasCommittedIsAppliedOnce) {
  for (int i = 0; i < 8; ++i) Put("b" + std::to_string(i), "x", 0.5f);
  const Sha256Digest digest = Digest();
  disk_.Refuse(true);
  for (int round = 0; round < 3; ++round) EXPECT_TRUE(store_->Drain({}).ok());
  ASSERT_GT(disk_.refused(), 0) << "nothing was to be given back";
  disk_.Refuse(false);
  EXPECT_EQ(Count().records, 16u);
  EXPECT_EQ(Digest(), digest);
  Put("c", "x", 0.5f);
  ASSERT_TRUE(store_->Drain({.sync = true}).ok());
  EXPECT_TRUE(store_->Compact({}).ok()) << "it counts anew and compares";
  EXPECT_EQ(Count().records, 17u);
}

TEST_F(FullForTheLogTest, ABulkBatchKeepsItsKeys) {
  NodeKey key;
  disk_.Refuse(true);
  {
    auto bulk = *store_->BeginBulk();
    key = *bulk->AllocateNodeKeys(1);
    ASSERT_TRUE(bulk->SetMeta("test", "x").ok());
    ASSERT_TRUE(bulk->Commit({.sync = true}).ok());
  }
  ASSERT_GT(disk_.refused(), 0) << "nothing was to be given back";
  disk_.Refuse(false);
  Put("after", "x", 0.5f);
  EXPECT_GT((*(*store_->View())->FindId("after"))->value, key.value);
}

// Rows above the counters of keys (a restored or a damaged store), and a log to replay.
TEST_F(StoreTest, AReplayTakesBackNoKeyThatIsInUse) {
  Put("a", "x", 0.5f);
  ASSERT_TRUE(store_->Drain({.sync = true}).ok());
  {
    auto bulk = *store_->BeginBulk();
    const std::string key = EncodeU64Key(5);
    TextFields text;
    text.id = "five";
    std::string row;
    EncodeTextFields(AsBytes(key), text, &row);
    ASSERT_TRUE(bulk->PutRow(Table::kContent, AsBytes(key), AsBytes(row)).ok());
    ASSERT_TRUE(bulk->Commit({.sync = true}).ok());
  }
  Put("b", "x", 0.5f);
  auto crashed = OpenAsCrashed();
  ASSERT_TRUE(crashed.ok()) << crashed.status().ToString();
  auto txn = *(*crashed)->Begin();
  EXPECT_GT(txn->KeyFor("new", NodeUuid(*SpaceId::Parse("default"), "new"))->value, 5u);
}

// The waiter that makes a change of mode visible need not be the one that made it.
TEST_F(StoreTest, AModeIsKnownOnceItIsVisible) {
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    while (!done) IgnoreError(store_->WaitDurable(Lsn{store_->Info().log.records}), "it tries");
  });
  for (int i = 0; i < 300; ++i) {
    const Mode mode = i % 2 == 0 ? Mode::kDualWrite : Mode::kLegacy;
    auto txn = *store_->Begin();
    ASSERT_TRUE(txn->SetMode(mode).ok());
    const Lsn lsn = *txn->Stage();
    txn.reset();
    ASSERT_TRUE(store_->WaitDurable(lsn).ok());
    ASSERT_EQ(store_->mode(), mode) << i;
  }
  done = true;
  waiter.join();
}

TEST_F(StoreTest, ADeleteThatMeetsAMissingNeighbourSaysThatTheStoreIsDamaged) {
  Put("a", "x", 0.5f);
  Put("b", "x", 0.5f);
  {
    auto txn = *store_->Begin();
    ASSERT_TRUE(txn->AddEdge(NodeKey{1}, NodeKey{2}, 0.5f).ok());
    const Lsn lsn = *txn->Stage();
    txn.reset();
    ASSERT_TRUE(store_->WaitDurable(lsn).ok());
  }
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  testing::PlantedFaults(dir_.path() + "/default/dual/store.1")
      .Remove(Table::kContent, EncodeU64Key(2));
  Open(Access::kReadWrite);
  const Status refused = (*store_->Begin())->RemoveRecord(NodeKey{1}, "a");
  EXPECT_EQ(refused.code(), StatusCode::kCorruption) << refused.ToString();
}

TEST_F(StoreTest, AMetaRowNeedsANameThatLmdbTakes) {
  auto txn = *store_->Begin();
  EXPECT_EQ(txn->SetMeta(std::string(512, 'm'), "x").code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(txn->SetMeta(std::string(511, 'm'), "x").ok());
}

TEST_F(StoreTest, AConversionThatChangesContentIsRefused) {
  const Lsn seq = Put("a", "1", 0.5f);
  auto record = *(*store_->View().value()).Record(NodeKey{1});
  DualHead head;
  head.common = record->old_head->common;
  head.common.digest[0] ^= 1;
  auto bulk = store_->BeginBulk();
  ASSERT_TRUE(bulk.ok());
  EXPECT_EQ((*bulk)->InstallDualHead(record->key, seq, head).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(StoreTest, AMissingStoreFileBesideALogIsRefusedNotReplaced) {
  Put("a", "1", 0.5f);
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  const std::string dual = dir_.path() + "/default/dual";
  std::filesystem::rename(dual + "/STORE", dir_.path() + "/STORE");
  StoreOptions options;
  options.directory = dual;
  options.space = "default";
  options.access = Access::kCreate;
  options.map_size_bytes = 1u << 30;
  EXPECT_EQ(Store::Open({}, options).status().code(), StatusCode::kCorruption);
  std::filesystem::rename(dir_.path() + "/STORE", dual + "/STORE");
  Open(Access::kReadWrite);
  EXPECT_EQ(Content("a"), "1");
}

TEST_F(StoreTest, TheModeChangesWhenItsRecordIsDurable) {
  auto txn = store_->Begin();
  ASSERT_TRUE((*txn)->SetMode(Mode::kDual).ok());
  const Lsn lsn = *(*txn)->Stage();
  EXPECT_EQ(store_->mode(), Mode::kLegacy);
  ASSERT_TRUE(store_->WaitDurable(lsn).ok());
  EXPECT_EQ(store_->mode(), Mode::kDual);
}

class NoWaitTest : public StoreTest {
 protected:
  // An edge, so that the write needs nothing else.
  Result<Lsn> StageAtOnce() {
    ENGRAM_ASSIGN_OR_RETURN(auto txn, store_->Begin({.wait = false}));
    ENGRAM_TRY(txn->AddEdge(NodeKey{1}, NodeKey{1}, 0.5f));
    return txn->Stage();
  }
  StatusCode CodeAtOnce() { return StageAtOnce().status().code(); }
};

TEST_F(NoWaitTest, AWriteThatMayNotWaitIsStagedLikeAnyOther) {
  Put("a", "1", 0.5f);
  const auto lsn = StageAtOnce();
  ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
  EXPECT_EQ(Count().edges, 0u);
  ASSERT_TRUE(store_->WaitDurable(*lsn).ok());
  EXPECT_EQ(Count().edges, 1u);
}

TEST_F(NoWaitTest, ItIsBusyBesideAnotherWriter) {
  Put("a", "1", 0.5f);
  std::promise<void> begun, end;
  std::thread other([&] {
    const auto txn = store_->Begin();
    begun.set_value();
    end.get_future().wait();
  });
  begun.get_future().wait();
  EXPECT_EQ(CodeAtOnce(), StatusCode::kBusy);
  end.set_value();
  other.join();
  EXPECT_EQ(CodeAtOnce(), StatusCode::kOk);
}

TEST_F(NoWaitTest, ItIsBusyWhereItWouldHaveToFlushABatch) {
  Put("a", "1", 0.5f);
  {
    auto bulk = *store_->BeginBulk();
    ASSERT_TRUE(bulk->SetMeta("note", "1").ok());
    ASSERT_TRUE(bulk->Commit({}).ok());
  }
  EXPECT_EQ(CodeAtOnce(), StatusCode::kBusy);
  Put("b", "2", 0.5f);
  EXPECT_EQ(CodeAtOnce(), StatusCode::kOk);
}

TEST_F(StoreTest, EdgesAreDroppedWithTheirNodeBothWays) {
  Put("a", "1", 0.5f);
  Put("b", "2", 0.5f);
  auto txn = store_->Begin();
  const NodeKey a = **(*txn)->view().FindId("a"), b = **(*txn)->view().FindId("b");
  ASSERT_TRUE((*txn)->AddEdge(a, b, 0.5f).ok());
  ASSERT_TRUE((*txn)->AddEdge(a, b, 0.25f).ok());
  ASSERT_TRUE((*txn)->AddEdge(b, b, 1.0f).ok());
  ASSERT_TRUE(store_->WaitDurable(*(*txn)->Stage()).ok());
  EXPECT_EQ((*store_->View())->OutEdges(a)->size(), 2u);
  EXPECT_EQ((*store_->View())->InEdges(b)->size(), 3u);
  EXPECT_EQ(Count().edges, 3u);
  txn->reset();
  Remove("b");
  EXPECT_EQ((*store_->View())->OutEdges(a)->size(), 0u);
  EXPECT_EQ(Count().edges, 0u);
  EXPECT_EQ((*store_->View())->Digests()->edges, LtHash());
}

// Whether the links before it are in LMDB, in the overlay or in the transaction, and the deletes.
TEST_F(StoreTest, ANewLinkIsNumberedAfterTheLastOneThatIsLeft) {
  for (const char* id : {"a", "b", "c", "d"}) Put(id, "node", 0.5f);
  const NodeKey a{1}, b{2}, c{3}, d{4};
  const auto edit = [this](const auto& change) {
    auto txn = store_->Begin();
    change(**txn);
    ASSERT_TRUE(store_->WaitDurable(*(*txn)->Stage()).ok());
  };
  const auto ordinals = [this](NodeKey source) {
    std::vector<uint64_t> out;
    const auto edges = (*store_->View())->OutEdges(source);
    for (const Neighbour& edge : *edges) out.push_back(edge.ordinal);
    return out;
  };
  using Ordinals = std::vector<uint64_t>;
  const auto add = [](WriteTxn& txn, NodeKey from, NodeKey to) {
    ASSERT_TRUE(txn.AddEdge(from, to, 0.5f).ok());
  };
  for (const NodeKey source : {b, c}) {
    const auto drain = [this, source, c] {
      if (source == c) {
        ASSERT_TRUE(store_->Drain({}).ok());
      }
    };
    edit([&](WriteTxn& txn) {
      for (const NodeKey from : {a, source, d}) {
        for (const NodeKey to : {a, d, a}) add(txn, from, to);
      }
    });
    EXPECT_EQ(ordinals(source), (Ordinals{1, 2, 3}));
    drain();
    edit([&](WriteTxn& txn) { ASSERT_EQ(*txn.RemoveEdges(source, a), 2u); });
    edit([&](WriteTxn& txn) { add(txn, source, a); });
    EXPECT_EQ(ordinals(source), (Ordinals{2, 3}));
    drain();
    edit([&](WriteTxn& txn) {
      ASSERT_EQ(*txn.RemoveEdges(source, a), 1u);
      add(txn, source, b);
      add(txn, source, b);
      ASSERT_EQ(*txn.RemoveEdges(source, d), 1u);
      ASSERT_EQ(*txn.RemoveEdges(source, b), 2u);
      add(txn, source, b);
    });
    EXPECT_EQ(ordinals(source), (Ordinals{1}));
  }
}

TEST_F(StoreTest, CompactionKeepsTheDigestAndDropsOldHeadsOnlyWhenTold) {
  for (int i = 0; i < 20; ++i) Put("m" + std::to_string(i), "v", 0.5f, true);
  const Sha256Digest digest = Digest();
  auto report = store_->Compact({});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->digest_before, digest);
  EXPECT_EQ(Digest(), digest);
  CompactOptions finalize;
  finalize.drop_old_heads = true;
  ASSERT_TRUE(store_->Compact(finalize).ok());
  EXPECT_EQ(store_->mode(), Mode::kFinalized);
  EXPECT_EQ(Digest(), digest);
  EXPECT_EQ(Content("m3"), "v");
  ASSERT_TRUE(store_->Close().ok());
  Open(Access::kReadWrite);
  EXPECT_EQ(Digest(), digest);
  EXPECT_EQ(store_->mode(), Mode::kFinalized);
}

TEST_F(StoreTest, SearchSeesAppliedAndUnappliedRecords) {
  Put("a", "1", 0.5f);
  ASSERT_TRUE(store_->Drain({}).ok());
  Put("b", "2", -0.5f);
  auto hits = store_->Search(Filled(1.0f), 10);
  ASSERT_TRUE(hits.ok()) << hits.status().ToString();
  ASSERT_EQ(hits->size(), 2u);
  EXPECT_NEAR((*hits)[0].score, 1.0f, 1e-5);
  EXPECT_NEAR((*hits)[1].score, -1.0f, 1e-5);
}

}  // namespace
}  // namespace engram::engine
