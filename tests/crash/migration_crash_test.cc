// `migrate-dual` itself on the simulated machine: the power goes, or the process is killed, at a
// random call of an ingest with conversion or of a conversion of history. Whatever a checkpoint
// claims is in the store, and runs with --resume end in the digest of a run that nothing stopped.
#include <gtest/gtest.h>

#include <cstdlib>

#include "migration/job.h"
#include "migration/migration.h"
#include "migration/spaces.h"
#include "tests/crash/crash_support.h"
#include "tests/testing/generated_log.h"

namespace engram::testing {
namespace {

using nlohmann::json;

constexpr char kSpace[] = "default";
constexpr char kLogPath[] = "source/default/wal/wal-0000000000000000.log";
constexpr int kLivesMax = 12;

// An upstream log with versions, deletes and some flipped bits.
const std::string& SourceLog() {
  static const std::string* const log = [] {
    const TempDir directory = TempDir::InMemory();
    GenerateLog(directory.Join("source"),
                "--records 420 --seed 11 --versions 15 --deletes 5 --layouts E0,E3,M", false);
    for (const auto& entry :
         std::filesystem::directory_iterator(directory.Join("source/default/wal"))) {
      return new std::string(ReadWholeFile(entry.path()));
    }
    std::abort();
  }();
  return *log;
}

enum class Job { kIngest, kConvertHistory };

class MigrationScenario {
 public:
  MigrationScenario(uint64_t seed, Job job, const std::string& ignored_flush)
      : random_(seed), machine_(seed), job_(job) {
    options_.checkpoint_interval = random_.OneIn(2) ? 64 : 150;
    options_.batch_size = 16;
    options_.parallel_workers = 1;
    if (ignored_flush.empty()) return;
    machine_.disk().IgnoreFlushes([=](std::string_view name) { return name == ignored_flush; });
  }

  // Calls of the disk while nothing stops the job. About: threads of the store come and go.
  static uint64_t CallsOf(Job job) {
    MigrationScenario scenario(1, job, "");
    scenario.Prepare();
    scenario.machine_.disk().Arm({});
    scenario.LiveOnce();
    return scenario.machine_.disk().calls();
  }

  SeedOutcome Run() {
    static const uint64_t calls[] = {CallsOf(Job::kIngest), CallsOf(Job::kConvertHistory)};
    Prepare();
    for (int life = 0; outcome_.failure.empty() && !done_; ++life) {
      if (life < kLivesMax) {
        const uint64_t call = 1 + random_.Below(calls[static_cast<int>(job_)]);
        machine_.disk().Arm({Fault::Kind::kCrash, call});
      }
      LiveOnce();
    }
    if (outcome_.failure.empty()) CheckEnd();
    outcome_.flush_classes = machine_.disk().flush_classes();
    return outcome_;
  }

 private:
  void Fail(const std::string& what) {
    if (outcome_.failure.empty()) outcome_.failure = what;
  }
  void Check(const Status& status) {
    if (!status.ok()) Fail(status.ToString());
  }

  // What was on the disk long before: names and bytes are durable.
  Status MakeSource() {
    FileSystem& fs = machine_.fs();
    const std::string path = machine_.Path(kLogPath);
    ENGRAM_TRY(CreateDirectories(fs, ParentPath(path)));
    ENGRAM_ASSIGN_OR_RETURN(auto file, fs.Open(path, OpenMode::kCreateExclusive));
    ENGRAM_TRY(file->WriteAt(0, AsBytes(SourceLog())));
    ENGRAM_TRY(file->Sync());
    for (std::string folder = ParentPath(path); folder.size() >= machine_.fs().real_root().size();
         folder = ParentPath(folder)) {
      ENGRAM_TRY(fs.SyncDirectory(folder));
    }
    return Status::Ok();
  }

  migration::JobContext Context() {
    const std::string index_folder = machine_.Path("tmp");
    setenv("TMPDIR", index_folder.c_str(), 1);
    IgnoreError(CreateDirectories(machine_.fs(), index_folder),
                "the migration says so if it needs it");
    wal::LogOptions log;
    log.io = wal::LogIo::kPwrite;
    log.segment_size_bytes_min = 16 * kPageBytes;
    return {.environment = {.fs = machine_.fs()},
            .data_root = machine_.Path("data"),
            .log = log,
            .map_size_bytes = 32u << 20,
            .progress = {},
            .cancel = nullptr};
  }

