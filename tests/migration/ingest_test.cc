#include "migration/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "compat/conversion.h"
#include "engine/rows.h"
#include "migration/source_registry.h"
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
    ASSERT_TRUE(txn->RemoveRecord(*key).ok());
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

}  // namespace
}  // namespace engram::migration
