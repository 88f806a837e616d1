// Answers that are known but for a wait. Those of one lane wait for the same thing (the log of one
// space), so one thread waits for all of them: a flush answers everybody whose write was in it, and
// costs two changes of thread, however many they are.
#ifndef ENGRAM_SERVER_HTTP_ANSWER_LANES_H_
#define ENGRAM_SERVER_HTTP_ANSWER_LANES_H_

#include <functional>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/thread_annotations.h"
#include "server/http/worker_pool.h"

namespace engram::server {

class IoThread;

// Thread-safe.
class AnswerLanes {
 public:
  explicit AnswerLanes(WorkerPool& pool) : pool_(pool) {}

  struct Answer {
    std::function<void()> finish;  // waits; on a thread of the pool
    IoThread* thread = nullptr;    // whose loop `deliver` runs on, afterwards
    std::function<void()> deliver;
  };
  // `finish` runs behind those of the answers before it in the lane. If the pool takes no more, it
  // runs at once on the calling thread.
  void Submit(const void* lane, Answer answer);
  // Once the pool has stopped: what it had no thread for any more goes, with all that it holds.
  void Drop();

 private:
  void Run(const void* lane);

  WorkerPool& pool_;
  Mutex mutex_;
  // What waits, of lanes that a thread is at work for.
  std::unordered_map<const void*, std::vector<Answer>> lanes_ ENGRAM_GUARDED_BY(mutex_);
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_HTTP_ANSWER_LANES_H_
