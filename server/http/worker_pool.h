// The threads that run handlers which wait: for a flush, a lock, a long scan.
#ifndef ENGRAM_SERVER_HTTP_WORKER_POOL_H_
#define ENGRAM_SERVER_HTTP_WORKER_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/thread_annotations.h"

namespace engram::server {

// Thread-safe. Starts a thread when a job finds none free, up to `threads_max`.
class WorkerPool {
 public:
  WorkerPool(uint32_t threads_max, uint32_t queue_max);
  ~WorkerPool();  // as Stop()
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False: `queue_max` jobs wait already, or the pool was stopped; the job is not run.
  bool Submit(std::function<void()> job);
  // Drops the jobs that wait and returns when those that run have ended. Later calls do nothing.
  void Stop();

 private:
  void Run();

  const uint32_t threads_max_;
  const uint32_t queue_max_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ENGRAM_GUARDED_BY(mutex_);
  uint32_t idle_ ENGRAM_GUARDED_BY(mutex_) = 0;
  bool stopped_ ENGRAM_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ ENGRAM_GUARDED_BY(mutex_);
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_WORKER_POOL_H_
