// The store's files: who may open them, what is refused, and what stays as it was.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/crc32c.h"
#include "base/crypto.h"
#include "engine/internal/lmdb.h"
#include "engine/store.h"
#include "tests/testing/record_generator.h"
#include "tests/testing/temp_dir.h"

namespace engram::engine {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteAll(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Every file below a directory with its bytes; LMDB's reader table is allowed to change.
std::map<std::string, std::string> Tree(const std::string& directory) {
  std::map<std::string, std::string> tree;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename() == "lock.mdb") continue;
    tree[entry.path()] = entry.is_regular_file() ? ReadAll(entry.path()) : "";
  }
  return tree;
}

class StoreFilesTest : public ::testing::Test {
 protected:
  StoreFilesTest() : dir_(engram::testing::TempDir::InMemory()), dual_(dir_.Join("default/dual")) {}

  StoreOptions Options(Access access) const {
    StoreOptions options;
    options.directory = dual_;
    options.space = "default";
    options.access = access;
    options.map_size_bytes = map_size_bytes_;
    options.background_apply = false;
    options.log.io = wal::LogIo::kPwrite;
    options.log.segment_size_bytes_min = 1u << 16;
    return options;
  }
  Result<std::unique_ptr<Store>> TryOpen(Access access) const {
    return Store::Open({}, Options(access));
  }
  std::unique_ptr<Store> Open(Access access) const {
    auto store = TryOpen(access);
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return store.ok() ? std::move(*store) : nullptr;
  }
  Status Refusal(Access access) const {
    auto store = TryOpen(access);
    EXPECT_FALSE(store.ok());
    return store.status();
  }
  static Result<Lsn> TryPut(Store& store, const std::string& id) {
    Memory memory = engram::testing::GoldenMemory();
    memory.text.id = id;
    const Embedding embedding = engram::testing::GoldenEmbedding();
    memory.embedding_sha256 = engram::testing::HashOf(embedding);
    ENGRAM_ASSIGN_OR_RETURN(auto txn, store.Begin());
    WriteTxn::Record record;
    ENGRAM_ASSIGN_OR_RETURN(record.key, txn->KeyFor(id, NodeUuid(*SpaceId::Parse("default"), id)));
    record.old_head = memory;
    record.text = &memory.text;
    record.embedding = &embedding;
    record.digest = Sha256Of(AsBytes(id));
    record.activation = memory.activation;
    ENGRAM_TRY(txn->PutRecord(record));
    ENGRAM_ASSIGN_OR_RETURN(const Lsn lsn, txn->Stage());
    txn.reset();
    ENGRAM_TRY(store.WaitDurable(lsn));
    return lsn;
  }
  static void Put(Store& store, const std::string& id) {
    auto lsn = TryPut(store, id);
    ASSERT_TRUE(lsn.ok()) << lsn.status().ToString();
  }
  static uint64_t CountOf(Store& store) { return (*store.View())->Count()->records; }
  static std::string DigestOf(Store& store) {
    return ToHex((*store.View())->Digests()->SpaceDigest());
  }
  // A closed store with one record.
  void MakeStore() const {
    auto store = Open(Access::kCreate);
    Put(*store, "a");
    ASSERT_TRUE(store->Close().ok());
  }
  // Runs `body` in a child process; true if it returned true there.
  template <typename Body>
  static bool InChild(const Body& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body() ? 0 : 1);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  engram::testing::TempDir dir_;
  const std::string dual_;
  uint64_t map_size_bytes_ = 256u << 20;
};

TEST_F(StoreFilesTest, AWriterKeepsEveryOtherProcessOutAndNamesItself) {
  auto store = Open(Access::kCreate);
  Put(*store, "a");
  for (Access access : {Access::kCreate, Access::kReadWrite, Access::kReadOnly}) {
    const std::string pid = std::to_string(getpid());
    EXPECT_TRUE(InChild([&] {
      auto second = TryOpen(access);
      return second.status().code() == StatusCode::kBusy && !second.status().hint().empty() &&
             second.status().message().find("pid " + pid) != std::string::npos;
    }));
  }
  EXPECT_EQ(CountOf(*store), 1u);
}

