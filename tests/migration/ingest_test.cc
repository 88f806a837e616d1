#include "migration/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "compat/conversion.h"
#include "engine/rows.h"
#include "migration/source_registry.h"
#include "tests/migration/small_device.h"
#include "tests/testing/generated_log.h"
#include "tests/testing/temp_dir.h"

namespace engram::migration {
namespace {

using engine::Store;
using engram::testing::FixturePath;
using engram::testing::GenerateLog;
using engram::testing::IsMemoryEntry;
using engram::testing::LoadManifest;
using engram::testing::PayloadJson;
using engram::testing::PayloadOfEntry;
using engram::testing::ReadWholeFile;
using engram::testing::TempDir;
using nlohmann::json;
using ::testing::HasSubstr;

std::string HashOfTree(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    std::string line = std::to_string(entry.last_write_time().time_since_epoch().count());
    if (entry.is_regular_file()) line += ToHex(Sha256Of(AsBytes(ReadWholeFile(entry.path()))));
    files[entry.path()] = line;
  }
  std::string all;
  for (const auto& [path, line] : files) all += path + line;
  return ToHex(Sha256Of(AsBytes(all)));
}

class IngestTest : public ::testing::Test {
 protected:
  std::unique_ptr<Store> Open(const std::string& space,
                              engine::Access access = engine::Access::kCreate) {
    engine::StoreOptions options;
    std::filesystem::create_directories(directory_.Join(space));
    options.directory = directory_.Join(space) + "/dual";
    options.space = space;
    options.access = access;
    options.map_size_bytes = 4ull << 30;
    auto store = Store::Open({}, options);
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return std::move(*store);
  }
  static Source Discover(const std::string& root, std::optional<std::string> space = std::nullopt) {
    auto source = DiscoverSource(FileSystem::Posix(), root, space);
    EXPECT_TRUE(source.ok()) << source.status().ToString();
    return *source;
  }
  Result<IngestReport> TryIngest(Store* store, const Source& source, const SourceSpace& space) {
    return Ingest({}, store, source, space, options_, hooks_);
  }
  IngestReport MustIngest(Store* store, const Source& source, const SourceSpace& space) {
    auto report = TryIngest(store, source, space);
    EXPECT_TRUE(report.ok()) << report.status().ToString() << " " << report.status().hint();
    return report.ok() ? *report : IngestReport();
  }
  IngestReport MustIngest(Store* store, const std::string& root) {
    Source source = Discover(root, store->space());
    return MustIngest(store, source, source.spaces.at(0));
  }
  static std::string SpaceDigest(Store* store) {
    return ToHex((*(*store->Snapshot())->Digests()).SpaceDigest());
  }
  // Every record by id, as its canonical text with layout and tier.
  static std::map<std::string, std::string> Dump(Store* store) {
    std::map<std::string, std::string> out;
    auto view = std::move(*store->Snapshot());
    Status status =
        view->ScanIds(std::nullopt, [&](std::string_view id, NodeKey key) -> Result<bool> {
          ENGRAM_ASSIGN_OR_RETURN(auto record, view->Record(key));
          if (!record) return true;
          json fields = PayloadJson(MemoryOf(*record));
          fields["digest"] = ToHex(record->current().digest);
          fields["tier"] = static_cast<int>(record->current().tier);
          out[std::string(id)] = fields.dump(-1, ' ', false, json::error_handler_t::replace);
          return true;
        });
    EXPECT_TRUE(status.ok()) << status.ToString();
    return out;
  }
  static engine::Memory MemoryOf(const engine::StoredRecord& record) {
    engine::Memory memory;
    if (record.is_dual()) {
      compat::ToMemoryHead(record.dual_head->node, &memory);
    } else {
      memory = record.old_head->memory;
    }
    memory.text = record.text;
    return memory;
  }
  static void PutLocal(Store* store, const std::string& id, const std::string& content) {
    engine::Memory memory;
    memory.text.id = id;
    memory.text.content = content;
    memory.activation = 1;
    engine::Embedding embedding{};
    memory.embedding_sha256 =
        Sha256Of({reinterpret_cast<const uint8_t*>(embedding.data()), sizeof embedding});
    auto txn = std::move(*store->Begin());
    engine::WriteTxn::Record record;
    record.key = *txn->KeyFor(id, engine::NodeUuid(*SpaceId::Parse(store->space()), id));
    record.old_head = memory;
    record.text = &memory.text;
    record.embedding = &embedding;
    record.digest = compat::MemoryDigest(memory, {});
    record.activation = 1;
    ASSERT_TRUE(txn->PutRecord(record).ok());
    Lsn lsn = *txn->Stage();
    txn.reset();
    ASSERT_TRUE(store->WaitDurable(lsn).ok());
  }
  static void DeleteLocal(Store* store, const std::string& id) {
    auto txn = std::move(*store->Begin());
    auto key = *txn->view().FindId(id);
    ASSERT_TRUE(key.has_value());
    ASSERT_TRUE(txn->RemoveRecord(*key, id).ok());
    Lsn lsn = *txn->Stage();
    txn.reset();
    ASSERT_TRUE(store->WaitDurable(lsn).ok());
  }

