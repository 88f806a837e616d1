// INV-1, INV-2, INV-14 and INV-15 of docs/invariants.md, as far as the backend guards them.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "compat/conversion.h"
#include "compat/internal/conversion_cache.h"
#include "tests/compat/backend_fixture.h"

namespace engram::compat::testing {
namespace {

using engram::testing::RecordGenerator;
using ::testing::IsEmpty;

class BackendInvariants : public BackendTest {
 protected:
  void SetUp() override { bench_.Reopen({.lazy_install_batch = 0}); }
};
INSTANTIATE_TEST_SUITE_P(Stores, BackendInvariants, ::testing::ValuesIn(AllStores()), KindName);

// --- INV-1, INV-2: every interleaving of migrator, lazy reader and application on one key ---

// One run of one interleaving: the actors' steps, and after each the check.
class OneKeyRun {
 public:
  OneKeyRun(Bench& bench, std::string id) : bench_(bench), id_(std::move(id)) {
    Must(bench_.backend().SetMode(Mode::kLegacy));
    Write(1);
    Must(bench_.backend().SetMode(Mode::kDual));
  }

  void MigratorRead() {
    auto view = Must(bench_.store().View());
    key_ = *Must(view->FindId(id_));
    read_ = Must(view->Record(key_));
  }
  void MigratorInstall() {
    if (!read_ || !read_->old_head || read_->is_dual()) return;
    engine::DualHead head;
    head.common = read_->old_head->common;
    Uuid uuid = engine::NodeUuid(Must(SpaceId::Parse("default")), id_);
    ToDualHead(read_->old_head->memory, uuid, read_->extension, &head.node);
    auto bulk = Must(bench_.store().BeginBulk());
    Must(bulk->InstallDualHead(key_, head.common.seq, head));
    Must(bulk->Commit({}));
  }
  void LazyRead() { (void)Must(bench_.backend().Get(id_, nullptr)); }
  void LazyInstall() { Must(bench_.backend().InstallConversions()); }
  void Write(uint64_t seed) {
    Acknowledged a = MakeMemory(id_, seed);
    seq_ = Must(bench_.backend().Put(a.memory, a.embedding));
    expected_ = a;
  }
  void WriteOld(uint64_t seed) {
    Must(bench_.backend().SetMode(Mode::kLegacy));
    Write(seed);
    Must(bench_.backend().SetMode(Mode::kDual));
  }
  void Delete() {
    auto removed = bench_.backend().Remove(id_);
    EXPECT_EQ(removed.ok(), expected_.has_value());
    expected_.reset();
  }

  std::string Violation() {
    std::string difference = Difference(bench_.backend(), id_, expected_);
    if (!difference.empty() || !expected_) return difference;
    engine::StoredRecord stored = bench_.Stored(id_);
    if (stored.current().seq != seq_) return "the sequence changed";
    if (stored.dual_head && stored.dual_head->common.seq != seq_)
      return "a stale head is installed";
    return "";
  }
  const std::optional<Acknowledged>& expected() const { return expected_; }