TEST_F(StoreFilesTest, ReadersShareTheLeaseAndKeepAWriterOut) {
  MakeStore();
  auto reader = Open(Access::kReadOnly);
  EXPECT_TRUE(InChild([&] { return TryOpen(Access::kReadOnly).ok(); }));
  EXPECT_TRUE(
      InChild([&] { return TryOpen(Access::kReadWrite).status().code() == StatusCode::kBusy; }));
  reader.reset();
  EXPECT_TRUE(InChild([&] { return TryOpen(Access::kReadWrite).ok(); }));
}

TEST_F(StoreFilesTest, TheLeaseOfAKilledProcessIsFree) {
  MakeStore();
  const pid_t child = fork();
  if (child == 0) {
    auto store = TryOpen(Access::kReadWrite);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(CountOf(*Open(Access::kReadWrite)), 1u);
}

TEST_F(StoreFilesTest, AReadOnlyOpenChangesNoByteAndServesWhatIsNotApplied) {
  MakeStore();
  // A process that dies with a write in the log alone.
  ASSERT_TRUE(InChild([&] {
    auto store = TryOpen(Access::kReadWrite);
    const bool written = store.ok() && TryPut(**store, "b").ok();
    store->release();  // no Close()
    return written;
  }));
  const auto before = Tree(dual_);
  std::string digest;
  {
    auto reader = Open(Access::kReadOnly);
    EXPECT_EQ(CountOf(*reader), 2u);
    EXPECT_EQ(reader->recovery().records_replayed, 1u);
    digest = DigestOf(*reader);
    EXPECT_EQ(reader->Begin().status().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(reader->BeginBulk().status().code(), StatusCode::kFailedPrecondition);
    EXPECT_TRUE(reader->Close().ok());
  }
  EXPECT_EQ(Tree(dual_), before);
  EXPECT_EQ(DigestOf(*Open(Access::kReadWrite)), digest);
}

TEST_F(StoreFilesTest, AMissingStoreIsNotFoundAndNothingIsCreated) {
  for (Access access : {Access::kReadWrite, Access::kReadOnly}) {
    const Status refused = Refusal(access);
    EXPECT_EQ(refused.code(), StatusCode::kNotFound);
    EXPECT_THAT(refused.message(), HasSubstr(dual_));
    EXPECT_FALSE(refused.hint().empty());
    EXPECT_FALSE(fs::exists(dual_));
  }
}

TEST_F(StoreFilesTest, EveryFlippedByteOfStoreIsRefused) {
  MakeStore();
  const std::string good = ReadAll(dual_ + "/STORE");
  ASSERT_EQ(good.size(), 64u);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 0x40;
    WriteAll(dual_ + "/STORE", bad);
    const Status refused = Refusal(Access::kReadWrite);
    EXPECT_TRUE(refused.code() == StatusCode::kCorruption ||
                refused.code() == StatusCode::kUnsupported)
        << i << ": " << refused.ToString();
    EXPECT_THAT(refused.message(), HasSubstr(dual_ + "/STORE")) << i;
  }
  for (size_t size : {0u, 7u, 63u}) {
    WriteAll(dual_ + "/STORE", good.substr(0, size));
    EXPECT_EQ(Refusal(Access::kReadWrite).code(), StatusCode::kCorruption) << size;
  }
  WriteAll(dual_ + "/STORE", good);
  EXPECT_EQ(CountOf(*Open(Access::kReadWrite)), 1u);
}

TEST_F(StoreFilesTest, ANewerStoreVersionIsRefusedAndStaysAsItIs) {
  MakeStore();
  std::string newer = ReadAll(dual_ + "/STORE");
  newer[8] = 2;
  const uint32_t crc = Crc32c(AsBytes(newer).first(60));
  StoreLe(&newer[60], crc);
  WriteAll(dual_ + "/STORE", newer);
  const auto before = Tree(dual_ + "/store.1");
  for (Access access : {Access::kCreate, Access::kReadWrite, Access::kReadOnly}) {
    EXPECT_EQ(Refusal(access).code(), StatusCode::kUnsupported);
  }
  EXPECT_EQ(ReadAll(dual_ + "/STORE"), newer);
  EXPECT_EQ(Tree(dual_ + "/store.1"), before);
}

TEST_F(StoreFilesTest, ANewerTableVersionIsRefused) {
  MakeStore();
  {
    auto environment =
        lmdb::Environment::Open({.path = dual_ + "/store.1", .map_size_bytes = map_size_bytes_});
    ASSERT_TRUE(environment.ok());
    auto txn = (*environment)->BeginWrite();
    ASSERT_TRUE(txn.ok());
    const Bytes key = AsBytes(std::string_view("engine.table_version"));
    std::string version, row;
    PutLe<uint64_t>(&version, 2);
    EncodeChecked(key, AsBytes(version), &row);
    ASSERT_TRUE((*txn)->Put(Table::kMeta, key, AsBytes(row)).ok());
    ASSERT_TRUE((*txn)->Commit().ok());
  }
  EXPECT_EQ(Refusal(Access::kReadWrite).code(), StatusCode::kUnsupported);
  EXPECT_EQ(Refusal(Access::kReadOnly).code(), StatusCode::kUnsupported);
}

TEST_F(StoreFilesTest, GenerationsThatStoreDoesNotNameAreRemovedByAWriterOnly) {
  MakeStore();
  fs::create_directory(dual_ + "/store.2");
  WriteAll(dual_ + "/store.2/data.mdb", "half a compaction");
  Open(Access::kReadOnly);
  EXPECT_TRUE(fs::exists(dual_ + "/store.2/data.mdb"));
  auto store = Open(Access::kReadWrite);
  EXPECT_FALSE(fs::exists(dual_ + "/store.2"));
  EXPECT_EQ(CountOf(*store), 1u);
}

TEST_F(StoreFilesTest, AMissingEnvironmentIsCorruptionAndIsNotMadeAgain) {
  MakeStore();
  fs::remove(dual_ + "/store.1/data.mdb");
  const Status refused = Refusal(Access::kReadWrite);
  EXPECT_EQ(refused.code(), StatusCode::kCorruption) << refused.ToString();
  EXPECT_THAT(refused.message(), HasSubstr("store.1"));
  EXPECT_FALSE(fs::exists(dual_ + "/store.1/data.mdb"));
}

TEST_F(StoreFilesTest, AFullMapIsFullAndALargerMapGoesOnWithEverything) {
  map_size_bytes_ = 1u << 20;
  auto store = Open(Access::kCreate);
  uint64_t acknowledged = 0;
  Status full;
  while (full.ok() && acknowledged < 2000) {
    auto lsn = TryPut(*store, "m" + std::to_string(acknowledged));
    full = lsn.status();
    acknowledged += lsn.ok();
    if (full.ok() && acknowledged % 20 == 0) full = store->Drain({});
  }
  EXPECT_EQ(full.code(), StatusCode::kFull) << full.ToString();
  EXPECT_FALSE(full.hint().empty());
  EXPECT_EQ(CountOf(*store), acknowledged);  // reads go on
  store.reset();
  map_size_bytes_ = 256u << 20;
  store = Open(Access::kReadWrite);
  EXPECT_EQ(CountOf(*store), acknowledged);
  ASSERT_TRUE(store->Drain({}).ok());
  Put(*store, "more");
}

// LMDB loses rows when a put is given the key pointer a cursor returned and the value has pages of
// its own. Rewriting through the wrapper, as a pass over the table does, must keep every row.
// What a killed process was reading is kept for it until somebody looks whether it still lives.
TEST_F(StoreFilesTest, TheSnapshotOfAKilledReaderPinsPagesUntilReadersAreSwept) {
  fs::create_directories(dual_ + "/store.1");
  const lmdb::EnvironmentOptions options{.path = dual_ + "/store.1",
                                         .map_size_bytes = map_size_bytes_};
  auto environment = lmdb::Environment::Open(options);
  ASSERT_TRUE(environment.ok()) << environment.status().ToString();
  const auto used_after_rewriting = [&] {
    for (int i = 0; i < 40; ++i) {
      auto txn = (*environment)->BeginWrite();
      const std::string value(64 << 10, static_cast<char>(i));
      EXPECT_TRUE((*txn)->Put(Table::kMeta, AsBytes("big"), AsBytes(value)).ok());
      EXPECT_TRUE((*txn)->Commit().ok());
    }
    return *(*environment)->UsedBytes();
  };
  used_after_rewriting();
  const uint64_t settled = used_after_rewriting();
  EXPECT_EQ(used_after_rewriting(), settled) << "pages are taken again";
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto own = lmdb::Environment::Open(options);
    auto txn = (*own)->BeginRead();
    const bool reads = txn.ok() && txn->Get(Table::kMeta, AsBytes("big")).ok();
    if (reads && write(channel[1], "r", 1) != 1) _exit(1);
    pause();
  }
  char ready = 0;
  ASSERT_EQ(read(channel[0], &ready, 1), 1);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(channel[0]);
  close(channel[1]);
  EXPECT_GT(used_after_rewriting(), settled + (1u << 20)) << "nobody knows that it died";
  ASSERT_TRUE((*environment)->SweepReaders().ok());
  const uint64_t swept = used_after_rewriting();
  EXPECT_EQ(used_after_rewriting(), swept);
}

