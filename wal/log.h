// The write-ahead log of one space: dense LSNs, one unflushed group at a time, recovery that tells
// torn from corrupt by the durable-LSN rule. Format: docs/format/log.md.
#ifndef ENGRAM_WAL_LOG_H_
#define ENGRAM_WAL_LOG_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "wal/log_options.h"

namespace engram::wal {

// One record as found in the log. `payload` is borrowed for the call.
struct LogRecord {
  Lsn lsn;
  uint8_t type = 0;  // the owner's; 0 is reserved for the log's own records
  Bytes payload;
};

// Where the valid prefix of a log ends.
struct LogEnd {
  uint64_t segment = 0;  // 0: there is no segment
  uint64_t epoch = 0;
  uint64_t offset_bytes = 0;
  uint32_t chain_crc = 0;  // of the last valid group header
};

// A stretch that salvage skipped.
struct LostStretch {
  std::string file;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;  // 0: nothing was skipped there, only its place does not fit
  Lsn first = {};             // the LSNs that are gone; 0: none
  Lsn last = {};
  std::string reason{};  // one line, with file and offset
};

struct RecoveryResult {
  Lsn last;                     // the last valid LSN (0: none)
  Lsn first;                    // the first LSN still in the log (0: none)
  bool clean_shutdown = false;  // true for a log that was never written, too
  bool torn = false;   // damage above every proved LSN: reported, recovery continues after it
  LogEnd end;          // for Log::Open
  std::string detail;  // file, offset, expected, actual of the damage
  std::vector<LostStretch> lost;  // salvage only: what was skipped
};

struct RecoverOptions {
  std::string directory;
  Uuid store_uuid;
  // LSNs up to here are in the store, and were durable in the log before they got there: a log
  // that ends below is corrupt (unless it has no segment at all).
  Lsn applied;
  bool salvage = false;  // skip corrupt stretches and list them instead of refusing
};

// Reads the whole log in order and calls `visit` for every record above `options.applied`.
// kCorruption names file, offset, expected and actual. Changes nothing, but flushes each segment
// and reads it from the device, so that what is delivered is durable.
Result<RecoveryResult> Recover(FileSystem& fs, const RecoverOptions& options,
                               const std::function<Status(const LogRecord&)>& visit);

// Appends records; the owner serializes Append(). Group commit is leader-follower: the thread that
// calls WaitDurable() first writes the group for all, so there is no log thread.
class Log {
 public:
  struct OpenOptions {
    std::string directory;  // created if missing
    Uuid store_uuid;
    RecoveryResult recovered;  // what Recover() returned
    Lsn applied;               // first LSN of an empty log is applied + 1
    LogOptions log;
  };
  // After a clean shutdown the log continues in its segment, else in a new segment and epoch.
  // Flushes the directory that recovery read.
  static Result<std::unique_ptr<Log>> Open(FileSystem& fs, Logger& logger,
                                           const OpenOptions& options);
  virtual ~Log() = default;

  // Queues one record (copied) and returns its LSN (dense). Its place in a pre-written segment is
  // reserved first: kFull when the device has no room for the next segment, and then nothing is
  // queued, the state clears itself once space is back. One spare segment is kept for records with
  // `use_reserve` (deletes), which go on when the device is full. kFatal once latched. Without
  // `wait`: kBusy instead of waiting for a flush or writing a new segment, and nothing is queued.
  struct AppendOptions {
    bool use_reserve = false;
    bool wait = true;
  };
  virtual Result<Lsn> Append(uint8_t type, Bytes payload, const AppendOptions& options) = 0;
  virtual Lsn next_lsn() const = 0;  // the LSN the next Append() returns
  // Blocks until `lsn` is durable. Any failed or short write or flush latches the log: every waiter
  // gets kFatal "outcome unknown", nothing is retried.
  virtual Status WaitDurable(Lsn lsn) = 0;
  virtual Lsn durable() const = 0;
  virtual bool latched() const = 0;

  // Lets segments whose records are all <= `lsn` be recycled or removed.
  virtual Status ReleaseBelow(Lsn lsn) = 0;
  // Flushes the queue and writes the clean-shutdown record; Append is not allowed afterwards.
  virtual Status CloseClean() = 0;
  virtual uint64_t size_bytes() const = 0;  // of all segments
  // What was written since Open(). Cheap, from any thread.
  struct Counters {
    uint64_t appended_bytes = 0;  // as written, padding and headers included
    uint64_t groups = 0;
    uint64_t records = 0;
    uint64_t flush_ns = 0;  // time spent in writing and flushing groups
  };
  virtual Counters counters() const = 0;
  virtual std::string_view io_name() const = 0;  // "uring", "pwrite", "simulated"
};

// Follows the log with a position that survives rotation, recycling and restart (INV-4, INV-6).
struct TailPosition {
  Uuid store_uuid;
  uint64_t epoch = 0;
  uint64_t segment = 0;
  uint64_t offset_bytes = 0;
  Lsn next;                // the LSN of the next record to deliver
  uint32_t chain_crc = 0;  // of the group header before the position
};
std::string EncodeTailPosition(const TailPosition& position);
Result<TailPosition> DecodeTailPosition(Bytes bytes);  // kUnsupported for another version

class Tailer {
 public:
  // With `position.segment` 0 the place is found by `position.next` alone; that 0 too: from the
  // oldest record still there. kFailedPrecondition if the log no longer
  // holds the position (recycled, another store): the caller must scan instead.
  static Result<std::unique_ptr<Tailer>> Open(FileSystem& fs, const std::string& directory,
                                              const TailPosition& position);
  virtual ~Tailer() = default;
  // Delivers records up to and including `visible` in LSN order; returns how many. A torn or
  // unfinished tail is not an error: it is retried by the next call. kFailedPrecondition as above,
  // always before anything after the gap is delivered.
  virtual Result<uint64_t> Poll(Lsn visible, uint64_t records_max,
                                const std::function<Status(const LogRecord&)>& visit) = 0;
  virtual TailPosition position() const = 0;
};

// Lists what is physically in a log, group by group and record by record, for inspection.
struct InspectedRecord {
  std::string file;
  uint64_t offset_bytes = 0;
  uint64_t epoch = 0;
  LogRecord record;
  std::string damage;  // empty for a valid record
};
Status InspectLog(FileSystem& fs, const std::string& directory,
                  const std::function<Status(const InspectedRecord&)>& visit);

}  // namespace engram::wal

#endif  // ENGRAM_WAL_LOG_H_