  TempDir directory_;
  IngestOptions options_;
  IngestHooks hooks_;
};

class IngestFixture : public IngestTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // The stored record against the manifest's entry of the version that counts.
  static void CheckRecord(engine::ReadView& view, const std::string& id, const json& entry) {
    auto key = *view.FindId(id);
    ASSERT_TRUE(key.has_value()) << id;
    auto record = *view.Record(*key);
    ASSERT_TRUE(record.has_value()) << id;
    ASSERT_TRUE(record->old_head.has_value());
    engine::Memory memory = MemoryOf(*record);
    engine::Embedding embedding;
    ASSERT_TRUE(view.ReadEmbedding(record->current().vector_key, &embedding).ok());
    Bytes bytes(reinterpret_cast<const uint8_t*>(embedding.data()), sizeof embedding);
    EXPECT_EQ(Sha256Of(bytes), memory.embedding_sha256);
    json expected = PayloadOfEntry(entry);
    if (expected["type"] == 1) {
      EXPECT_EQ(engram::testing::FloatBits(memory.activation), expected["confidence_bits"][0]);
    }
    EXPECT_EQ(PayloadJson(memory), expected);
    EXPECT_EQ(record->current().digest, compat::MemoryDigest(memory, {}));
    EXPECT_EQ(record->current().tier, engine::TierOf(memory.activation));
  }
};

TEST_P(IngestFixture, ComesOutExactlyAndTheSecondTimeAddsNothing) {
  std::string fixture = GetParam();
  std::string root = FixturePath(fixture + "/data");
  std::string source_hash = HashOfTree(root);
  json manifest = LoadManifest(fixture + "/manifest.json");
  std::map<std::pair<std::string, uint64_t>, json> entries;
  for (const json& file : manifest["files"]) {
    for (const json& entry : file["records"]) entries[{file["path"], entry["offset"]}] = entry;
  }
  Source source = Discover(root);
  for (const SourceSpace& space : source.spaces) {
    SCOPED_TRACE(space.space);
    auto store = Open(space.space);
    IngestReport report = MustIngest(store.get(), source, space);
    std::string name = manifest["spaces"].contains(space.space) ? space.space : "(legacy layout)";
    const json& newest = manifest["spaces"][name]["newest"];
    EXPECT_EQ(report.found, newest.size());
    EXPECT_EQ(report.written, newest.size());
    EXPECT_EQ(report.origin, 1u);
    auto view = std::move(*store->Snapshot());
    EXPECT_EQ((*view->Count()).records, newest.size());
    EXPECT_EQ((*view->Count()).old, newest.size());
    for (const auto& [id, place] : newest.items()) {
      CheckRecord(*view, id, entries.at({place[0], place[1]}));
    }
    view.reset();
    EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));

    std::string before = SpaceDigest(store.get());
    Lsn lsn = (*store->View())->lsn();
    IngestReport again = MustIngest(store.get(), source, space);
    EXPECT_EQ(again.written, 0u);
    EXPECT_EQ(again.unchanged, newest.size());
    EXPECT_EQ(again.source_digest, report.source_digest);
    EXPECT_EQ(SpaceDigest(store.get()), before);
    EXPECT_EQ((*store->View())->lsn(), lsn);
    ASSERT_TRUE(store->Close().ok());
  }
  EXPECT_EQ(HashOfTree(root), source_hash) << "the source was touched";
}

