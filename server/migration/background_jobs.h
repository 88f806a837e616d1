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
  enum class Kind { kIngest, kVerification };
  // A job looks at `cancel` and ends early when it is set.
  using Work = std::function<void(const std::atomic<bool>& cancel)>;
  ~BackgroundJobs() { Stop(); }
  // Behind all that wait. Dropped after Stop().
  void Add(Kind kind, Work work) ENGRAM_EXCLUDES(mutex_);
  // Tells the job in hand to end if it is of this kind; the next one begins.
  void CancelCurrent(Kind kind) ENGRAM_EXCLUDES(mutex_);
  // Cancels the job in hand, drops the others, returns when the thread has ended.
  void Stop() ENGRAM_EXCLUDES(mutex_);

 private:
  struct Job {
    Kind kind = Kind::kIngest;
    Work work;
  };
  void Run() ENGRAM_EXCLUDES(mutex_);

  Mutex mutex_;
  std::deque<Job> waiting_ ENGRAM_GUARDED_BY(mutex_);
  Kind current_ ENGRAM_GUARDED_BY(mutex_) = Kind::kIngest;  // while running_
  bool running_ ENGRAM_GUARDED_BY(mutex_) = false;
  bool stopped_ ENGRAM_GUARDED_BY(mutex_) = false;
  std::thread thread_ ENGRAM_GUARDED_BY(mutex_);
  std::atomic<bool> cancel_{false};
};

}  // namespace engram::server

#endif  // ENGRAM_SERVER_MIGRATION_BACKGROUND_JOBS_H_