 private:
  Bench& bench_;
  const std::string id_;
  std::optional<Acknowledged> expected_;
  Lsn seq_;
  NodeKey key_;
  std::optional<engine::StoredRecord> read_;
};

using Step = void (*)(OneKeyRun&);
struct NamedStep {
  const char* name;
  Step step;
};
using Actor = std::vector<NamedStep>;

const Actor kMigrator = {{"migrator reads", [](OneKeyRun& r) { r.MigratorRead(); }},
                         {"migrator installs", [](OneKeyRun& r) { r.MigratorInstall(); }}};
const Actor kReader = {{"lazy read", [](OneKeyRun& r) { r.LazyRead(); }},
                       {"lazy install", [](OneKeyRun& r) { r.LazyInstall(); }}};
const Actor kWriter = {{"write", [](OneKeyRun& r) { r.Write(2); }}};
const Actor kOldWriter = {{"write in legacy", [](OneKeyRun& r) { r.WriteOld(3); }}};
const Actor kDeleter = {{"delete", [](OneKeyRun& r) { r.Delete(); }}};

// Calls `run` with every merge of the actors' steps.
void Interleave(const std::vector<Actor>& actors, std::vector<uint64_t>* at, Actor* merged,
                const std::function<void(const Actor&)>& run) {
  bool done = true;
  for (uint64_t i = 0; i < actors.size(); ++i) {
    if ((*at)[i] == actors[i].size()) continue;
    done = false;
    merged->push_back(actors[i][(*at)[i]++]);
    Interleave(actors, at, merged, run);
    --(*at)[i];
    merged->pop_back();
  }
  if (done) run(*merged);
}

struct Outcome {
  uint64_t runs = 0;
  std::vector<std::string> violations;
  Ledger ledger;
};

Outcome RunAllInterleavings(Bench& bench, const std::vector<Actor>& actors) {
  Outcome outcome;
  std::vector<uint64_t> at(actors.size(), 0);
  Actor merged;
  Interleave(actors, &at, &merged, [&](const Actor& steps) {
    std::string id = "m" + std::to_string(++outcome.runs);
    OneKeyRun run(bench, id);
    std::string trace;
    for (const NamedStep& s : steps) {
      s.step(run);
      trace += std::string(s.name) + ", ";
      std::string violation = run.Violation();
      if (!violation.empty()) outcome.violations.push_back(trace + ": " + violation);
    }
    if (run.expected()) outcome.ledger[id] = *run.expected();
    if (bench.kind() == StoreKind::kFake && outcome.runs % 50 == 0) {  // it copies all of its state
      Must(bench.backend().Clear());
      outcome.ledger.clear();
    }
  });
  return outcome;
}

TEST_P(BackendInvariants, INV1_backfill_vs_write_all_interleavings) {
  Outcome outcome =
      RunAllInterleavings(bench_, {kMigrator, kReader, kWriter, kOldWriter, kDeleter});
  EXPECT_EQ(outcome.runs, 1260u);  // 7! / (2! 2!)
  EXPECT_THAT(outcome.violations, IsEmpty());
  ExpectStoreEquals(bench_, outcome.ledger);
}

TEST(BackendInvariantsTeeth, INV1_a_blind_install_is_noticed) {
  Bench bench(StoreKind::kFake, {.lazy_install_batch = 0});
  bench.fake().blind_install = true;
  Outcome outcome = RunAllInterleavings(bench, {kMigrator, kOldWriter});
  EXPECT_FALSE(outcome.violations.empty());
}

TEST_P(BackendInvariants, INV2_no_resurrection) {
  Outcome outcome = RunAllInterleavings(bench_, {kMigrator, kReader, kDeleter});
  EXPECT_EQ(outcome.runs, 30u);
  EXPECT_THAT(outcome.violations, IsEmpty());
  EXPECT_TRUE(outcome.ledger.empty());
  for (int round = 0; round < 3; ++round) {
    Must(bench_.store().Drain({.sync = true}));
    Must(bench_.store().RecycleLog());
    if (round == 1) Must(bench_.store().Compact({}));
    if (round == 2) Must(backend().SetMode(Mode::kLegacy));  // rollback
    bench_.Reopen({.lazy_install_batch = 0});
    ExpectStoreEquals(bench_, {});
  }
}

// --- INV-14: lazy conversion is invisible ---

void PutOld(Bench& bench, Ledger* ledger, uint64_t count) {
  Must(bench.backend().SetMode(Mode::kLegacy));
  for (uint64_t i = 0; i < count; ++i) {
    std::string id = "m" + std::to_string(i);
    Acknowledged a = MakeMemory(id, i);
    Must(bench.backend().Put(a.memory, a.embedding));
    (*ledger)[id] = a;
  }
  Must(bench.backend().SetMode(Mode::kDual));
}

TEST_P(BackendInvariants, INV14_lazy_purity) {
  Ledger ledger;
  PutOld(bench_, &ledger, 30);
  std::map<std::string, engine::HeadCommon> before;
  for (const auto& [id, a] : ledger) before[id] = bench_.Stored(id).current();
  Sha256Digest digest = Must(Must(bench_.store().View())->Digests()).SpaceDigest();
  for (int round = 0; round < 3; ++round) {
    for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
    if (round == 1) Must(backend().InstallConversions());
  }
  EXPECT_EQ(bench_.Counts().old, 0u) << "what was read is converted";
  EXPECT_EQ(backend().Stats().conversions_installed, 30u);
  for (const auto& [id, a] : ledger) {
    engine::StoredRecord stored = bench_.Stored(id);
    EXPECT_TRUE(stored.is_dual());
    EXPECT_EQ(stored.current().seq, before[id].seq);
    EXPECT_EQ(stored.current().vector_key, before[id].vector_key);
    EXPECT_EQ(stored.current().digest, before[id].digest);
    EXPECT_EQ(stored.current().tier, before[id].tier);
  }
  EXPECT_EQ(Must(Must(bench_.store().View())->Digests()).SpaceDigest(), digest);
  ExpectStoreEquals(bench_, ledger);
}

TEST_P(BackendInvariants, INV14_concurrent_readers_of_a_cold_record_convert_and_install_once) {
  Ledger ledger;
  PutOld(bench_, &ledger, 1);
  std::atomic<bool> go{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 64; ++i) {
    readers.emplace_back([&] {
      while (!go) std::this_thread::yield();
      EXPECT_EQ(Difference(backend(), "m0", ledger["m0"]), "");
    });
  }
  go = true;
  for (std::thread& t : readers) t.join();
  Must(backend().InstallConversions());
  BackendStats stats = backend().Stats();
  EXPECT_EQ(stats.converted_on_read, 1u);
  EXPECT_EQ(stats.conversion_cache_hits, 63u);
  EXPECT_EQ(stats.conversions_installed, 1u);
  EXPECT_EQ(stats.conversions_superseded, 0u);
}

TEST_P(BackendInvariants, INV14_reads_install_in_the_background_once_a_batch_is_full) {
  Ledger ledger;
  bench_.Reopen({.lazy_install_batch = 8});
  PutOld(bench_, &ledger, 20);
  for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
  constexpr uint64_t kInstalledMin = 13;  // fewer than a batch may still wait
  for (int i = 0; i < 5000 && backend().Stats().conversions_installed < kInstalledMin; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(backend().Stats().conversions_installed, kInstalledMin);
  EXPECT_EQ(backend().Stats().last_install_failure, "");
  // What still waits: the comparison below must not race with its installation.
  Must(backend().InstallConversions());
  ExpectStoreEquals(bench_, ledger);
}

// Relative path and contents of every file; LMDB's lock file holds its reader table.
std::map<std::string, std::string> FilesBelow(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file() || entry.path().filename() == "lock.mdb") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    files[entry.path().lexically_relative(directory)] = ToHex(Sha256Of(AsBytes(bytes)));
  }
  return files;
}

TEST_P(BackendInvariants, INV14_reads_of_a_read_only_store_change_no_file) {
  if (GetParam() == StoreKind::kFake) GTEST_SKIP() << "the fake has no files";
  Ledger ledger;
  PutOld(bench_, &ledger, 20);
  bench_.Reopen({.lazy_install_batch = 1}, engine::Access::kReadOnly);
  auto before = FilesBelow(bench_.directory());
  ASSERT_GE(before.size(), 3u);
  for (int round = 0; round < 2; ++round) {
    for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
    ExpectStoreEquals(bench_, ledger);
    (void)Must(backend().Search(ledger["m1"].embedding, 3));
    Must(backend().InstallConversions());
  }
  EXPECT_EQ(backend().Put(ledger["m1"].memory, ledger["m1"].embedding).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(backend().Stats().converted_on_read, 20u);
  bench_.Reopen({}, engine::Access::kReadOnly);
  EXPECT_EQ(FilesBelow(bench_.directory()), before);
  ExpectStoreEquals(bench_, ledger);
}

TEST_P(BackendInvariants, ScanConvertsWithoutKeepingOrInstallingAnything) {
  Ledger ledger;
  PutOld(bench_, &ledger, 10);
  ExpectStoreEquals(bench_, ledger);
  Must(backend().InstallConversions());
  EXPECT_EQ(backend().Stats().converted_on_read, 0u);
  EXPECT_EQ(bench_.Counts().old, 10u);
}

TEST_P(BackendInvariants, ConversionsReadBeforeARollbackAreNotInstalledAfterIt) {
  Ledger ledger;
  PutOld(bench_, &ledger, 5);
  for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
  Must(backend().SetMode(Mode::kLegacy));
  Must(backend().InstallConversions());
  EXPECT_EQ(bench_.Counts().old, 5u);
  Must(backend().SetMode(Mode::kDual));
  for (const auto& [id, a] : ledger) ExpectServed(backend(), id, a);
  Must(backend().InstallConversions());
  EXPECT_EQ(bench_.Counts().old, 0u) << "a dropped conversion is made again";
}

TEST(BackendLazyInstall, FailureIsCountedWithItsReasonAndReadsGoOn) {
  Bench bench(StoreKind::kFake, {.lazy_install_batch = 0});
  Ledger ledger;
  PutOld(bench, &ledger, 5);
  bench.fake().fail_bulk = true;
  for (const auto& [id, a] : ledger) ExpectServed(bench.backend(), id, a);
  EXPECT_EQ(bench.backend().InstallConversions().code(), StatusCode::kFull);
  EXPECT_EQ(bench.backend().Stats().install_failures, 1u);
  EXPECT_THAT(bench.backend().Stats().last_install_failure, ::testing::HasSubstr("map is full"));
  for (const auto& [id, a] : ledger) ExpectServed(bench.backend(), id, a);
  bench.fake().fail_bulk = false;
  Must(bench.backend().InstallConversions());
  EXPECT_EQ(bench.Counts().old, 0u) << "what failed is offered again by the next read";
}

TEST(BackendLazyInstall, ReadOnlyStoreIsNeverWrittenByAReadAndRefusesWrites) {
  Bench bench(StoreKind::kFake, {.lazy_install_batch = 1});
  Ledger ledger;
  PutOld(bench, &ledger, 5);
  bench.fake().make_read_only = true;
  for (const auto& [id, a] : ledger) ExpectServed(bench.backend(), id, a);
  Must(bench.backend().InstallConversions());
  EXPECT_EQ(bench.fake().bulk_begun, 0u);
  EXPECT_FALSE(bench.backend().Remove("m0").ok());
}

TEST(BackendLazyInstall, CacheStaysWithinItsBytes) {
  for (uint64_t bytes : {0u, 10'000u, 100'000u}) {
    internal::ConversionCache cache(bytes);
    for (uint64_t i = 1; i <= 1000; ++i) {
      auto made = cache.GetOrConvert(NodeKey{i}, Lsn{i},
                                     [i](engine::DualHead* head) { head->common.seq = Lsn{i}; });
      EXPECT_TRUE(made.converted);
      EXPECT_EQ(made.head->common.seq, Lsn{i});
      EXPECT_LE(cache.size_bytes(), bytes);
    }
  }
}

TEST(BackendLazyInstall, CacheServesOnlyTheSequenceAskedFor) {
  internal::ConversionCache cache(1 << 20);
  auto convert = [](float activation) {
    return [activation](engine::DualHead* head) { head->node.activation = activation; };
  };
  cache.GetOrConvert(NodeKey{1}, Lsn{5}, convert(0.5f));
  EXPECT_EQ(cache.GetOrConvert(NodeKey{1}, Lsn{6}, convert(0.6f)).head->node.activation, 0.6f);
  EXPECT_EQ(cache.GetOrConvert(NodeKey{1}, Lsn{5}, convert(0.7f)).head->node.activation, 0.7f)
      << "an older view converts for itself";
  EXPECT_FALSE(cache.GetOrConvert(NodeKey{1}, Lsn{6}, convert(0.8f)).converted);
  cache.Erase(NodeKey{1}, Lsn{5});
  EXPECT_FALSE(cache.GetOrConvert(NodeKey{1}, Lsn{6}, convert(0.8f)).converted);
  cache.Erase(NodeKey{1}, Lsn{6});
  EXPECT_TRUE(cache.GetOrConvert(NodeKey{1}, Lsn{6}, convert(0.8f)).converted);
}

// --- INV-15 ---

TEST_P(BackendInvariants, INV15_remaining_old_never_rises_while_intercepting) {
  RecordGenerator random(7);
  Ledger ledger;
  PutOld(bench_, &ledger, 40);
  uint64_t old_before = bench_.Counts().old;
  EXPECT_EQ(old_before, 40u);
  for (int i = 0; i < 400; ++i) {
    constexpr Mode kIntercepting[] = {Mode::kDualWrite, Mode::kShadow, Mode::kDual};
    if (random.OneIn(10)) Must(backend().SetMode(kIntercepting[random.Below(3)]));
    std::string id = "m" + std::to_string(random.Below(60));
    switch (random.Below(5)) {
      case 0: {
        Acknowledged a = MakeMemory(id, random.Bits());
        Must(backend().Put(a.memory, a.embedding));
        break;
      }
      case 1:
        (void)backend().UpdateActivation(id, 0.5f);
        break;
      case 2:
        (void)backend().SetStrength(id, 0.5f);
        break;
      case 3:
        if (random.OneIn(3)) (void)backend().Remove(id);
        break;
      case 4:
        (void)Must(backend().Get(id, nullptr));
        if (random.OneIn(5)) Must(backend().InstallConversions());
        break;
    }
    uint64_t old_now = bench_.Counts().old;
    ASSERT_LE(old_now, old_before) << "step " << i;
    old_before = old_now;
  }
  EXPECT_LT(old_before, 40u);
  ExpectDigestsRecompute(bench_);
}

}  // namespace
}  // namespace engram::compat::testing
