// The migration of one space, from opening its store to the report.
#ifndef ENGRAM_MIGRATION_INTERNAL_SPACE_MIGRATION_H_
#define ENGRAM_MIGRATION_INTERNAL_SPACE_MIGRATION_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migration/checkpoint.h"
#include "migration/convert.h"
#include "migration/ingest.h"
#include "migration/job.h"
#include "migration/migration.h"
#include "migration/progress.h"
#include "migration/snapshot.h"
#include "migration/source_registry.h"
#include "migration/throttle.h"
#include "migration/verify.h"

namespace engram::migration::internal {

// What one space takes from the source; null without --source.
struct SpaceSource {
  const Source* source = nullptr;
  const SourceSpace* space = nullptr;
};

uint32_t WorkerCount(const MigrateOptions& options);
// Records per unit of work: --batch-size, or fewer where a limit would let them through in jerks.
uint64_t UnitSize(const MigrateOptions& options);

// Whether --resume may go on behind `checkpoint` with this source, or without one.
Status CheckSource(FileSystem& fs, const SpaceSource& source, const Checkpoint& checkpoint);

// Bytes that one dual head adds to the environment, keys and page overhead included.
inline constexpr uint64_t kDualHeadGrowthBytes = 240;
// Room that the dual heads of so many records need: LMDB copies pages before it reuses them.
inline uint64_t RoomForDualHeads(uint64_t records) {
  return records * kDualHeadGrowthBytes * 3 / 2;
}

// Used where there is nothing to measure: one conversion on one worker, one verification of a
// record on all cores, on the machine the benchmarks ran on.
inline constexpr double kSecondsPerConversion = 1.0 / 400000;
inline constexpr double kSecondsPerVerification = 1.0 / 300000;
double PredictSeconds(uint64_t records, uint64_t conversions);

class SpaceMigration {
 public:
  SpaceMigration(const JobContext& context, const MigrateOptions& options,
                 const SpaceSource& source, std::string space);
  Result<nlohmann::json> Run();
  bool resumed() const { return resumed_; }

 private:
  Status Open();
  Status BeginJob();
  Status ContinueJob();
  Status BeginAndIngest();
  Status WarnOfUnfinishedSources();
  Status IngestSource();
  Status EnterDualMode();
  bool TakesSnapshot() const { return options_.snapshot && !resumed_; }
  Status CheckRoomForConversion(uint64_t other_bytes);
  Status ForgetReceipts();
  Result<bool> ReceiptsAreBehind();
  Status Convert();
  Status Verify();
  Status Finish();
  Status EnterState(JobState state);
  template <typename Phase>
  Status Timed(double* seconds, Phase phase);
  Status SaveCheckpoint(const CoverageLedger& receipts, uint64_t nodes);
  Status LeaveNothing();
  Result<engine::DigestState> Digests();
  IngestHooks HooksOfIngest();
  nlohmann::json Report();

  const JobContext& context_;
  const MigrateOptions& options_;
  const SpaceSource source_;
  const std::string space_;
  const std::string directory_;  // <data_root>/<space>/dual
  const uint64_t begun_ns_;
  MemoryBudget budget_;
  Throttle throttle_;
  ProgressMeter meter_;
  std::unique_ptr<engine::Store> store_;
  std::unique_ptr<AuditLog> audit_;
  Job job_;
  bool resumed_ = false;
  uint64_t resumed_nodes_ = 0;  // of the checkpoint that it goes on from
  bool begun_ = false;
  std::vector<SourceExtent> extents_;
  bool created_ = false;                       // there was no store before
  std::vector<std::string> made_directories_;  // above it, the innermost first
  std::optional<SnapshotInfo> snapshot_;
  std::optional<IngestReport> ingest_;
  std::string ingest_phase_;
  engine::DigestState before_;
  engine::DigestState after_;
  engine::Counts counts_;
  VerifyReport verified_;
  Checkpoint checkpoint_;  // the last one written
  uint64_t live_bytes_before_ = 0;
  uint64_t live_bytes_after_ = 0;
  uint64_t bytes_predicted_ = 0;
  double ingest_seconds_ = 0;
  double convert_seconds_ = 0;
  double verify_seconds_ = 0;
};

// The same report, predicted; creates and changes nothing.
// `promised_bytes` of the device are taken by then: those of the spaces before, whose number grows
// by this one's.
Result<nlohmann::json> DryRunSpace(const JobContext& context, const MigrateOptions& options,
                                   const SpaceSource& source, const std::string& space,
                                   uint64_t* promised_bytes);

// Parts that reports share.
nlohmann::json SourceToJson(const IngestReport& report);

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_SPACE_MIGRATION_H_
