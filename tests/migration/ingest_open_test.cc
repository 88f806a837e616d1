// The ingest of an upstream directory into a space that is open and served.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "migration/ingest.h"
#include "migration/source_registry.h"
#include "tests/migration/migration_fixture.h"
#include "tests/testing/generated_log.h"

namespace engram::migration {
namespace {

using engine::Mode;
using nlohmann::json;
using ::testing::Contains;
using ::testing::Not;

// A file that changed a moment ago has no stamp: in this clock everything is long ago.
class LaterClock final : public Clock {
 public:
  uint64_t MonotonicNs() override { return Clock::System().MonotonicNs(); }
  int64_t WallSeconds() override { return Clock::System().WallSeconds() + 100; }
  uint32_t WallNanos() override { return 0; }
  void SleepNs(uint64_t duration_ns) override { Clock::System().SleepNs(duration_ns); }
};

class IngestOpenTest : public MigrationTest {
 protected:
  void SetUp() override {
    testing::GenerateLog(source_, "--records 3000 --versions 15 --deletes 5 --seed 3", false);
    store_ = Open(engine::Access::kCreate);
    backend_ = compat::MemoryBackend::Make(*store_, {});
  }
  json IngestIt(const std::atomic<bool>* cancel = nullptr) {
    const JobContext context{.environment = {.clock = later_},
                             .data_root = context_.data_root,
                             .log = context_.log,
                             .map_size_bytes = context_.map_size_bytes,
                             .progress = {},
                             .cancel = cancel};
    MigrateOptions options;
    options.source = source_;
    options.batch_size = 100;
    options.parallel_workers = 2;
    return Json(IngestOpen(context, *store_, options));
  }
  engine::Counts Counts() { return *(*store_->View())->Count(); }
  std::string OpenDigest() { return ToHex((*store_->View())->Digests()->SpaceDigest()); }
  std::vector<std::string> Ids() {
    std::vector<std::string> ids;
    ExpectOk(backend_->Scan({}, [&](const compat::FullRecord& record, const engine::Embedding*) {
      ids.push_back(record.memory.text.id);
      return Result<bool>(true);
    }));
    return ids;
  }
  void PutHere(const std::string& id) {
    testing::RecordGenerator random(5);
    engine::Memory memory = random.Memory();
    memory.text.id = id;
    memory.text.content = "written here";
    memory.layout = engine::Layout::kNone;
    engine::Embedding embedding;
    random.FillEmbedding(&embedding);
    ExpectOk(backend_->Put(memory, embedding).status());
  }
  std::string ContentOf(const std::string& id) {
    const auto record = backend_->Get(id, nullptr);
    EXPECT_TRUE(record.ok() && *record) << id;
    return record.ok() && *record ? (*record)->memory.text.content.value_or("") : "";
  }
  // What an ingest that nobody disturbs brings in.
  std::vector<std::string> IdsOfSource() {
    auto other = Open(engine::Access::kCreate, "other");
    const JobContext& context = context_;
    MigrateOptions options;
    options.source = source_;
    auto source = DiscoverSource(FileSystem::Posix(), source_, std::nullopt);
    EXPECT_TRUE(source.ok());
    Source renamed = *source;
    renamed.spaces[0].space = "other";
    EXPECT_TRUE(Ingest(context.environment, other.get(), renamed, renamed.spaces[0], {}, {}).ok());
    std::vector<std::string> ids;
    auto backend = compat::MemoryBackend::Make(*other, {});
    ExpectOk(backend->Scan({}, [&](const compat::FullRecord& record, const engine::Embedding*) {
      ids.push_back(record.memory.text.id);
      return Result<bool>(true);
    }));
    return ids;
  }

