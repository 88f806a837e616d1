#include "wal/log_options.h"

#include <string>

#include "wal/log_format.h"

namespace engram::wal {

Result<LogIo> ParseLogIo(std::string_view name) {
  if (name == "auto") return LogIo::kAuto;
  if (name == "uring") return LogIo::kUring;
  if (name == "pwrite") return LogIo::kPwrite;
  return Status::InvalidArgument("unknown log I/O '" + std::string(name) + "'",
                                 "expected auto, uring or pwrite");
}

Status ValidateLogOptions(const LogOptions& options) {
  const uint64_t min = options.segment_size_bytes_min;
  const uint64_t max = options.segment_size_bytes_max;
  if (min % kPageSizeBytes != 0 || max % kPageSizeBytes != 0 || min < kSegmentSizeBytesMin ||
      max < min || max > kSegmentSizeBytesMax) {
    return Status::InvalidArgument(
        "log segment sizes " + std::to_string(min) + " to " + std::to_string(max),
        "expected multiples of 4096, at least 12288, at most 1073741824, the minimum first");
  }
  if (options.group_size_bytes_max < kPageSizeBytes ||
      options.group_size_bytes_max > kGroupBodySizeBytesMax) {
    return Status::InvalidArgument("log group size " + std::to_string(options.group_size_bytes_max),
                                   "expected 4096 to " + std::to_string(kGroupBodySizeBytesMax));
  }
  return Status::Ok();
}

}  // namespace engram::wal