INSTANTIATE_TEST_SUITE_P(All, IngestFixture,
                         ::testing::Values("all-types", "damaged", "duplicates", "grpc", "killed",
                                           "legacy-e0", "legacy-e2", "made-e1", "older-e2", "plain",
                                           "restart", "spaces"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A source of our own making, with versions, deletes, all layouts and all kinds of damage.
class IngestGenerated : public IngestTest {
 protected:
  std::string Generate(const std::string& name, const std::string& arguments) {
    std::string root = directory_.Join(name);
    manifest_ = GenerateLog(root, arguments);
    return root;
  }
  static constexpr const char* kEverything =
      "--records 1500 --versions 25 --deletes 10 --layouts E0,E1,E2,E3,M --damage all --seed 11";
  json manifest_;
};

TEST_F(IngestGenerated, MergedVersionsAgreeWithTheAuditDecoder) {
  std::string root = Generate("src", kEverything);
  options_.batch_size = 37;
  options_.workers = 3;
  auto store = Open("default");
  IngestReport report = MustIngest(store.get(), root);
  EXPECT_EQ(report.written, report.found);
  EXPECT_EQ(report.found, manifest_["spaces"]["default"]["newest"].size());
  EXPECT_GT(report.source.versions_superseded, 100u);
  EXPECT_GT(report.deleted, 10u);
  EXPECT_GE(report.source.damaged.size(), 11u);
  EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));
  EXPECT_EQ(Dump(store.get()).size(), report.found);
}

TEST_F(IngestGenerated, BatchesWorkersAndBudgetDoNotMatter) {
  std::string root = Generate("src", kEverything);
  auto one = Open("one");
  auto two = Open("two");
  Source source = Discover(root);
  source.spaces[0].space = "one";
  IngestReport first = MustIngest(one.get(), source, source.spaces[0]);
  options_.batch_size = 1;
  options_.workers = 4;
  options_.memory_budget_bytes = 1 << 20;
  IngestReport second = MustIngest(two.get(), source, source.spaces[0]);
  EXPECT_EQ(first.source_digest, second.source_digest);
  EXPECT_EQ(Dump(one.get()), Dump(two.get()));
}

TEST_F(IngestGenerated, ADryRunPredictsAndChangesNothing) {
  std::string root = Generate("src", kEverything);
  Source source = Discover(root);
  options_.dry_run = true;
  auto prediction = TryIngest(nullptr, source, source.spaces[0]);
  ASSERT_TRUE(prediction.ok()) << prediction.status().ToString();
  EXPECT_FALSE(std::filesystem::exists(directory_.Join("default")));
  auto store = Open("default");
  std::string before = HashOfTree(directory_.path());
  auto with_store = TryIngest(store.get(), source, source.spaces[0]);
  ASSERT_TRUE(with_store.ok());
  EXPECT_EQ(HashOfTree(directory_.path()), before);
  options_.dry_run = false;
  IngestReport report = MustIngest(store.get(), source, source.spaces[0]);
  EXPECT_EQ(prediction->found, report.found);
  EXPECT_EQ(prediction->written, report.written);
  EXPECT_EQ(prediction->source_digest, report.source_digest);
  EXPECT_EQ(with_store->source_digest, report.source_digest);
  EXPECT_EQ(prediction->bytes_predicted, report.bytes_predicted);
  EXPECT_GT(prediction->seconds_predicted, 0);
  EXPECT_NEAR(static_cast<double>(report.bytes_written),
              static_cast<double>(report.bytes_predicted), 0.25 * report.bytes_predicted);
}

