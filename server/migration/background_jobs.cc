#include "server/migration/background_jobs.h"

#include <utility>

namespace engram::server {

void BackgroundJobs::Add(Kind kind, Work work) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  waiting_.push_back({kind, std::move(work)});
  if (running_) return;
  // An earlier thread has left its loop under the mutex: it takes no time to join.
  if (thread_.joinable()) thread_.join();
  running_ = true;
  thread_ = std::thread([this] { Run(); });
}

void BackgroundJobs::CancelCurrent(Kind kind) {
  MutexLock lock(mutex_);
  if (running_ && current_ == kind) cancel_.store(true);
}

void BackgroundJobs::Run() {
  for (;;) {
    Job job;
    {
      MutexLock lock(mutex_);
      if (waiting_.empty() || stopped_) {
        running_ = false;
        return;
      }
      job = std::move(waiting_.front());
      waiting_.pop_front();
      current_ = job.kind;
      cancel_.store(false);
    }
    job.work(cancel_);
  }
}

void BackgroundJobs::Stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    waiting_.clear();
    cancel_.store(true);
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace engram::server
