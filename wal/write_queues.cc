#include "wal/write_queues.h"

#include "wal/pwrite/pwrite_write_queue.h"
#include "wal/uring/uring_write_queue.h"

namespace engram::wal {

Result<ChosenQueue> ChooseWriteQueue(FileSystem& fs, Logger& logger, LogIo io) {
  if (auto own = fs.NewWriteQueue()) return ChosenQueue{std::move(own), "simulated"};
  if (io != LogIo::kPwrite) {
    auto uring = NewUringWriteQueue();
    if (uring.ok()) return ChosenQueue{std::move(*uring), "uring"};
    if (io == LogIo::kUring) return uring.status();
    logger.Info("log writes use pwritev2: " + uring.status().message());
  }
  return ChosenQueue{NewPwriteWriteQueue(), "pwrite"};
}

}  // namespace engram::wal