TEST_F(IngestGenerated, CancelledAtAnyPointTheNextRunEndsTheSame) {
  std::string root = Generate("src", kEverything);
  Source source = Discover(root);
  auto reference = Open("reference");
  source.spaces[0].space = "reference";
  IngestReport whole = MustIngest(reference.get(), source, source.spaces[0]);
  auto expected = Dump(reference.get());
  options_.batch_size = 20;
  options_.checkpoint_interval = 64;
  for (uint64_t stop_after = 1; stop_after < 60; stop_after += 7) {
    SCOPED_TRACE(stop_after);
    std::string space = "space" + std::to_string(stop_after);
    auto store = Open(space);
    std::atomic<bool> cancel = false;
    uint64_t batches = 0;
    uint64_t checkpointed = 0;
    hooks_.cancel = &cancel;
    hooks_.throttle = [&](uint64_t) {
      if (++batches == stop_after) cancel = true;
      return Status::Ok();
    };
    hooks_.checkpoint = [&](uint64_t done, const Sha256Digest& hash) {
      EXPECT_GE(done, checkpointed);
      EXPECT_EQ(hash, whole.source_hash);
      checkpointed = done;
      return Status::Ok();
    };
    Status status = TryIngest(store.get(), source, source.spaces[0]).status();
    bool finished = batches < stop_after;
    EXPECT_EQ(status.code(), finished ? StatusCode::kOk : StatusCode::kCancelled);
    hooks_ = {};
    ASSERT_TRUE(store->Close().ok());
    store = Open(space, engine::Access::kReadWrite);
    uint64_t present = Dump(store.get()).size();
    EXPECT_EQ(present, finished ? whole.found : checkpointed) << "what the checkpoint claims";
    IngestReport rest = MustIngest(store.get(), source, source.spaces[0]);
    EXPECT_EQ(rest.continued, !finished);
    EXPECT_EQ(rest.written, whole.found - present);
    EXPECT_EQ(rest.unchanged, present);
    EXPECT_EQ(ToHex(rest.source_digest), SpaceDigest(store.get()));
    EXPECT_EQ(rest.source_digest, whole.source_digest);
    EXPECT_EQ(Dump(store.get()), expected);
  }
}

TEST_F(IngestGenerated, AFailedHookStopsTheRunAndLosesNothing) {
  std::string root = Generate("src", "--records 300 --seed 2");
  auto store = Open("default");
  Source source = Discover(root);
  hooks_.throttle = [](uint64_t) { return Status::Io("no more"); };
  EXPECT_EQ(TryIngest(store.get(), source, source.spaces[0]).status().code(), StatusCode::kIo);
  hooks_ = {};
  IngestReport report = MustIngest(store.get(), source, source.spaces[0]);
  EXPECT_EQ(report.found, 300u);
  EXPECT_EQ(Dump(store.get()).size(), 300u);
}

