// The files a writer needs: pre-written spares, their activation as segments, and what happens to
// segments that are no longer needed. Thread-safe; no call is made with the log's mutex held.
#ifndef ENGRAM_WAL_SEGMENT_FILES_H_
#define ENGRAM_WAL_SEGMENT_FILES_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"
#include "wal/log_directory.h"
#include "wal/log_options.h"

namespace engram::wal {

// A segment of the log, from the moment its space is reserved.
struct Segment {
  uint64_t first_lsn = 0;
  uint64_t size_bytes = 0;
  bool recycled = false;
  bool active = false;  // has its name and, unless found by Open(), a durable group
  std::string path;
  std::unique_ptr<File> file;  // null for a segment that is only kept
  uint32_t chain = 0;          // checksum of the header page, once activated
};

class SegmentFiles {
 public:
  SegmentFiles(FileSystem& fs, std::string directory, Uuid store_uuid, const LogOptions& options);

  // Takes over the spares found and removes interrupted pre-writes.
  Status Adopt(const LogListing& listing);

  struct Request {
    uint64_t preferred_bytes = 0;
    uint64_t required_bytes = 0;
    bool use_reserve = false;
  };
  // A pre-written file. The last spare stays back as the reserve unless `use_reserve`. kFull: the
  // device has no room.
  Result<std::unique_ptr<Segment>> Take(const Request& request);
  // Makes sure that the reserve is there. kFull: it is not, and there is no room for it.
  Status EnsureReserve();
  bool has_reserve() const { return has_reserve_.load(std::memory_order_relaxed); }

  // Writes and flushes the header page (number, epoch, first LSN, ... of `header`; size and
  // recycled come from the segment), then gives the file its segment name.
  Status Activate(Segment* segment, SegmentHeader header);

  // Removes a segment, or keeps its file as a spare if one of `wanted_size_bytes` is missing. An
  // error with `is_gone`: it has lost its name, and that is not durable.
  Status Retire(const Segment& segment, uint64_t wanted_size_bytes, bool* is_gone);

  uint64_t spare_bytes() const;

 private:
  struct Spare {
    std::string path;
    uint64_t size_bytes = 0;
    bool recycled = false;
  };
  void Keep(Spare spare) ENGRAM_REQUIRES(mutex_);
  Result<Spare> FindSpare(const Request& request) ENGRAM_REQUIRES(mutex_);
  Result<Spare> CreateSpare(uint64_t size_bytes) ENGRAM_REQUIRES(mutex_);
  Status WriteZeros(const std::string& path, uint64_t size_bytes);
  std::string NextSparePath() ENGRAM_REQUIRES(mutex_);
  Status CheckRoom(uint64_t size_bytes) const;

  FileSystem& fs_;
  const std::string directory_;
  const Uuid store_uuid_;
  const LogOptions options_;

  mutable Mutex mutex_;  // protects the names in the directory, too
  std::vector<Spare> spares_ ENGRAM_GUARDED_BY(mutex_);
  std::atomic<bool> has_reserve_{false};  // there are spares; changed with them
  uint64_t next_serial_ ENGRAM_GUARDED_BY(mutex_) = 1;
};

}  // namespace engram::wal

#endif  // ENGRAM_WAL_SEGMENT_FILES_H_
