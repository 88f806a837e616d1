// Work on many spaces at a time: opening and closing one mostly waits for the disk.
#ifndef ENGRAM_SERVER_GRAPH_IN_PARALLEL_H_
#define ENGRAM_SERVER_GRAPH_IN_PARALLEL_H_

#include <cstddef>
#include <functional>

namespace engram::server {

// Calls `work` with every index below `count`, sixteen at a time, the caller's thread among them;
// with fewer threads if the system gives no more. Returns when all calls have. `work` throws
// nothing.
void InParallel(size_t count, const std::function<void(size_t index)>& work);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_GRAPH_IN_PARALLEL_H_
