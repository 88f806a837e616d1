// The whole way from real directories: ingest, convert, verify against the source, rollback,
// forward, compact, finalize; and what is refused on it.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "base/freed_memory.h"
#include "migration/checkpoint.h"
#include "tests/migration/migration_fixture.h"
#include "tests/migration/planted_faults.h"
#include "tests/testing/generated_log.h"

namespace engram::migration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

fs::path Fixtures() { return fs::path(ENGRAM_SOURCE_DIR) / "tests/fixtures"; }

class SourceJobs : public MigrationTest {
 protected:
  MigrateOptions From(const fs::path& source) const {
    MigrateOptions options;
    options.source = source.string();
    return options;
  }
  json CheckedAgainst(const fs::path& source, const std::string& space) {
    VerifyOptions options;
    options.space = space;
    options.source = source.string();
    options.full = true;
    return Json(Verify(context_, options));
  }
  // A source of our own to change: a copy of a fixture.
  fs::path Copy(const char* fixture) {
    const fs::path to = root_.Join("source");
    fs::copy(Fixtures() / fixture / "data", to, fs::copy_options::recursive);
    return to;
  }
  static fs::path OnlyLog(const fs::path& source) {
    for (const auto& entry : fs::recursive_directory_iterator(source)) {
      if (entry.path().extension() == ".log" && entry.file_size() > 0) return entry.path();
    }
    return {};
  }
};

class WholeWay : public SourceJobs, public ::testing::WithParamInterface<const char*> {};

