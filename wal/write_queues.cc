#include "wal/write_queues.h"

#include "wal/pwrite/pwrite_write_queue.h"
#include "wal/uring/uring_write_queue.h"

namespace engram::wal {

Result<ChosenQueue> ChooseWriteQueue(FileSystem& fs, LogIo io) {
  if (auto own = fs.NewWriteQueue()) return ChosenQueue{std::move(own), "simulated"};
  if (io == LogIo::kUring) {
    ENGRAM_ASSIGN_OR_RETURN(auto uring, NewUringWriteQueue());
    return ChosenQueue{std::move(uring), "uring"};
  }
  return ChosenQueue{NewPwriteWriteQueue(), "pwrite"};
}

}  // namespace engram::wal