// A source that changes between two runs.
class IngestChanging : public IngestTest {
 protected:
  static constexpr const char* kLog = "wal/wal-0000000000000010.log";
  void Write(const std::string& relative, const std::string& bytes) {
    std::filesystem::path path = std::filesystem::path(directory_.Join("src")) / relative;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  static std::string Episode(const std::string& id, const std::string& what, float vector = 1) {
    engine::Memory memory;
    memory.layout = engine::Layout::kE3;
    memory.text.id = id;
    memory.text.content = what;
    memory.when.emplace();
    memory.last_recall.emplace();
    memory.recall_count = 0;
    memory.confidence_encoding = 0.5f;
    memory.confidence_vividness = 0.5f;
    memory.confidence_reliability = 0.5f;
    std::string embedding, payload, record;
    for (uint32_t i = 0; i < engine::kEmbeddingDimension; ++i) PutLe(&embedding, vector);
    EXPECT_TRUE(compat::EncodeUpstreamPayload(memory, AsBytes(embedding), &payload).ok());
    compat::EncodeUpstreamRecord(1, 2, 1, AsBytes(payload), &record);
    return record;
  }
  static std::string Delete(const std::string& id) {
    std::string record;
    compat::EncodeUpstreamRecord(1, 2, 3, AsBytes(id), &record);
    return record;
  }
  std::string Root() { return directory_.Join("src"); }
  static std::optional<std::string> ContentOf(Store* store, const std::string& id) {
    auto view = std::move(*store->View());
    auto key = *view->FindId(id);
    if (!key) return std::nullopt;
    auto record = *view->Record(*key);
    return record ? record->text.content : std::nullopt;
  }
};

// While it waits for its rate everything that it wrote is committed, and others may write.
TEST_F(IngestChanging, NoTransactionIsOpenWhileAnIngestWaits) {
  std::string log;
  for (int i = 0; i < 60; ++i) log += Episode("e" + std::to_string(i), "text");
  Write(kLog, log);
  auto store = Open("space");
  options_.batch_size = 10;
  uint64_t asked = 0;
  hooks_.waits = [] { return true; };
  hooks_.throttle = [&](uint64_t records) -> Status {
    EXPECT_EQ((*(*store->View())->Count()).records, asked);
    asked += records;
    return Status::Ok();
  };
  const Source source = Discover(Root());
  MustIngest(store.get(), source, source.spaces.at(0));
  EXPECT_EQ(asked, 60u);
}

TEST_F(IngestChanging, AGrownSourceAddsReplacesAndRemovesOnlyWhatChanged) {
  std::string before = Episode("a", "1") + Episode("b", "1") + Episode("c", "1");
  Write(kLog, before);
  auto store = Open("default");
  EXPECT_EQ(MustIngest(store.get(), Root()).written, 3u);
  Write(kLog, before + Episode("b", "2") + Delete("c"));
  Write("wal/wal-0000000000000011.log", Episode("d", "1"));
  IngestReport report = MustIngest(store.get(), Root());
  EXPECT_EQ(report.origin, 1u);
  EXPECT_EQ(report.written, 2u);
  EXPECT_EQ(report.removed, 1u);
  EXPECT_EQ(report.unchanged, 1u);
  EXPECT_EQ(report.found, 3u);
  EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));
  EXPECT_EQ(ContentOf(store.get(), "a"), "1");
  EXPECT_EQ(ContentOf(store.get(), "b"), "2");
  EXPECT_EQ(ContentOf(store.get(), "c"), std::nullopt);
  EXPECT_EQ(ContentOf(store.get(), "d"), "1");
  EXPECT_EQ((*(*store->View())->Count()).records, 3u);
  Write("wal/wal-0000000000000012.log", Episode("c", "again"));
  EXPECT_EQ(MustIngest(store.get(), Root()).written, 1u);
  EXPECT_EQ(ContentOf(store.get(), "c"), "again");
}

TEST_F(IngestChanging, ARewrittenSourceIsRefusedWithTheReason) {
  Write(kLog, Episode("a", "1") + Episode("b", "1"));
  auto store = Open("default");
  MustIngest(store.get(), Root());
  std::string before = SpaceDigest(store.get());
  Source source = Discover(Root());
  Write(kLog, Episode("a", "other") + Episode("b", "1") + Episode("c", "1"));
  Status status = TryIngest(store.get(), Discover(Root()), Discover(Root()).spaces[0]).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(kLog));
  EXPECT_FALSE(status.hint().empty());
  Write(kLog, Episode("a", "1"));
  status = TryIngest(store.get(), Discover(Root()), Discover(Root()).spaces[0]).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << "a file that shrank";
  EXPECT_EQ(SpaceDigest(store.get()), before);
}

TEST_F(IngestChanging, ALogMovedToAnArchiveAndACopyOfTheSourceAreTheSameSource) {
  std::string bytes = Episode("a", "1") + Episode("b", "1");
  Write(kLog, bytes);
  auto store = Open("default");
  MustIngest(store.get(), Root());
  std::filesystem::copy(Root(), directory_.Join("copy"), std::filesystem::copy_options::recursive);
  IngestReport copy = MustIngest(store.get(), directory_.Join("copy"));
  EXPECT_EQ(copy.origin, 1u);
  EXPECT_EQ(copy.written, 0u);
  std::filesystem::remove(std::filesystem::path(directory_.Join("copy")) / kLog);
  Write("../copy/wal/.archive-1/wal-0000000000000010.log", bytes);
  Write("../copy/wal/wal-0000000000000012.log", Episode("c", "1"));
  IngestReport moved = MustIngest(store.get(), directory_.Join("copy"));
  EXPECT_EQ(moved.origin, 1u);
  EXPECT_EQ(moved.written, 1u);
}