  Result<json> Migrate(bool with_source, bool history_scan, bool resume) {
    migration::MigrateOptions options = options_;
    if (with_source) options.source = machine_.Path("source");
    options.space = kSpace;
    options.history_scan = history_scan;
    options.resume = resume;
    return migration::Migrate(Context(), options);
  }

  void Prepare() {
    Check(MakeSource());
    if (job_ == Job::kConvertHistory) Check(Migrate(true, false, false).status());
  }

  void LiveOnce() {
    const auto report = Migrate(job_ == Job::kIngest, true, true);
    if (report.ok()) {
      if (!report->value("ok", false)) Fail("not ok: " + report->dump());
      done_ = true;
      return;
    }
    if (!machine_.disk().crashed()) return Fail("migrate: " + report.status().ToString());
    ++outcome_.crashes;
    if (random_.OneIn(4)) {
      machine_.KillProcess();
    } else {
      machine_.CutPower();
    }
    Check(CheckClaims());
  }

  // The store has what the checkpoint says. A checkpoint of an earlier job is left alone by a later
  // one until that has something to say itself.
  Status CheckClaims() {
    const migration::JobContext context = Context();
    const std::string directory = migration::DualDirectory(context, kSpace);
    const auto found =
        migration::ReadCheckpoint(machine_.fs(), migration::CheckpointPath(directory));
    if (found.status().code() == StatusCode::kNotFound) return Status::Ok();
    ENGRAM_ASSIGN_OR_RETURN(const migration::Checkpoint checkpoint, found);
    ENGRAM_ASSIGN_OR_RETURN(auto store,
                            migration::OpenSpace(context, kSpace, engine::Access::kReadWrite));
    ENGRAM_TRY(migration::CheckSameStore(checkpoint, store->Info().store_uuid, kSpace));
    ENGRAM_ASSIGN_OR_RETURN(auto view, store->View());
    ENGRAM_ASSIGN_OR_RETURN(const engine::Counts counts, view->Count());
    if (counts.records < checkpoint.nodes) {
      Fail("the checkpoint counts " + std::to_string(checkpoint.nodes) + " nodes, the store has " +
           std::to_string(counts.records));
    }
    ENGRAM_ASSIGN_OR_RETURN(const auto job, migration::ReadJob(*view));
    if (!job.has_value()) Fail("a checkpoint and no job");
    if (job.has_value() && job->id == checkpoint.job_id) {
      ENGRAM_ASSIGN_OR_RETURN(const auto receipts, migration::ReadReceipts(*view));
      for (const migration::KeyRange& range : checkpoint.receipts) {
        if (!receipts.Covers(range)) Fail("a receipt of the checkpoint is not in the store");
      }
    }
    view.reset();
    return store->Close();
  }

  void CheckEnd() {
    machine_.disk().Arm({});
    migration::VerifyOptions options;
    options.source = machine_.Path("source");
    options.space = kSpace;
    options.full = true;
    const auto verified = migration::Verify(Context(), options);
    if (!verified.ok()) return Fail("verify: " + verified.status().ToString());
    if (!verified->value("ok", false)) return Fail("verify: " + verified->dump());
    const auto stats = migration::SpaceStats(Context(), kSpace);
    if (!stats.ok()) return Fail(stats.status().ToString());
    static const std::string* const expected = new std::string(stats->at("digest"));
    if (stats->at("digest") != *expected) Fail("another digest than that of the first seed");
    outcome_.acknowledged += stats->at("count").get<uint64_t>();
  }

  Random random_;
  SimMachine machine_;
  const Job job_;
  migration::MigrateOptions options_;
  bool done_ = false;
  SeedOutcome outcome_;
};

SeedOutcome RunSeed(uint64_t seed, const std::string& ignored_flush) {
  const Job job = seed % 2 == 0 ? Job::kIngest : Job::kConvertHistory;
  return MigrationScenario(seed, job, ignored_flush).Run();
}

TEST(MigrationCrashTest, ResumedFromAnywhereItEndsInTheSameDigest) {
  ExpectEverySeedPasses("migration", SeedsFromEnvironment(300), RunSeed);
}

}  // namespace
}  // namespace engram::testing
