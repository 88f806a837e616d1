// A few threads work on numbered units; one consumer takes the results in order. Bounded: a worker
// that is too far ahead waits. Results are reused, so that their buffers are.
#ifndef ENGRAM_MIGRATION_INTERNAL_ORDERED_POOL_H_
#define ENGRAM_MIGRATION_INTERNAL_ORDERED_POOL_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/result.h"

namespace engram::migration::internal {

// The consumer is one thread. The destructor stops the workers after their current unit.
template <typename T>
class OrderedPool {
 public:
  // Fills `out` (whatever an earlier unit left in it) for `unit`; `worker` < workers.
  using Work = std::function<Status(uint32_t worker, uint64_t unit, T* out)>;

  OrderedPool(uint32_t workers, uint64_t units, Work work)
      : units_(units), work_(std::move(work)), slots_(workers * 3 + 1) {
    for (uint32_t i = 0; i < workers; ++i) {
      threads_.emplace_back([this, i] { Run(i); });
    }
  }
  OrderedPool(const OrderedPool&) = delete;
  OrderedPool& operator=(const OrderedPool&) = delete;
  ~OrderedPool() { Stop(); }

  // The next unit's result, valid until the following call; or the error of its worker.
  // REQUIRES: fewer than `units` calls so far.
  Result<const T*> Next() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (taken_ > 0) {
      slots_[(taken_ - 1) % slots_.size()].done = false;
      released_ = taken_;
      space_.notify_all();
    }
    ENGRAM_CHECK(taken_ < units_);
    Slot& slot = slots_[taken_ % slots_.size()];
    ready_.wait(lock, [&] { return slot.done; });
    ++taken_;
    if (!slot.status.ok()) return slot.status;
    return static_cast<const T*>(&slot.value);
  }

  // Joins the workers and returns the first error that no Next() returned.
  Status Finish() {
    Stop();
    for (const Slot& slot : slots_) {
      if (slot.done && !slot.status.ok()) return slot.status;
    }
    return Status::Ok();
  }

 private:
  struct Slot {
    T value;
    Status status;
    bool done = false;
  };

  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      space_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  void Run(uint32_t worker) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      space_.wait(lock,
                  [&] { return stopped_ || next_ >= units_ || next_ < released_ + slots_.size(); });
      if (stopped_ || next_ >= units_) return;
      const uint64_t unit = next_++;
      Slot& slot = slots_[unit % slots_.size()];
      lock.unlock();
      Status status = work_(worker, unit, &slot.value);
      lock.lock();
      slot.status = std::move(status);
      slot.done = true;
      ready_.notify_one();
    }
  }

  const uint64_t units_;
  const Work work_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable space_;
  // Guarded by mutex_; a slot's value belongs to its worker until `done`, then to the consumer.
  std::vector<Slot> slots_;
  uint64_t next_ = 0;
  uint64_t taken_ = 0;
  uint64_t released_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace engram::migration::internal

#endif  // ENGRAM_MIGRATION_INTERNAL_ORDERED_POOL_H_