TEST_P(WholeWay, GoesThereAndBackAndOnWithOneDigest) {
  const fs::path source = Fixtures() / GetParam() / "data";
  const json first = MigrateOnce(From(source));
  ASSERT_TRUE(first["ok"]) << first.dump(1);
  for (const json& report : first["spaces"]) {
    const std::string space = report["space"];
    SCOPED_TRACE(space);
    const std::string digest = report["digest"]["source"];
    EXPECT_EQ(report["digest"]["before"], digest);
    EXPECT_EQ(report["digest"]["after"], digest);
    EXPECT_EQ(report["converted"], report["found"]);
    EXPECT_EQ(report["remaining_old"], 0);
    const json& counted = report["source"];
    EXPECT_EQ(counted["episodes"].get<uint64_t>() + counted["memories"].get<uint64_t>(),
              report["found"].get<uint64_t>() + counted["versions_superseded"].get<uint64_t>() +
                  counted["duplicates"].get<uint64_t>());
    const json checked = CheckedAgainst(source, space);
    EXPECT_TRUE(checked["ok"]) << checked.dump(1);
    EXPECT_EQ(checked["checked"], report["found"]);
    EXPECT_EQ(Json(Rollback(context_, space))["digest"], digest);
    MigrateOptions forward;
    forward.space = space;
    EXPECT_EQ(MigrateOnce(forward)["spaces"][0]["digest"]["after"], digest);
    CompactJobOptions compact;
    compact.space = space;
    EXPECT_EQ(Json(Compact(context_, compact))["digest_after"], digest);
    compact.finalize = true;
    EXPECT_EQ(Json(Compact(context_, compact))["digest_after"], digest);
    EXPECT_EQ(Stats(space)["digest"], digest);
    const json last = CheckedAgainst(source, space);
    EXPECT_TRUE(last["ok"]) << last.dump(1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WholeWay,
                         ::testing::Values("all-types", "damaged", "duplicates", "grpc", "killed",
                                           "legacy-e0", "legacy-e2", "made-e1", "older-e2", "plain",
                                           "restart", "spaces"),
                         [](const auto& fixture) {
                           std::string name = fixture.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_F(SourceJobs, ADryRunPredictsTheDigestAndCreatesNothing) {
  MigrateOptions options = From(Fixtures() / "all-types" / "data");
  options.dry_run = true;
  const json dry = MigrateOnce(options)["spaces"][0];
  EXPECT_FALSE(fs::exists(context_.data_root));
  options.dry_run = false;
  const json real = MigrateOnce(options)["spaces"][0];
  EXPECT_EQ(dry["digest"]["source"], real["digest"]["after"]);
  EXPECT_EQ(dry["found"], real["found"]);
  EXPECT_EQ(dry["source"]["records"], real["source"]["records"]);
  EXPECT_EQ(dry["bytes_predicted"], real["bytes_predicted"]);
}

TEST_F(SourceJobs, TheSameSourceAgainFindsEverythingDual) {
  const fs::path source = Fixtures() / "plain" / "data";
  const json first = MigrateOnce(From(source))["spaces"][0];
  const json again = MigrateOnce(From(source))["spaces"][0];
  EXPECT_EQ(again["converted"], 0);
  EXPECT_EQ(again["already_dual"], first["found"]);
  EXPECT_EQ(again["digest"]["after"], first["digest"]["after"]);
  EXPECT_EQ(again["digest"]["source"], first["digest"]["after"]);
}

TEST_F(SourceJobs, ResumeAcceptsASourceThatGrew) {
  const fs::path source = Copy("plain");
  const fs::path log = OnlyLog(source);
  std::string bytes;
  {
    std::ifstream in(log, std::ios::binary);
    std::stringstream out;
    out << in.rdbuf();
    bytes = out.str();
  }
  // Cut at a record border: the size of the second record's payload is at its header.
  const size_t first = 64 + LoadLe<uint32_t>(bytes.data() + 24);
  const size_t second = first + 64 + LoadLe<uint32_t>(bytes.data() + first + 24);
  fs::resize_file(log, second);
  EXPECT_EQ(MigrateOnce(From(source))["spaces"][0]["found"], 2);
  { std::ofstream(log, std::ios::binary | std::ios::trunc) << bytes; }
  MigrateOptions options = From(source);
  options.resume = true;
  const json report = MigrateOnce(options);
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  EXPECT_EQ(report["spaces"][0]["found"], 54);
  EXPECT_EQ(report["spaces"][0]["digest"]["source"], report["spaces"][0]["digest"]["after"]);
}

TEST_F(SourceJobs, ARewrittenSourceIsRefusedWithTheReasonAndNothingChanges) {
  const fs::path source = Copy("plain");
  MigrateOnce(From(source));
  const std::string digest = Digest();
  { std::ofstream(OnlyLog(source), std::ios::in | std::ios::out).seekp(200).put('?'); }
  MigrateOptions options = From(source);
  options.resume = true;
  const auto refused = Migrate(context_, options);
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("rewritten"));
  EXPECT_FALSE(refused.status().hint().empty());
  EXPECT_EQ(Digest(), digest);
}

TEST_F(SourceJobs, ACheckpointOfAnotherSourceIsRefused) {
  MigrateOnce(From(Fixtures() / "plain" / "data"));
  const std::string digest = Digest();
  MigrateOptions options = From(Fixtures() / "duplicates" / "data");
  options.resume = true;
  const auto refused = Migrate(context_, options);
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition) << refused.ok();
  EXPECT_FALSE(refused.status().hint().empty());
  EXPECT_EQ(Digest(), digest);
}

TEST_F(SourceJobs, AnIngestCancelledAnywhereResumesToTheSameDigest) {
  const fs::path source = Fixtures() / "killed" / "data";
  const std::string digest = MigrateOnce(From(source))["spaces"][0]["digest"]["after"];
  for (int stop = 0; stop < 25; ++stop) {
    fs::remove_all(context_.data_root);
    MigrateOptions options = From(source);
    options.batch_size = 7;
    options.checkpoint_interval = 20;
    options.resume = true;
    for (int attempt = 0; attempt < 3; ++attempt) {
      std::atomic<bool> cancel{false};
      JobContext context = context_;
      context.cancel = &cancel;
      std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::microseconds(1500 * stop));
        cancel = true;
      });
      const auto report = Migrate(context, options);
      canceller.join();
      if (!report.ok()) {
        EXPECT_EQ(report.status().code(), StatusCode::kCancelled) << report.status().ToString();
      }
    }
    const json report = MigrateOnce(options);
    EXPECT_TRUE(report["ok"]) << report.dump(1);
    EXPECT_EQ(report["spaces"][0]["digest"]["after"], digest);
    EXPECT_EQ(report["spaces"][0]["digest"]["source"], digest);
  }
}