  LaterClock later_;
  const std::string source_ = root_.Join("source");
  std::unique_ptr<engine::Store> store_;
  std::unique_ptr<compat::MemoryBackend> backend_;
};

TEST_F(IngestOpenTest, ComesInOldInLegacyAndConvertedWhereDualHeadsAreProduced) {
  for (const Mode mode : {Mode::kLegacy, Mode::kDualWrite, Mode::kDual}) {
    if (mode != Mode::kLegacy) {
      backend_.reset();
      store_.reset();
      std::filesystem::remove_all(context_.data_root);
      store_ = Open(engine::Access::kCreate);
      backend_ = compat::MemoryBackend::Make(*store_, {});
      ExpectOk(backend_->SetMode(mode));
    }
    const json report = IngestIt();
    EXPECT_TRUE(report["ok"]) << report.dump(1);
    EXPECT_EQ(report["written"], report["found"]);
    EXPECT_EQ(Counts().records, report["found"]);
    EXPECT_EQ(Counts().old, mode == Mode::kLegacy ? Counts().records : 0);
    VerifyOptions verify;
    verify.source = source_;
    verify.full = true;
    const json checked = Json(VerifyOpen(context_, *store_, verify));
    EXPECT_TRUE(checked["ok"]) << checked.dump(1);
    EXPECT_EQ(checked["digest"]["space"], OpenDigest());
  }
}

// The ids that have their keys already are no longer fresh ones when somebody writes before the
// last ids are entered.
TEST_F(IngestOpenTest, WhatIsWrittenOrDeletedHereWhileTheIdsAreEnteredWins) {
  std::vector<std::string> ids = IdsOfSource();
  std::sort(ids.begin(), ids.end());
  const auto source = DiscoverSource(FileSystem::Posix(), source_, std::nullopt);
  ASSERT_TRUE(source.ok());
  IngestOptions options;
  options.served = true;
  options.heads = IngestHeads::kAsMode;
  IngestHooks hooks;
  uint64_t pauses = 0;
  hooks.progress = [&](std::string_view phase, uint64_t done, uint64_t total) {
    if (phase != "ids" || ++pauses > 1) return;
    EXPECT_LT(done, total);
    PutHere(ids[0]);
    PutHere(ids[1]);
    ExpectOk(backend_->Remove(ids[1]).status());
    PutHere(ids.back());  // not entered yet
  };
  const auto report =
      Ingest(context_.environment, store_.get(), *source, source->spaces[0], options, hooks);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  ASSERT_GT(pauses, 1u) << "too few ids for more than one commit";
  EXPECT_EQ(ContentOf(ids[0]), "written here");
  EXPECT_THAT(Ids(), Not(Contains(ids[1])));
  EXPECT_EQ(ContentOf(ids.back()), "written here");
  EXPECT_EQ(report->kept_local, 3u);
  EXPECT_EQ(Counts().records, ids.size() - 1);
  const json checked = Json(VerifyOpen(context_, *store_, VerifyOptions()));
  EXPECT_TRUE(checked["ok"]) << checked.dump(1);
}

TEST_F(IngestOpenTest, AnUnchangedSourceIsNotReadAgainAndAGrownOneIs) {
  EXPECT_EQ(IngestIt()["source_unchanged"], false);
  const std::string digest = OpenDigest();
  json again = IngestIt();
  EXPECT_EQ(again["source_unchanged"], true) << again.dump(1);
  EXPECT_TRUE(again["source"].is_null());
  EXPECT_EQ(again["digest"]["after"], digest);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source_)) {
    if (entry.is_regular_file()) {
      std::filesystem::last_write_time(entry.path(), std::filesystem::file_time_type::clock::now());
    }
  }
  again = IngestIt();
  EXPECT_EQ(again["source_unchanged"], false);
  EXPECT_EQ(again["written"], 0);
  EXPECT_EQ(IngestIt()["source_unchanged"], true);
  EXPECT_EQ(OpenDigest(), digest);
}

TEST_F(IngestOpenTest, AFileThatChangedJustNowHasNoStamp) {
  MigrateOptions options;
  options.source = source_;
  EXPECT_EQ(Json(IngestOpen(context_, *store_, options))["source_unchanged"], false);
  EXPECT_EQ(Json(IngestOpen(context_, *store_, options))["source_unchanged"], false);
}

TEST_F(IngestOpenTest, WhatIsWrittenOrDeletedHereMeanwhileWinsAndTheOldCountNeverRises) {
  const std::vector<std::string> ids = IdsOfSource();
  ASSERT_GT(ids.size(), 1000u);
  for (uint64_t round = 0; round < 3; ++round) {
    backend_.reset();
    store_.reset();
    std::filesystem::remove_all(DualPath(""));
    store_ = Open(engine::Access::kCreate);
    backend_ = compat::MemoryBackend::Make(*store_, {});
    ExpectOk(backend_->SetMode(Mode::kDual));
    std::vector<std::string> written, deleted;
    std::atomic<bool> done{false};
    std::thread client([&] {
      // "Meanwhile" begins when the ingest does.
      while (!(*store_->View())->Meta(kSourcesBegunRow)->has_value()) std::this_thread::yield();
      for (size_t i = round; i < ids.size() && !done; i += 7) {
        PutHere(ids[i]);
        if (i % 2 == 0) {
          written.push_back(ids[i]);
        } else {
          ExpectOk(backend_->Remove(ids[i]).status());
          deleted.push_back(ids[i]);
        }
        EXPECT_EQ(Counts().old, 0u);
        if (i % 5 == 0) ExpectOk(backend_->AddEdge(ids[(i * 31) % ids.size()], ids[i], 0.5f));
      }
    });
    const json report = IngestIt();
    done = true;
    client.join();
    EXPECT_TRUE(report["ok"]) << report.dump(1);
    for (const std::string& id : written) EXPECT_EQ(ContentOf(id), "written here") << id;
    const std::vector<std::string> now = Ids();
    for (const std::string& id : deleted) EXPECT_THAT(now, Not(Contains(id)));
    EXPECT_EQ(now.size(), ids.size() - deleted.size());
    EXPECT_GT(written.size() + deleted.size(), 0u);
    EXPECT_EQ(Counts().old, 0u);
    // Once more: nothing comes back.
    EXPECT_EQ(IngestIt()["source_unchanged"], true);
    EXPECT_EQ(Ids(), now);
    VerifyOptions verify;
    const json checked = Json(VerifyOpen(context_, *store_, verify));
    EXPECT_TRUE(checked["ok"]) << checked.dump(1);
  }
}

