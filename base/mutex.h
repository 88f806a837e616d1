// std::mutex and std::condition_variable with the annotations that clang checks: libstdc++'s own
// have none.
#ifndef ENGRAM_BASE_MUTEX_H_
#define ENGRAM_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/thread_annotations.h"

namespace engram {

class ENGRAM_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void lock() ENGRAM_ACQUIRE() { mutex_.lock(); }
  void unlock() ENGRAM_RELEASE() { mutex_.unlock(); }
  bool try_lock() ENGRAM_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds the mutex for a scope.
class ENGRAM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ENGRAM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() ENGRAM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may wake for no reason: test the condition in a loop.
class CondVar {
 public:
  void Wait(Mutex& mutex) ENGRAM_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }
  void WaitFor(Mutex& mutex, std::chrono::nanoseconds duration) ENGRAM_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    changed_.wait_for(lock, duration);
    lock.release();
  }
  void NotifyAll() { changed_.notify_all(); }
  void NotifyOne() { changed_.notify_one(); }

 private:
  std::condition_variable changed_;
};

}  // namespace engram

#endif  // ENGRAM_BASE_MUTEX_H_
