// Durable writes by pwritev2(RWF_DSYNC) on the caller's thread: Submit() does the work.
#ifndef ENGRAM_WAL_PWRITE_PWRITE_WRITE_QUEUE_H_
#define ENGRAM_WAL_PWRITE_PWRITE_WRITE_QUEUE_H_

#include <memory>

#include "base/file_system.h"

namespace engram::wal {

std::unique_ptr<WriteQueue> NewPwriteWriteQueue();

}  // namespace engram::wal

#endif  // ENGRAM_WAL_PWRITE_PWRITE_WRITE_QUEUE_H_