TEST_F(SourceJobs, VerificationAgainstTheSourceNamesTheFieldAndTheDistance) {
  const fs::path source = Fixtures() / "plain" / "data";
  MigrateOnce(From(source));
  testing::PlantedFaults faults(DualPath("store.1"));
  const std::string third = engine::EncodeU64Key(3);
  faults.Edit(engine::Table::kEmbeddings, third, [](std::string* row) {
    StoreLe<float>(row->data() + 8, LoadLe<float>(row->data() + 8) + 1);
  });
  const json report = CheckedAgainst(source, "default");
  EXPECT_FALSE(report["ok"]);
  EXPECT_THAT(report["mismatched"].dump(), HasSubstr("embedding_sha256"));
  EXPECT_NEAR(report["max_l2"].get<double>(), 1.0, 1e-6);
}

TEST_F(SourceJobs, AnIdThatIsGoneWithoutATombstoneIsMissing) {
  const fs::path source = Fixtures() / "plain" / "data";
  MigrateOnce(From(source));
  testing::PlantedFaults faults(DualPath("store.1"));
  const std::string key = faults.KeyAt(engine::Table::kIds, 4);
  faults.Remove(engine::Table::kIds, key);
  const json report = CheckedAgainst(source, "default");
  EXPECT_FALSE(report["ok"]);
  EXPECT_THAT(report["missing"].dump(), HasSubstr(key.substr(1)));
}

TEST_F(SourceJobs, WhatWasWrittenOrDeletedHereIsNotComparedWithTheSource) {
  const fs::path source = Fixtures() / "duplicates" / "data";
  MigrateOnce(From(source));
  {
    auto store = Open();
    auto backend = compat::MemoryBackend::Make(*store, {});
    EXPECT_TRUE(backend->Remove("same-vector-1").ok());
    EXPECT_TRUE(backend->UpdateActivation("same-vector-10", 0.125f).ok());
    ExpectOk(store->Close());
  }
  const json report = CheckedAgainst(source, "default");
  EXPECT_TRUE(report["ok"]) << report.dump(1);
}

TEST_F(SourceJobs, WhatALaterSourceReplacedIsNotComparedWithTheEarlierOne) {
  const std::string first = root_.Join("first");
  const std::string later = root_.Join("later");
  testing::GenerateLog(first, "--records 50 --seed 3", false);
  testing::GenerateLog(later, "--records 50 --seed 3 --versions 40", false);
  MigrateOnce(From(first));
  MigrateOnce(From(later));
  const json against_later = CheckedAgainst(later, "default");
  EXPECT_TRUE(against_later["ok"]) << against_later.dump(1).substr(0, 2000);
  const json against_first = CheckedAgainst(first, "default");
  EXPECT_TRUE(against_first["ok"]) << against_first.dump(1).substr(0, 2000);
}

TEST_F(SourceJobs, AHundredThousandNodesStayWithinTheMemoryBudget) {
  KeepFreedMemory();  // as the programs do
  const char* scale = getenv("ENGRAM_TEST_SCALE");
  const bool sanitizer = scale != nullptr && std::string(scale) == "sanitizer";
  const std::string count = sanitizer ? "3000" : "100000";
  const std::string source = root_.Join("generated");
  testing::GenerateLog(source, "--records " + count + " --seed 4 --layouts E0,E3,M >/dev/null",
                       /*manifest=*/false);
  MigrateOptions options = From(source);
  options.memory_budget_mb = 64;
  const json report = MigrateOnce(options);
  EXPECT_TRUE(report["ok"]) << report.dump(1);
  const json& space = report["spaces"][0];
  EXPECT_EQ(space["digest"]["source"], space["digest"]["after"]);
  EXPECT_EQ(space["remaining_old"], 0);
  // Sanitizers keep shadow memory of their own.
  if (!sanitizer) {
    EXPECT_LE(space["resident_anon_peak_bytes"].get<uint64_t>(), (64u + 64u) << 20);
    EXPECT_GT(space["resident_anon_peak_bytes"].get<uint64_t>(), 1u << 20);
  }
}

