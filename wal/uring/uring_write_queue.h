// Durable writes by io_uring: one write operation with RWF_DSYNC each, no linked flush that could
// hide a short write. All queues of the process share one ring: 200 open spaces cost one.
#ifndef ENGRAM_WAL_URING_URING_WRITE_QUEUE_H_
#define ENGRAM_WAL_URING_URING_WRITE_QUEUE_H_

#include <memory>

#include "base/file_system.h"
#include "base/result.h"

namespace engram::wal {

// The first call sets the ring up and probes it with one durable write; later calls remember the
// outcome. kUnsupported says why it is refused and what to do. Files without a descriptor are
// written by File::WriteAtDurable.
Result<std::unique_ptr<WriteQueue>> NewUringWriteQueue();

}  // namespace engram::wal

#endif  // ENGRAM_WAL_URING_URING_WRITE_QUEUE_H_
