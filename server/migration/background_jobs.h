// Long jobs of spaces (ingest, verification), one after another on a thread that is there only
// while there are any: so they hold up neither the migrator's steps nor anything else.
#ifndef ENGRAM_SERVER_MIGRATION_BACKGROUND_JOBS_H_
#define ENGRAM_SERVER_MIGRATION_BACKGROUND_JOBS_H_

#include <atomic>
#include <deque>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace engram::server {

// Thread-safe.
class BackgroundJobs {
 public:
  // A job looks at `cancel` and ends early when it is set.
  using Work = std::function<void(const std::atomic<bool>& cancel)>;
  ~BackgroundJobs() { Stop(); }
  // Behind all that wait. Dropped after Stop().
  void Add(Work work) ENGRAM_EXCLUDES(mutex_);
  // Tells the job in hand to end; the next one begins.
  void CancelCurrent() ENGRAM_EXCLUDES(mutex_);
  // Cancels the job in hand, drops the others, returns when the thread has ended.
  void Stop() ENGRAM_EXCLUDES(mutex_);

 private:
  void Run() ENGRAM_EXCLUDES(mutex_);

  Mutex mutex_;
  std::deque<Work> waiting_ ENGRAM_GUARDED_BY(mutex_);
  bool running_ ENGRAM_GUARDED_BY(mutex_) = false;
  bool stopped_ ENGRAM_GUARDED_BY(mutex_) = false;
  std::thread thread_ ENGRAM_GUARDED_BY(mutex_);
  std::atomic<bool> cancel_{false};
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_BACKGROUND_JOBS_H_