TEST_F(IngestChanging, WhatWasWrittenOrDeletedHereIsNeverChanged) {
  Write(kLog, Episode("a", "1") + Episode("b", "1") + Episode("c", "1"));
  auto store = Open("default");
  PutLocal(store.get(), "a", "mine");
  IngestReport report = MustIngest(store.get(), Root());
  EXPECT_EQ(report.kept_local, 1u);
  EXPECT_EQ(report.written, 2u);
  EXPECT_EQ(ContentOf(store.get(), "a"), "mine");
  EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));
  DeleteLocal(store.get(), "b");
  PutLocal(store.get(), "c", "mine too");
  Write("wal/wal-0000000000000011.log",
        Episode("a", "2") + Episode("b", "2") + Delete("c") + Episode("d", "1"));
  report = MustIngest(store.get(), Root());
  EXPECT_EQ(report.written, 1u);
  EXPECT_EQ(report.removed, 0u);
  EXPECT_EQ(ContentOf(store.get(), "a"), "mine");
  EXPECT_EQ(ContentOf(store.get(), "b"), std::nullopt);
  EXPECT_EQ(ContentOf(store.get(), "c"), "mine too");
  EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));
}

TEST_F(IngestChanging, WritesBetweenTheBatchesWin) {
  std::string bytes;
  for (int i = 0; i < 200; ++i) bytes += Episode("id" + std::to_string(i), "source");
  Write(kLog, bytes);
  auto store = Open("default");
  options_.batch_size = 10;
  options_.checkpoint_interval = 1;
  int commits = 0;
  hooks_.checkpoint = [&](uint64_t, const Sha256Digest&) {
    if (commits++ == 0) {
      PutLocal(store.get(), "id150", "mine");
      PutLocal(store.get(), "id160", "mine");
      DeleteLocal(store.get(), "id160");
      DeleteLocal(store.get(), "id3");
    }
    return Status::Ok();
  };
  IngestReport report = MustIngest(store.get(), Root());
  EXPECT_GT(commits, 1);
  EXPECT_EQ(ContentOf(store.get(), "id150"), "mine");
  EXPECT_EQ(ContentOf(store.get(), "id160"), std::nullopt);
  EXPECT_EQ(ContentOf(store.get(), "id3"), std::nullopt);
  EXPECT_EQ(ContentOf(store.get(), "id199"), "source");
  EXPECT_EQ((*(*store->View())->Count()).records, 198u);
  EXPECT_EQ(report.kept_local, 2u);
  EXPECT_EQ(report.written, 198u);
  EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));
}

TEST_F(IngestChanging, ALaterSourceWinsAndTheEarlierOneDoesNotTakeItBack) {
  Write(kLog, Episode("a", "1") + Episode("b", "1"));
  auto store = Open("default");
  MustIngest(store.get(), Root());
  Write("../second/wal/wal-0000000000000001.log", Episode("b", "2") + Episode("c", "2"));
  IngestReport second = MustIngest(store.get(), directory_.Join("second"));
  EXPECT_EQ(second.origin, 2u);
  EXPECT_EQ(second.written, 2u);
  EXPECT_EQ(ContentOf(store.get(), "b"), "2");
  IngestReport first = MustIngest(store.get(), Root());
  EXPECT_EQ(first.origin, 1u);
  EXPECT_EQ(first.written, 0u);
  EXPECT_EQ(first.kept_local, 1u);
  EXPECT_EQ(ContentOf(store.get(), "b"), "2");
  EXPECT_EQ(ToHex(first.source_digest), SpaceDigest(store.get()));
}

