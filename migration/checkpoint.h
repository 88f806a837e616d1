// The durable traces of a migration job beside the store: the checkpoint file that --resume reads
// and the hash-chained audit log. Formats: docs/format/checkpoint.md.
//
// The truth about progress is in the store (receipts and source positions are rows of the same
// transaction as the records they cover); the checkpoint says which job that progress belongs to
// and is written only after the environment was flushed.
#ifndef ENGRAM_MIGRATION_CHECKPOINT_H_
#define ENGRAM_MIGRATION_CHECKPOINT_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/result.h"

namespace engram::migration {

// Persisted (checkpoint, meta row); never renumbered. design.md section 6.
enum class JobState : uint8_t {
  kOff = 0,
  kPrepared = 1,
  kWriteNew = 2,
  kBackfill = 3,
  kVerify = 4,
  kReady = 5,
  kCutOver = 6,
  kRollbackWindow = 7,
  kFinalized = 8,
};
std::string_view JobStateName(JobState state);  // "off", "prepared", ..., "rollback_window", ...
Result<JobState> ParseJobState(std::string_view name);

// One source file as far as it was read: `path` is relative to the source, `sha256` covers its
// first `size_bytes` bytes.
struct SourceExtent {
  std::string path;
  uint64_t size_bytes = 0;
  Sha256Digest sha256{};
  bool operator==(const SourceExtent&) const = default;
};

// Node keys first..last, both included.
struct KeyRange {
  uint64_t first = 0;
  uint64_t last = 0;
  bool operator==(const KeyRange&) const = default;
};

// Which conversion function wrote the dual heads. Raised whenever to_dual changes what it stores.
inline constexpr uint32_t kConversionFunctionId = 1;

struct CheckpointConfig {
  uint64_t batch_size = 0;
  uint64_t checkpoint_interval = 0;
  uint64_t memory_budget_mb = 0;
  uint64_t rate_limit_per_second = 0;
  uint32_t parallel_workers = 0;
  bool operator==(const CheckpointConfig&) const = default;
};

// The digests and the sequence of the space when the job started: what rollback is checked against.
struct StartDigests {
  uint64_t lsn = 0;
  Sha256Digest space{};
  struct Tier {
    uint64_t count = 0;
    Sha256Digest digest{};
    bool operator==(const Tier&) const = default;
  } tiers[3];
  bool operator==(const StartDigests&) const = default;
};

struct Checkpoint {
  Uuid store_uuid;
  Uuid job_id;
  std::string space;
  JobState state = JobState::kOff;
  uint32_t conversion_function_id = kConversionFunctionId;
  CheckpointConfig config;
  std::string source_path;           // as given, "" without --source; for messages only
  std::vector<SourceExtent> source;  // sorted by path
  uint64_t position = 0;             // node keys up to here are converted
  uint64_t nodes = 0;                // done so far in this phase's unit
  uint64_t nodes_total = 0;
  std::vector<KeyRange> receipts;  // summary: sorted, disjoint, merged
  StartDigests start;
  int64_t time_s = 0;  // wall clock, for display
  bool operator==(const Checkpoint&) const = default;
};

std::string EncodeCheckpoint(const Checkpoint& checkpoint);
// kCorruption for a bad checksum or inconsistent content, kUnsupported for a version or conversion
// function that this build does not know (INV-12); messages name `path`.
Result<Checkpoint> DecodeCheckpoint(std::string_view path, Bytes bytes);

// Replaces the file atomically and durably; creates `migration/` if it is missing.
// REQUIRES: the environment was flushed after the last transaction the checkpoint claims.
Status WriteCheckpoint(FileSystem& fs, const std::string& path, const Checkpoint& checkpoint);
// kNotFound if there is none.
Result<Checkpoint> ReadCheckpoint(FileSystem& fs, const std::string& path);
Status RemoveCheckpoint(FileSystem& fs, const std::string& path);

// OK if the job may continue on this store: kFailedPrecondition says what differs.
Status CheckSameStore(const Checkpoint& checkpoint, const Uuid& store_uuid, std::string_view space);
// OK if every extent of the checkpoint is still there: the file exists in `now`, is at least as
// long, and its first size_bytes bytes have the same hash. `now` holds for each path the hash of
// the prefix that the checkpoint (or the store) knows, and the present size.
struct SourceFileNow {
  std::string path;
  uint64_t size_bytes = 0;
  uint64_t prefix_size_bytes = 0;
  Sha256Digest prefix_sha256{};
};
Status CheckSourceOnlyGrew(const std::vector<SourceExtent>& before,
                           const std::vector<SourceFileNow>& now);

// `<dual>/migration/checkpoint.bin`, `<dual>/migration/audit.log`.
std::string CheckpointPath(std::string_view dual_directory);
std::string AuditLogPath(std::string_view dual_directory);

// Append-only, one JSON object a line, each line holding the SHA-256 of the line before it. Not
// thread-safe; the exclusive lease of the space guards the file.
class AuditLog {
 public:
  // Verifies the chain. A last line without its newline was never acknowledged and is cut off;
  // any other damage is kCorruption with the line number.
  static Result<std::unique_ptr<AuditLog>> Open(FileSystem& fs, Clock& clock,
                                                const std::string& path);
  virtual ~AuditLog() = default;
  // Durable on return. `event`: "start", "checkpoint", "finish", "rollback", "compact", "mode", ...
  virtual Status Append(std::string_view event, const nlohmann::json& details) = 0;
};

struct AuditChain {
  uint64_t lines = 0;
  Sha256Digest last{};  // hash of the last line, zeros when empty
  bool torn_tail = false;
};
// Walks the whole file. kCorruption names the first line whose hash or predecessor does not match.
Result<AuditChain> VerifyAuditLog(FileSystem& fs, const std::string& path);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_CHECKPOINT_H_