TEST_F(StoreFilesTest, RewritingRowsWithPagesOfTheirOwnLosesNone) {
  constexpr uint64_t kRows = 3000;
  const std::string path = dir_.Join("environment");
  fs::create_directory(path);
  auto environment = lmdb::Environment::Open({.path = path, .map_size_bytes = 256u << 20});
  ASSERT_TRUE(environment.ok());
  for (char fill : {'a', 'b'}) {
    auto txn = (*environment)->BeginWrite();
    ASSERT_TRUE(txn.ok());
    for (uint64_t i = 1; i <= kRows; ++i) {
      const std::string prefix = EncodeU64Key(i);
      auto found = (*txn)->FindFirst(Table::kEmbeddings, AsBytes(prefix));
      ASSERT_TRUE(found.ok());
      ASSERT_EQ(found->has_value(), fill == 'b') << i;
      const std::string& key = *found ? (*found)->first : prefix;
      const std::string value(3300, fill);
      ASSERT_TRUE((*txn)->Put(Table::kEmbeddings, AsBytes(key), AsBytes(value)).ok());
    }
    ASSERT_TRUE((*txn)->Commit().ok());
  }
  auto txn = (*environment)->BeginRead();
  ASSERT_TRUE(txn.ok());
  for (uint64_t i = 1; i <= kRows; ++i) {
    auto row = txn->Get(Table::kEmbeddings, AsBytes(EncodeU64Key(i)));
    ASSERT_TRUE(row.ok() && row->has_value()) << i;
    EXPECT_EQ((**row)[0], 'b');
  }
}

