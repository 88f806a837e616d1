// Chooses how durable writes reach the disk.
#ifndef ENGRAM_WAL_WRITE_QUEUES_H_
#define ENGRAM_WAL_WRITE_QUEUES_H_

#include <memory>
#include <string_view>

#include "base/file_system.h"
#include "wal/log_options.h"

namespace engram::wal {

struct ChosenQueue {
  std::unique_ptr<WriteQueue> queue;
  std::string_view name;  // "uring", "pwrite", "simulated"
};
// The file system's own queue if it has one, else what `io` asks for. kUnsupported: kUring was
// asked for and the kernel refuses it, with the reason; it is probed once in the process.
Result<ChosenQueue> ChooseWriteQueue(FileSystem& fs, LogIo io);

}  // namespace engram::wal

#endif  // ENGRAM_WAL_WRITE_QUEUES_H_