TEST_F(IngestOpenTest, AnInterruptedIngestIsGoneOnWithByTheNext) {
  std::atomic<bool> cancel{true};
  MigrateOptions options;
  options.source = source_;
  const JobContext context{.environment = {},
                           .data_root = context_.data_root,
                           .log = context_.log,
                           .map_size_bytes = context_.map_size_bytes,
                           .progress = {},
                           .cancel = &cancel};
  EXPECT_EQ(IngestOpen(context, *store_, options).status().code(), StatusCode::kCancelled);
  const json report = IngestIt();
  EXPECT_TRUE(report["ok"]);
  EXPECT_EQ(Counts().records, report["found"]);
}

// Its first ids are in, their uuid rows are not.
TEST_F(IngestOpenTest, AnIngestInterruptedWhileIdsAreEnteredLosesNoUuid) {
  const auto source = DiscoverSource(FileSystem::Posix(), source_, std::nullopt);
  ASSERT_TRUE(source.ok());
  std::atomic<bool> cancel{false};
  IngestOptions options;
  options.served = true;
  options.heads = IngestHeads::kAsMode;
  IngestHooks hooks;
  hooks.cancel = &cancel;
  hooks.progress = [&](std::string_view phase, uint64_t, uint64_t) { cancel = phase == "ids"; };
  const auto stopped =
      Ingest(context_.environment, store_.get(), *source, source->spaces[0], options, hooks);
  ASSERT_EQ(stopped.status().code(), StatusCode::kCancelled) << stopped.status().ToString();
  EXPECT_TRUE(IngestIt()["ok"]);
  const json checked = Json(VerifyOpen(context_, *store_, VerifyOptions()));
  EXPECT_TRUE(checked["ok"]) << checked.dump(1).substr(0, 2000);
}

TEST_F(IngestOpenTest, ARateLimitedIngestKeepsNoWriterOut) {
  std::thread ingest([&] {
    MigrateOptions options;
    options.source = source_;
    options.batch_size = 10;
    options.rate_limit_per_second = 300;
    ExpectOk(IngestOpen(context_, *store_, options).status());
  });
  uint64_t longest_ms = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t begun_ns = Clock::System().MonotonicNs();
    PutHere("here-" + std::to_string(i));
    longest_ms = std::max(longest_ms, (Clock::System().MonotonicNs() - begun_ns) / 1'000'000);
    Clock::System().SleepNs(20'000'000);
  }
  ingest.join();
  EXPECT_LT(longest_ms, 400u) << "256 records at this rate take 850";
}

TEST_F(IngestOpenTest, RollbackOfAServedSpaceKeepsEveryRecordAndTheDigest) {
  ExpectOk(backend_->SetMode(Mode::kDual));
  IngestIt();
  const std::string digest = OpenDigest();
  const json report = Json(RollbackOpen(context_, *backend_));
  EXPECT_TRUE(report["ok"]);
  EXPECT_EQ(report["mode"], "legacy");
  EXPECT_EQ(report["digest"], digest);
  EXPECT_EQ(store_->mode(), Mode::kLegacy);
}

TEST_F(IngestOpenTest, AServedSpaceIsVerifiedAtOneSnapshotBesideItsWriters) {
  IngestIt();
  std::atomic<bool> stop{false};
  std::thread client([&] {
    for (uint64_t i = 0; !stop; ++i) PutHere("here-" + std::to_string(i % 50));
  });
  for (int i = 0; i < 5; ++i) {
    const json checked = Json(VerifyOpen(context_, *store_, {}));
    EXPECT_TRUE(checked["ok"]) << checked.dump(1);
  }
  stop = true;
  client.join();
}

}  // namespace
}  // namespace engram::migration
