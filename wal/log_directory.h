// Names in a log directory, and what its segments say about themselves.
#ifndef ENGRAM_WAL_LOG_DIRECTORY_H_
#define ENGRAM_WAL_LOG_DIRECTORY_H_

#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "wal/log_format.h"

namespace engram::wal {

struct SegmentFile {
  uint64_t number = 0;  // from the name
  std::string path;
  uint64_t file_size_bytes = 0;
  // Absent: damaged, and `header_error` says how (with file and offset).
  std::optional<SegmentHeader> header;
  Status header_error;
};

struct SpareFile {
  uint64_t serial = 0;
  std::string path;
  uint64_t size_bytes = 0;
};

struct LogListing {
  std::vector<SegmentFile> segments;  // by number
  std::vector<SpareFile> spares;
  std::vector<std::string> temporaries;  // paths
};

std::string SegmentPath(const std::string& directory, uint64_t number);
std::string SparePath(const std::string& directory, uint64_t serial);

// A missing directory is an empty log. Reads every segment header. kUnsupported if one is of
// another version.
Result<LogListing> ListLog(FileSystem& fs, const std::string& directory);

// Reads one header page; kCorruption names the file.
Result<SegmentHeader> ReadSegmentHeader(File& file);

// What a damaged header page may have said, from the first good group header behind it; for
// salvage and inspection. `first_lsn` is a lower bound. Empty if nothing in the file is readable.
Result<std::optional<SegmentHeader>> GuessSegmentHeader(FileSystem& fs, const SegmentFile& file,
                                                        const Uuid& store_uuid, uint64_t first_lsn);

}  // namespace engram::wal

#endif  // ENGRAM_WAL_LOG_DIRECTORY_H_