TEST_F(SourceJobs, BadSourcesAreRefusedAndLeaveNothingBehind) {
  fs::create_directories(root_.Join("empty"));
  std::ofstream(root_.Join("file")) << "x";
  for (const std::string& bad : {root_.Join("nowhere"), root_.Join("empty"), root_.Join("file")}) {
    const auto refused = Migrate(context_, From(bad));
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_FALSE(refused.status().hint().empty()) << bad;
    EXPECT_THAT(refused.status().message(), HasSubstr(bad));
  }
  EXPECT_FALSE(fs::exists(context_.data_root));
}

class GrowingSource : public SourceJobs {
 protected:
  // A log with versions and deletes, and the part of it that is there at first.
  void SetUp() override {
    SourceJobs::SetUp();
    source_ = root_.Join("growing");
    testing::GenerateLog(source_, "--records 1500 --seed 8 --versions 20 --deletes 5",
                         /*manifest=*/false);
    log_ = OnlyLog(source_);
    std::ifstream in(log_, std::ios::binary);
    std::stringstream whole;
    whole << in.rdbuf();
    whole_ = whole.str();
    Have(whole_.size() / 2);
  }
  void Have(size_t size) {
    std::ofstream(log_, std::ios::binary | std::ios::trunc) << whole_.substr(0, size);
  }
  // Stops once so many records are in.
  void IngestUntil(uint64_t records) {
    std::atomic<bool> cancel{false};
    JobContext context = context_;
    context.cancel = &cancel;
    context.progress = [&](const Progress& progress) {
      if (progress.phase == "ingest" && progress.done >= records) cancel = true;
    };
    MigrateOptions options = From(source_);
    options.batch_size = 20;
    options.checkpoint_interval = 64;
    ASSERT_EQ(Migrate(context, options).status().code(), StatusCode::kCancelled);
  }
  static void ExpectSum(const json& space) {
    EXPECT_EQ(space["found"], space["converted"].get<uint64_t>() +
                                  space["already_dual"].get<uint64_t>() +
                                  space["quarantined"].get<uint64_t>())
        << space.dump(1);
    EXPECT_EQ(space["remaining_old"], 0);
  }
  fs::path source_, log_;
  std::string whole_;
};

TEST_F(GrowingSource, EveryRecordIsCountedOnceAfterAnInterruption) {
  IngestUntil(400);
  Have(whole_.size());
  MigrateOptions options = From(source_);
  options.resume = true;
  const json grown = MigrateOnce(options)["spaces"][0];
  EXPECT_TRUE(grown["ok"]);
  ExpectSum(grown);
  const std::string digest = Digest();
  EXPECT_TRUE(CheckedAgainst(source_, "default")["ok"]);
  // As in one go.
  fs::remove_all(context_.data_root);
  const json whole = MigrateOnce(From(source_))["spaces"][0];
  ExpectSum(whole);
  EXPECT_EQ(whole["found"], grown["found"]);
  EXPECT_EQ(Digest(), digest);
}

TEST_F(GrowingSource, ADryRunCountsAsTheRunDoes) {
  PutOld(30, "local-");
  for (const size_t size : {whole_.size() / 2, whole_.size()}) {
    Have(size);
    for (const bool history_scan : {false, true}) {
      MigrateOptions options = From(source_);
      options.history_scan = history_scan;
      options.dry_run = true;
      const json dry = MigrateOnce(options)["spaces"][0];
      options.dry_run = false;
      const json real = Json(Migrate(context_, options))["spaces"][0];
      for (const char* key : {"found", "converted", "already_dual", "remaining_old"}) {
        EXPECT_EQ(dry[key], real[key]) << key << " " << size << " " << history_scan;
      }
      if (history_scan) ExpectSum(real);
    }
  }
}

TEST_F(GrowingSource, ADryRunIntoAFinalizedSpaceIsRefusedAsTheRunIs) {
  MigrateOnce(From(source_));
  Json(Compact(context_, {.space = "default", .finalize = true}));
  Have(whole_.size());
  MigrateOptions options = From(source_);
  const Status real = Migrate(context_, options).status();
  options.dry_run = true;
  const Status dry = Migrate(context_, options).status();
  EXPECT_EQ(real.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(dry.ToString(), real.ToString());
}

}  // namespace
}  // namespace engram::migration