// ---- Golden store, opened for ever ----

std::string GoldenPath() { return ENGRAM_SOURCE_DIR "/tests/format/golden/store-v1"; }
constexpr const char* kGoldenDigest =
    "79347cd79c049c5f4cf183942a263f780355c4bb97c0e112f5610dc4276e13f9";

// ENGRAM_WRITE_GOLDEN=DIR writes a new one. The golden directory itself is never changed.
TEST_F(StoreFilesTest, WriteGolden) {
  const char* target = std::getenv("ENGRAM_WRITE_GOLDEN");
  if (target == nullptr) GTEST_SKIP() << "writes a golden store on request";
  auto store = Open(Access::kCreate);
  for (const char* id : {"a", "b", "c"}) Put(*store, id);
  ASSERT_TRUE(store->Drain({.sync = true}).ok());
  Put(*store, "in the log alone");
  fs::copy(dual_, target, fs::copy_options::recursive);
  fs::remove(fs::path(target) / "store.1/lock.mdb");
  fs::remove(fs::path(target) / "LOCK");
  for (const auto& entry : fs::directory_iterator(fs::path(target) / "log")) {
    if (entry.path().extension() == ".spare") fs::remove(entry.path());
  }
  std::printf("digest %s\n", DigestOf(*store).c_str());
}

TEST_F(StoreFilesTest, TheGoldenStoreOfVersion1Opens) {
  fs::create_directories(fs::path(dual_).parent_path());
  fs::copy(GoldenPath(), dual_, fs::copy_options::recursive);
  for (Access access : {Access::kReadOnly, Access::kReadWrite, Access::kReadOnly}) {
    auto store = Open(access);
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(CountOf(*store), 4u);
    EXPECT_EQ(DigestOf(*store), kGoldenDigest);
    auto view = *store->View();
    const auto key = *view->FindId("in the log alone");
    ASSERT_TRUE(key);
    const auto record = *view->Record(*key);
    ASSERT_TRUE(record);
    Memory expected = engram::testing::GoldenMemory();
    expected.text.id = "in the log alone";
    EXPECT_TRUE(engram::testing::SameBits(record->text, expected.text));
    Embedding embedding;
    ASSERT_TRUE(view->ReadEmbedding(record->current().vector_key, &embedding).ok());
    EXPECT_EQ(engram::testing::HashOf(embedding),
              engram::testing::HashOf(engram::testing::GoldenEmbedding()));  // it holds NaNs
  }
}

}  // namespace
}  // namespace engram::engine
