// How a log writes. Format: docs/format/log.md.
#ifndef ENGRAM_WAL_LOG_OPTIONS_H_
#define ENGRAM_WAL_LOG_OPTIONS_H_

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace engram::wal {

enum class LogIo {
  kAuto,    // what is faster for one write in flight: pwrite. docs/decisions/0008
  kUring,   // io_uring with RWF_DSYNC; kUnsupported if the kernel refuses it
  kPwrite,  // pwritev2(RWF_DSYNC)
};
Result<LogIo> ParseLogIo(std::string_view name);  // "auto", "uring", "pwrite"

struct LogOptions {
  LogIo io = LogIo::kAuto;
  // Segments are pre-written with zeros. The first has the minimum size, one that has to be made is
  // twice the newest, up to the maximum (more if a record needs it). Both: multiples of 4096.
  uint64_t segment_size_bytes_min = 4u << 20;
  uint64_t segment_size_bytes_max = 16u << 20;
  // Upper bound of one group of records flushed together.
  uint64_t group_size_bytes_max = 8u << 20;
};
// kInvalidArgument says which bound is broken. Log::Open() calls it.
Status ValidateLogOptions(const LogOptions& options);

}  // namespace engram::wal

#endif  // ENGRAM_WAL_LOG_OPTIONS_H_