TEST_F(IngestChanging, UndecodableRecordsAreKeptVerbatim) {
  std::string good = Episode("a", "1");
  std::string unknown;
  compat::EncodeUpstreamRecord(9, 9, 77, AsBytes("whatever"), &unknown);
  std::string broken;
  compat::EncodeUpstreamRecord(9, 9, 1, AsBytes("broken"), &broken);
  Write(kLog, good + unknown + broken);
  auto store = Open("default");
  IngestReport report = MustIngest(store.get(), Root());
  ASSERT_EQ(report.source.quarantined.size(), 2u);
  auto view = std::move(*store->View());
  std::vector<std::string> values;
  ASSERT_TRUE(view->ScanTable(engine::Table::kQuarantine, {},
                              [&](Bytes key, Bytes value) -> Result<bool> {
                                ENGRAM_ASSIGN_OR_RETURN(Bytes body,
                                                        engine::DecodeChecked(key, value));
                                values.emplace_back(AsView(body));
                                return true;
                              })
                  .ok());
  ASSERT_EQ(values.size(), 2u);
  EXPECT_THAT(values[0] + values[1], HasSubstr(unknown));
  EXPECT_THAT(values[0] + values[1], HasSubstr(broken));
  EXPECT_EQ(ToHex(report.source_digest), SpaceDigest(store.get()));
}

TEST_F(IngestChanging, NotEnoughRoomIsSaidBeforeAnythingIsWritten) {
  Write(kLog, Episode("a", "1") + Episode("b", "1"));
  auto store = Open("default");
  SmallDevice fs(5000, [](const std::string&) { return true; });
  options_.store_directory = directory_.Join("default/dual");
  Source source = Discover(Root());
  engine::Environment environment{.fs = fs};
  Status status =
      Ingest(environment, store.get(), source, source.spaces[0], options_, hooks_).status();
  EXPECT_EQ(status.code(), StatusCode::kFull);
  EXPECT_THAT(status.message(), HasSubstr("needs"));
  EXPECT_THAT(status.message(), HasSubstr("has 5000"));
  EXPECT_EQ(Dump(store.get()).size(), 0u);
}

TEST_F(IngestChanging, AFinalizedSpaceTakesNothingNewButKnowsWhatItHas) {
  Write(kLog, Episode("a", "1"));
  auto store = Open("default");
  MustIngest(store.get(), Root());
  auto txn = std::move(*store->Begin());
  ASSERT_TRUE(txn->SetMode(engine::Mode::kFinalized).ok());
  Lsn lsn = *txn->Stage();
  txn.reset();
  ASSERT_TRUE(store->WaitDurable(lsn).ok());
  EXPECT_EQ(MustIngest(store.get(), Root()).unchanged, 1u);
  Write("wal/wal-0000000000000011.log", Episode("b", "1"));
  Source source = Discover(Root());
  Status status = TryIngest(store.get(), source, source.spaces[0]).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("finalized"));
  EXPECT_EQ(ContentOf(store.get(), "b"), std::nullopt);
}

TEST_F(IngestChanging, HostileIdsComeThrough) {
  std::vector<std::string> ids = {"",
                                  std::string("nul\0nul", 7),
                                  std::string(440, 'k'),
                                  std::string(441, 'k'),
                                  std::string(441, 'k') + "2",
                                  std::string(70000, 'x'),
                                  "../../etc",
                                  "\xE6\x9D\xB1"};
  std::string bytes;
  for (const std::string& id : ids) bytes += Episode(id, "of " + std::to_string(id.size()));
  Write(kLog, bytes);
  auto store = Open("default");
  EXPECT_EQ(MustIngest(store.get(), Root()).written, ids.size());
  for (const std::string& id : ids) {
    EXPECT_EQ(ContentOf(store.get(), id), "of " + std::to_string(id.size()));
  }
}

TEST(SourceRegistry, ADamagedOrForeignRowIsRefused) {
  KnownSource source{3, true, "/a", {{"x/wal-1.log", 5, {}}}};
  std::string row = EncodeKnownSource(source);
  auto decoded = DecodeKnownSource(3, row);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->extents, source.extents);
  EXPECT_TRUE(decoded->complete);
  for (size_t size = 0; size < row.size(); ++size) {
    EXPECT_FALSE(DecodeKnownSource(3, row.substr(0, size)).ok());
  }
  EXPECT_EQ(DecodeKnownSource(3, row + "x").status().code(), StatusCode::kCorruption);
  row[0] = 2;
  EXPECT_EQ(DecodeKnownSource(3, row).status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace engram::migration
